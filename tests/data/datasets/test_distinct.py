"""Distinct frame triples and questions, counted by hand, in build, validate and at the start of a run."""

import json
from itertools import permutations

import numpy as np
import pytest

from remot.cli import main
from remot.commands.data.sources import data_from
from remot.data.datasets.distinct import DistinctCounts, distinct_lines
from remot.data.experts import EffectorHorizontal, Gripper
from remot.data.negatives import Retrieval
from remot.data.tasks.motion_contrast.sampler import TripletSampler
from tests.data.handmade import arm_clip, write_folder

EXPERTS = [
    {"class_path": "remot.data.experts.EffectorHorizontal", "init_args": {"still": 0.01, "salient_min": 0.1}},
    {"class_path": "remot.data.experts.Gripper", "init_args": {"still": 0.05, "salient_min": 0.3}},
]
TASKS = [{"class_path": "MotionContrast", "init_args": {"experts": EXPERTS}}]


@pytest.fixture
def few(tmp_path):
    """Three scenes of three frames each, in which an arm moves to the right and opens: 6 orders of frames a scene."""
    clips = [arm_clip([0, 0.3, 0.6], [0, 0.4, 0.8], clip_id=f"c{k}", scene_id=f"s{k}") for k in range(3)]
    return write_folder(tmp_path / "few", clips)


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "few.yaml"
    file.write_text(json.dumps({"data": {"tasks": TASKS, "num_train_prompts_per_epoch": 64}}))
    return file


def test_frame_triples_of_a_clip_are_the_orders_whose_answers_are_clear():
    """Frames 0, 1, 2 in any order, and none twice; two experts about the same frames count once."""
    clip = arm_clip([0, 0.3, 0.6], [0, 0.4, 0.8])
    experts = [EffectorHorizontal(still=0.01, salient_min=0.1), Gripper(still=0.05, salient_min=0.3)]
    assert TripletSampler(experts).frame_triples(clip) == len(list(permutations(range(3))))


def test_frames_between_the_thresholds_make_no_triple():
    """From 0.3 to 0.35 is neither still nor moved, so frames 1 and 2 never stand together: none of three frames."""
    sampler = TripletSampler([EffectorHorizontal(still=0.01, salient_min=0.1)])
    assert sampler.frame_triples(arm_clip([0, 0.3, 0.35])) == 0
    assert sampler.frame_triples(arm_clip([0, 0.3, 0.35, 0.7], clip_id="longer")) == 2 * len(
        list(permutations(range(3)))
    )


def test_frame_triples_are_those_that_are_drawn():
    clip = arm_clip([0, 0.3, 0.3, 0.6, 0.31])
    sampler = TripletSampler([EffectorHorizontal(still=0.02, salient_min=0.1)], negatives=[Retrieval()])
    (candidate,) = sampler.candidates(clip)
    counts = DistinctCounts()
    generator = np.random.default_rng(0)
    for pattern in candidate.patterns:
        for _ in range(200):
            triplet = sampler.sample(clip, 0, candidate.subject, pattern, generator)
            counts.add("train", triplet.frame_indices, "")
    assert counts.record()["train"]["frames"] == sampler.frame_triples(clip)


def test_counts_by_hand():
    """Six prompts: frames a twice with one question and once with another, b twice, and c in the other split."""
    counts = DistinctCounts()
    for split, frames, asked in [
        *[("train", "a", 1)] * 2,
        ("train", "a", 2),
        *[("train", "b", 1)] * 2,
        ("val", "c", 1),
    ]:
        counts.add(split, frames, asked)
    assert counts.record() == {
        "train": {"prompts": 5, "frames": 2, "questions": 3},
        "val": {"prompts": 1, "frames": 1, "questions": 1},
    }
    train, val = distinct_lines(counts.record())
    assert "warning" in train  # 5 prompts of 2 frame triples
    assert "warning" not in val
    assert "warning" not in next(distinct_lines(counts.record(), "questions"))  # 5 prompts of 3 questions


def test_build_counts_and_warns(few, config, tmp_path, capsys):
    """One training scene of three has six frame triples, each asked about in two ways."""
    main(
        [
            "data",
            "build",
            "--config",
            str(config),
            "--root",
            str(few),
            "--out",
            str(tmp_path / "out"),
            "--num_triplets",
            "150",
        ]
    )
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["counts"]["distinct"]["frames"]["train"] == {"prompts": 105, "frames": 6, "questions": 12}
    assert manifest["counts"]["distinct"]["frames"]["test"]["frames"] == 6
    told = capsys.readouterr().out
    (line,) = [line for line in told.splitlines() if line.startswith("train: 105 prompts")]
    for fact in ("6 distinct frame triples", "12 distinct questions", "warning"):
        assert fact in line


def test_validate_counts_and_warns(few, config, capsys):
    main(["data", "validate", str(few), "--config", str(config), "--format", "json"])
    record = json.loads(capsys.readouterr().out)
    assert (record["frame_triples"], record["all_frame_triples_counted"], record["few_frame_triples"]) == (
        18,
        True,
        True,
    )
    main(["data", "validate", str(few), "--config", str(config)])
    told = capsys.readouterr().out
    assert "distinct frame triples that can be asked about: 18" in told
    assert "warning: an epoch of 64 prompts" in told


def test_enough_triples_are_not_counted_further(few, config, capsys, monkeypatch):
    monkeypatch.setattr("remot.datatools.validation.ENOUGH_TRIPLES", 6)
    main(["data", "validate", str(few), "--config", str(config), "--format", "json"])
    record = json.loads(capsys.readouterr().out)
    assert (record["frame_triples"], record["all_frame_triples_counted"], record["few_frame_triples"]) == (
        6,
        False,
        False,
    )


def test_a_run_reports_it_at_its_start(few, config, tmp_path):
    """From clips, and from what was built of them."""
    settings = {"tasks": TASKS, "num_train_prompts_per_epoch": 64, "root": str(few)}
    data = data_from(settings)
    data.setup()
    (train,) = [line for line in data.describe() if "train: 64 prompts" in line]
    assert "6 distinct frame triples, 12 distinct questions" in train
    assert "warning" in train
    out = tmp_path / "out"
    main(["data", "build", "--config", str(config), "--root", str(few), "--out", str(out), "--num_triplets", "60"])
    recorded = data_from({"records": str(out)})
    recorded.setup()
    (train,) = [line for line in recorded.describe() if "train: 42 prompts, 6 distinct frame triples" in line]
    assert "warning" in train
