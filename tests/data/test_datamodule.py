import warnings
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningModule, Trainer

from remot.data.clips.splits import split_by_scene
from remot.data.datamodule import MotionDataModule
from remot.data.experts import CameraPitch, CameraYaw
from remot.errors import AnnotationError, CheckpointError, ConfigError, DecodeError, EmptySplitError
from tests.data.handmade import arm_clip, mixed_clips, write_folder
from tests.data.made import data_module


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return str(write_folder(tmp_path_factory.mktemp("clips"), mixed_clips(5)))


def make(root, **settings):
    settings = {
        "batch_size": 2,
        "num_train_prompts_per_epoch": 6,
        "num_val_prompts": 5,
        "num_test_prompts": 3,
    } | settings
    data = data_module(root, **settings)
    data.setup()
    return data


def ids(loader):
    return [[question.prompt_id for question in batch.questions] for batch in loader]


class Recorder(LightningModule):
    """Notes the prompts it is given and takes two optimiser steps for each batch."""

    def __init__(self, save_after=None, path=None, stop_in=None):
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.seen, self.num_batches = [], 0
        self.save_after, self.path, self.stop_in = save_after, path, stop_in

    def training_step(self, batch):
        if self.num_batches == self.stop_in:
            self.trainer.save_checkpoint(self.path)
            raise InterruptedError
        self.seen.extend(question.prompt_id for question in batch.questions)
        optimizer = self.optimizers()
        for _ in range(2):
            optimizer.step()

    def on_train_batch_end(self, *_):
        self.num_batches += 1
        if self.num_batches == self.save_after:
            self.trainer.save_checkpoint(self.path)

    def validation_step(self, batch):
        assert not batch.images[0][0].is_floating_point()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(path, **settings):
    settings = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False} | settings
    return Trainer(default_root_dir=path, accelerator="cpu", enable_checkpointing=False, **settings)


def fit(path, root, max_epochs, resume=None, model=None, num_workers=0, **settings):
    model = model or Recorder()
    runner = trainer(path, max_epochs=max_epochs, **settings)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        runner.fit(model, datamodule=make(root, num_workers=num_workers), ckpt_path=resume, weights_only=False)
    return model.seen, runner


def test_no_scene_is_in_two_splits(root):
    data = make(root)
    scenes = {name: {clip.scene_id for clip in part.clips} for name, part in data.mixed.items()}
    assert set(scenes) == {"train", "val", "test"}
    assert sum(map(len, scenes.values())) == len(set.union(*scenes.values())) == 10
    for part in data.mixed.values():
        assert {clip.domain for clip in part.clips} == {"navigation", "manipulation"}


def test_split_is_seeded_and_proportional():
    clips = [arm_clip([0, 1], clip_id=f"{k}-{n}", scene_id=f"s{k}") for k in range(40) for n in range(2)]
    one, same, other = (split_by_scene(clips, 0.1, 0.2, seed) for seed in (0, 0, 1))
    assert [len(part) for part in (one.train, one.val, one.test)] == [56, 8, 16]
    assert one == same != other
    assert not split_by_scene(clips, 0, 0).val


def test_empty_split_error_states_the_remedy():
    clips = [arm_clip([0, 1], clip_id="a", scene_id="s")]
    with pytest.raises(EmptySplitError, match=r"val split.*1 clips of 1 scenes"):
        split_by_scene(clips)
    with pytest.raises(ConfigError, match="sum to less than 1"):
        split_by_scene(clips, 0.5, 0.5)


def test_evaluation_prompts_are_fixed_and_complete(root):
    data = make(root)
    assert ids(data.val_dataloader()) == [["val/0/0", "val/0/1"], ["val/0/2", "val/0/3"], ["val/0/4"]]
    assert ids(data.test_dataloader()) == ids(data.predict_dataloader()) == [["test/0/0", "test/0/1"], ["test/0/2"]]
    assert make(root, val_fraction=0.0).val_dataloader() == []


def test_runs_of_any_seed_are_asked_the_same_held_out_questions(root):
    def texts(split, **seeds):
        data = make(root, **seeds)
        return [data.mixed[split][number].question for number in range(3)]

    for split in ("val", "test"):
        assert texts(split, seed=0) == texts(split, seed=1) != texts(split, held_out_seed=1)
    assert texts("train", seed=0) != texts("train", seed=1)


def test_train_loader_starts_where_the_state_says(root):
    data = make(root)
    assert data.state_dict()["next_train_batch"] == 0
    data.load_state_dict({"next_train_batch": 4})
    assert data.next_train_batch == 4
    assert ids(data.train_dataloader()) == [
        ["train/1/2", "train/1/3"],
        ["train/1/4", "train/1/5"],
        ["train/2/0", "train/2/1"],
    ]


@pytest.mark.parametrize("function", ["test", "validate", "predict"])
def test_a_checkpoint_of_another_batch_size_can_be_evaluated(root, recwarn, function):
    """As one process evaluates what several have trained: the place in the training data has no part in it."""
    held = {"next_train_batch": 4, "prompts_in_a_batch": 16, "fingerprint": "of other clips"}
    data = make(root)
    data.trainer = SimpleNamespace(global_rank=0, world_size=1, state=SimpleNamespace(fn=function))
    data.load_state_dict(held)
    assert not [warning for warning in recwarn if "other prompts follow" in str(warning.message)]
    data.trainer.state.fn = "fit"
    with pytest.raises(CheckpointError, match="16 prompts"):
        data.load_state_dict(held)


@pytest.mark.parametrize("num_workers", [0, 1])
def test_epochs_continue_without_repeating(root, tmp_path, num_workers):
    seen, _ = fit(tmp_path, root, max_epochs=3, num_workers=num_workers)
    assert seen == [f"train/{epoch}/{number}" for epoch in range(3) for number in range(6)]


def test_limited_epochs_continue_without_gaps(root, tmp_path):
    seen, _ = fit(tmp_path, root, max_epochs=3, limit_train_batches=2)
    assert seen == [f"train/{number // 6}/{number % 6}" for number in range(12)]


@pytest.mark.parametrize("num_batches", [2, 3, *(pytest.param(number, marks=pytest.mark.slow) for number in (1, 4, 5))])
def test_resume_continues_exactly(root, tmp_path, num_batches):
    """Continue from a checkpoint taken after any batch (3 an epoch): no prompt is lost or repeated."""
    path = tmp_path / "middle.ckpt"
    whole, _ = fit(tmp_path, root, max_epochs=3, model=Recorder(save_after=num_batches, path=path))
    rest, _ = fit(tmp_path, root, max_epochs=3, resume=path)
    assert rest == whole[2 * num_batches :]


def test_an_interrupted_batch_is_repeated(root, tmp_path):
    path, model = tmp_path / "middle.ckpt", Recorder(stop_in=4, path=tmp_path / "middle.ckpt")
    with pytest.raises(InterruptedError):
        fit(tmp_path, root, max_epochs=3, model=model)
    rest, _ = fit(tmp_path, root, max_epochs=3, resume=path)
    assert model.seen + rest == [f"train/{epoch}/{number}" for epoch in range(3) for number in range(6)]


def test_a_finished_run_can_be_prolonged(root, tmp_path):
    """8 optimiser steps are 4 batches, 14 are 7."""
    first, runner = fit(tmp_path, root, max_epochs=-1, max_steps=8)
    runner.save_checkpoint(tmp_path / "last.ckpt")
    second, _ = fit(tmp_path, root, max_epochs=-1, max_steps=14, resume=tmp_path / "last.ckpt")
    assert first + second == [f"train/{number // 6}/{number % 6}" for number in range(14)]


def test_processes_share_the_prompts(root):
    pieces = []
    for rank in (0, 1):
        data = make(root)
        progress = SimpleNamespace(state_dict=lambda: {"total": {"processed": 0}})
        loop = SimpleNamespace(epoch_loop=SimpleNamespace(batch_progress=progress))
        data.trainer = SimpleNamespace(global_rank=rank, world_size=2, fit_loop=loop)
        assert len(list(islice(data.train_dataloader(), 5))) == 1
        pieces.append([prompt for batch in ids(data.val_dataloader()) for prompt in batch])
    assert sorted(pieces[0] + pieces[1]) == [f"val/0/{number}" for number in range(5)]


def test_bad_clips_stop_or_are_left_out(tmp_path):
    root = write_folder(tmp_path / "clips", mixed_clips(5))
    (root / "arm-0.json").write_text("{")
    (root / "camera-1.mp4").write_bytes(b"not a video")
    with pytest.raises(AnnotationError, match=r"arm-0\.json"):
        make(str(root))
    with pytest.warns(UserWarning, match=r"2 .* 8 .*arm-0\.js.*camera-1\.mp4"):
        data = make(str(root), on_bad_clip="skip")
    assert sum(len(part.clips) for part in data.mixed.values()) == 8
    (root / "arm-0.json").unlink()
    with pytest.raises(DecodeError, match=r"camera-1\.mp4"):
        make(str(root))


def test_nothing_usable(tmp_path):
    for policy in ("raise", "skip"):
        with pytest.raises(AnnotationError, match=str(tmp_path)):
            make(str(tmp_path), on_bad_clip=policy)


def test_variables_and_home_in_paths(root, monkeypatch, tmp_path):
    (tmp_path / "clips").symlink_to(root)
    (tmp_path / "left_out.txt").write_text("\ufeffnone*\r\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    for home in ("${HOME}", "~"):
        data = make(f"{home}/clips", exclude=Path(f"{home}/left_out.txt"))
        assert data.root == tmp_path / "clips"
        assert data.exclusions.names == ("none*",)
    with pytest.raises(AnnotationError, match=r"nowhere: .*no such folder"):
        make("${HOME}/nowhere")
    monkeypatch.delenv("REMOT_CLIPS", raising=False)
    with pytest.raises(ConfigError, match="REMOT_CLIPS is not set"):
        data_module("${REMOT_CLIPS}/a")


def test_settings_come_from_a_configuration_file():
    parser = ArgumentParser()
    parser.add_subclass_arguments(MotionDataModule, "data")
    expert = {"class_path": "remot.data.experts.CameraYaw", "init_args": {"salient_min": 12.0}}
    given = {
        "batch_size": 4,
        "tasks": [
            {
                "class_path": "remot.data.tasks.MotionContrast",
                "init_args": {"experts": [expert, {"class_path": "remot.data.experts.CameraPitch"}]},
            }
        ],
        "options": {"on_bad_clip": "skip"},
    }
    settings = parser.parse_object(
        {"data": {"class_path": "remot.data.datamodule.MotionDataModule", "init_args": given}}
    )
    data = parser.instantiate(settings).data
    experts = data.tasks[0].sampler.experts
    assert [type(expert) for expert in experts] == [CameraYaw, CameraPitch]
    assert experts[0].salient_min == 12
    assert (data.batch_size, data.options.on_bad_clip) == (4, "skip")


def test_a_batch_larger_than_an_epoch():
    with pytest.raises(ConfigError, match=r"batch_size.* 9 .*_epoch 8"):
        data_module(batch_size=9, num_train_prompts_per_epoch=8)


def test_scenes_that_are_alone_in_their_stratum_are_divided_together():
    """Five clips of five kinds would else all be for training."""
    clips = [arm_clip([0, 1], clip_id=f"clip-{k}", scene_id=f"scene-{k}", domain=f"domain-{k}") for k in range(5)]
    splits = split_by_scene(clips, val_fraction=0.2, test_fraction=0.2)
    assert [len(part) for part in (splits.train, splits.val, splits.test)] == [3, 1, 1]
