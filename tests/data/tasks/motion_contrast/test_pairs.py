"""Images shown in pairs, as videos of two frames: on the fly, from disk, in a benchmark and in training."""

import hashlib
import json
import shutil
from dataclasses import replace

import pytest
import torch

from remot.commands.data.sources import data_from
from remot.data.prompt_data import PromptData
from remot.data.records.parsing import from_record
from remot.datatools.build.prompts import build
from remot.datatools.contact_sheets.prompts import rows_of_run
from remot.errors import AnnotationError, ConfigError
from remot.evaluation.benchmarks.base import BenchmarkOptions
from remot.evaluation.benchmarks.harness.bench_task import write_task
from remot.evaluation.benchmarks.media import shown_batch
from remot.evaluation.benchmarks.remot_bench import RemotBench
from remot.evaluation.benchmarks.replies import reply_key
from remot.strategies import GRPO, SFT
from remot.structures import pair_videos
from tests.data.made import data_module, section
from tests.strategies.test_module import make_trainer, ready_module

SIZES = {"num_train_prompts_per_epoch": 4, "num_val_prompts": 2, "num_test_prompts": 4, "batch_size": 2}


def prompts_of(split="train", **settings):
    data = data_module(**SIZES, **settings)
    data.setup()
    return [data.prompts[split][number] for number in range(4)]


def pairs(images):
    one, two, three = images
    return [torch.stack(pair) for pair in ((one, two), (one, three), (two, three))]


def assert_shown(videos, wanted):
    assert [video.pts_seconds for video in videos] == [(0.0, 1.0)] * len(wanted)
    assert all(torch.equal(video.frames, frames) for video, frames in zip(videos, wanted, strict=True))


def test_each_question_has_a_video_of_its_two_images():
    """The same prompts, asked about in the same words, whichever way they are shown."""
    task = {"class_path": "MotionContrast", "init_args": {"as_pairs": True}}
    shown = data_from(section(**SIZES) | {"tasks": [task]})
    shown.setup()
    for number, plain in enumerate(prompts_of()):
        sample = shown.prompts["train"][number]
        assert sample.question == plain.question
        assert sample.images == ()
        assert_shown(sample.videos, pairs(plain.images))
        asked = [slot.label.pair for slot in sample.question.slots]
        assert asked == [(1, 2), (1, 3), (2, 3)], "in the order of the videos"


def test_a_single_pair_is_one_video():
    plain = prompts_of(binary=True)
    shown = paired_module(binary=True)
    for number, one in enumerate(plain):
        assert_shown(shown.prompts["train"][number].videos, [torch.stack(list(one.images))])


def paired_module(**settings):
    """The data module with images in pairs."""
    data = data_module(**SIZES, as_pairs=True, **settings)
    data.setup()
    return data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Built prompts."""
    out = tmp_path_factory.mktemp("built") / "out"
    held = section(**SIZES) | {"tasks": [{"class_path": "MotionContrast", "init_args": {"as_pairs": True}}]}
    build(data_from(held), out, 10, held)
    return out


def test_from_disk_they_are_shown_as_on_the_fly(folder):
    data = paired_module()
    disk = PromptData(records=folder, batch_size=2)
    disk.setup()
    of_run = {sample.question.prompt_id: sample for sample in map(data.prompts["train"].prompt, range(4))}
    found = [disk.prompts["train"][number] for number in range(len(disk.prompts["train"]))]
    compared = [one for one in found if one.question.prompt_id in of_run]
    assert compared
    for one in compared:
        assert_shown(one.videos, [video.frames for video in of_run[one.question.prompt_id].videos])
        assert one.images == ()


def test_prompts_that_are_shown_otherwise_are_others(folder, tmp_path):
    """Work that was done on prompts one by one does not count for the same prompts in pairs."""
    shown = [shutil.copytree(folder, tmp_path / name) for name in ("pairs", "again", "one_by_one")]
    lines, manifest = shown[2] / "prompts.jsonl", shown[2] / "manifest.json"
    hashed = hashlib.sha256(lines.read_bytes()).hexdigest()
    lines.write_text(lines.read_text().replace(', "as_pairs": true', ""))
    manifest.write_text(manifest.read_text().replace(hashed, hashlib.sha256(lines.read_bytes()).hexdigest()))
    prints = []
    for one in shown:
        disk = PromptData(records=one, batch_size=2)
        disk.setup()
        prints.append(disk.fingerprint)
    assert prints[0] == prints[1] != prints[2]


def test_a_benchmark_shows_them_in_pairs_and_knows_its_replies_by_it(folder):
    prompts = RemotBench(BenchmarkOptions(split="all")).read(folder)
    batch = shown_batch(prompts, "bench")
    assert [len(videos) for videos in batch.videos] == [3] * len(prompts)
    assert not any(batch.images)
    one_by_one = [replace(prompt, as_pairs=False) for prompt in prompts]
    assert_shown(batch.videos[0], pairs(shown_batch(one_by_one, "bench").images[0]))
    assert reply_key(prompts[0], "x") != reply_key(one_by_one[0], "x")


def test_lmms_eval_would_show_them_otherwise(folder, tmp_path):
    with pytest.raises(ConfigError, match=r"images in pairs.*use remot evaluate"):
        write_task(folder, tmp_path / "task", "all")


def test_a_sheet_shows_each_image_once():
    (row, *_), (plain, *_) = (
        rows_of_run(data_module(**SIZES, **shown), "train", 2) for shown in ({"as_pairs": True}, {})
    )
    assert row == plain


@pytest.mark.parametrize("change", [{"as_video": True}, {"frames": 1}])
def test_lines_that_cannot_be_shown_in_pairs(folder, change):
    line = json.loads((folder / "prompts.jsonl").read_text().splitlines()[0])
    assert from_record("here", line).as_pairs
    facts = line["remot"]
    if "frames" in change:
        line["images"], facts["frames"], facts["labels"] = line["images"][:1], facts["frames"][:1], []
        facts["slots"], facts["reference"] = [], {"answer": "A"}
    else:
        facts["as_video"] = True
        facts["frames"] = [frame | {"index": k, "pts_seconds": k} for k, frame in enumerate(facts["frames"])]
    with pytest.raises(AnnotationError, match="as_pairs is for 2 or 3 images"):
        from_record("here", line)


def test_the_second_image_gets_the_size_of_the_first():
    image = torch.randint(0, 256, (3, 4, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = [torch.zeros(3, 4, 6, dtype=torch.uint8), torch.full((3, 8, 3), 77, dtype=torch.uint8), image]
    one, other, third = pair_videos(images)
    assert torch.equal(one.frames[1], torch.full((3, 4, 6), 77, dtype=torch.uint8))
    assert torch.equal(other.frames[1], image)
    assert third.frames.shape == (2, 3, 8, 3)


@pytest.mark.parametrize(("family", "strategy"), [("qwen3_vl", GRPO()), ("qwen2_5_vl", SFT())])
def test_they_are_trained_on_and_evaluated(family, strategy, tmp_path):
    module = ready_module(strategy, family=family)
    data = data_module(**SIZES, as_pairs=True)
    trainer = make_trainer(tmp_path, max_steps=1, limit_val_batches=1)
    trainer.fit(module, data)
    assert trainer.global_step == 1
    (metrics,) = trainer.validate(module, data, verbose=False)
    assert 0 <= metrics["val/partial"] <= 1
