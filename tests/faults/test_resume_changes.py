"""Continuing a run when something around it has changed: exact where that is promised, else refused or reported.

The whole runs are slow; what decides is tested by itself in seconds.
"""

import shutil
import warnings
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn

from remot.commands.training.resume import version_notes
from remot.errors import CheckpointError
from remot.strategies.checkpoint_io import read_checkpoint
from remot.tracking.run_log import versions
from remot.tracking.save_config import VERSIONS_KEY
from tests.data.handmade import camera_clip, mixed_clips, write_folder
from tests.data.made import data_module
from tests.faults.runs import finish
from tests.faults.table import row

SETTINGS = {"batch_size": 4, "num_train_prompts_per_epoch": 8, "num_val_prompts": 2, "num_test_prompts": 2}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("clips"), mixed_clips(5))


def module(root, world_size=1, next_batch=3, **settings):
    """A data module in one of several processes, that has been trained on some batches."""
    data = data_module(str(root), **(SETTINGS | settings))
    data.setup()
    progress = SimpleNamespace(state_dict=lambda: {"total": {"processed": next_batch}})
    epoch_loop = SimpleNamespace(batch_progress=progress)
    data.trainer = SimpleNamespace(
        global_rank=0,
        world_size=world_size,
        fit_loop=SimpleNamespace(epoch_loop=epoch_loop),
        state=SimpleNamespace(fn=TrainerFn.FITTING),
    )
    return data


def restored(data, state):
    """The warnings of loading a state."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        data.load_state_dict(state)
    return [str(one.message) for one in caught]


@pytest.mark.parametrize(("world_size", "batch_size"), [(1, 8), (2, 4), (4, 2)])
def test_more_processes_with_the_same_step_go_on_at_the_same_place(root, world_size, batch_size):
    state = module(root, batch_size=8).state_dict()
    data = module(root, world_size, next_batch=0, batch_size=batch_size)
    assert restored(data, state) == []
    assert data.next_train_batch == 3


@pytest.mark.parametrize(("world_size", "batch_size"), [(2, 8), (1, 4), (3, 3)])
def test_another_number_of_prompts_in_a_step_is_refused(root, world_size, batch_size):
    """They would be repeated or left out: the place is a number of batches."""
    state = module(root, batch_size=8).state_dict()
    with pytest.raises(CheckpointError, match=r"8 prompts.*product is 8"):
        module(root, world_size, batch_size=batch_size).load_state_dict(state)


def test_a_moved_folder_is_the_same_data(root, tmp_path):
    moved = shutil.copytree(root, tmp_path / "moved")
    assert restored(module(moved), module(root).state_dict()) == []


def test_other_clips_are_reported(root, tmp_path):
    changed = shutil.copytree(root, tmp_path / "changed")
    write_folder(changed, [camera_clip([0, 9, 20], clip_id="another")])
    (message,) = restored(module(changed), module(root).state_dict())
    assert "changed" in message
    assert "other prompts" in message


def test_other_records_are_reported(root, tmp_path):
    from remot.commands.data.sources import data_from
    from remot.datatools.build.prompts import build
    from tests.datatools.builds import section_of

    section, states = section_of(root), []
    for number in (20, 24):
        build(data_from(section), tmp_path / str(number), number, section)
        data = data_module(str(root), **SETTINGS, records=tmp_path / str(number))
        data.setup()
        states.append((data, data.state_dict()))
    assert restored(states[0][0], states[0][1]) == []
    assert len(restored(states[1][0], states[0][1])) == 1


def test_checkpoints_of_earlier_versions_go_on(root):
    data = module(root, next_batch=0)
    assert restored(data, {"next_train_batch": 5}) == []
    assert data.next_train_batch == 5


@pytest.mark.parametrize(
    ("recorded", "num_notes"), [("0.1.0", 1), ("{now}", 0), ("{minor}.99", 0), (None, 0), (("0", "1"), 1)]
)
def test_another_minor_version_is_reported(recorded, num_notes):
    now = versions()["transformers"]
    if isinstance(recorded, str):
        recorded = recorded.format(now=now, minor=".".join(now.split(".")[:2]))
    held = {} if recorded is None else {VERSIONS_KEY: versions() | {"transformers": recorded}}
    notes = version_notes(held)
    assert len(notes) == num_notes
    assert all("transformers" in note and now in note for note in notes)


def test_what_is_no_record_of_versions():
    assert version_notes({VERSIONS_KEY: "text"}) == []
    assert version_notes({VERSIONS_KEY: {}}) == []


# -- whole runs ------------------------------------------------------------------------------------------------------


@pytest.fixture
def workplace(tmp_path):
    write_folder(tmp_path / "clips", mixed_clips(4))
    return tmp_path


def adapter(folder):
    from safetensors.torch import load_file

    (file,) = folder.glob("runs/*/*/adapter/adapter_model.safetensors")
    return load_file(file)


def forge_version(checkpoint):
    """As if another minor version of transformers had written it."""
    held = read_checkpoint(checkpoint)
    held[VERSIONS_KEY]["transformers"] = "4.0.0"
    torch.save(held, checkpoint.with_suffix(".new"))
    checkpoint.with_suffix(".new").replace(checkpoint)


CHANGES = {
    "more workers": {"data.num_workers": 2},
    "fewer workers": {"data.num_workers": 0},
    "an epoch boundary": {},
    "another transformers": {},
    "a moved root": {"root": "moved"},
}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("change", CHANGES)
def test_a_continued_run_is_the_uninterrupted_one(workplace, change):
    """Bit for bit: 4 steps without a break, and 2 steps, the change, and 2 more; an epoch has 2 steps."""
    settings = {"model.strategy": "SFT", "data.num_train_prompts_per_epoch": 4, "trainer.max_steps": 4}
    settings["data.num_workers"] = 2 if change == "fewer workers" else 0
    plain = workplace / "plain"
    plain.mkdir()
    (plain / "clips").symlink_to(workplace / "clips")
    code, text = finish(plain, **settings)
    assert code == 0, text
    code, text = finish(workplace, **(settings | {"trainer.max_steps": 2}))
    assert code == 0, text
    flags = ["--ckpt_path", "last"]
    if change == "a moved root":
        shutil.copytree(workplace / "clips", workplace / "moved")
        code, text = finish(workplace, *flags, **(settings | CHANGES[change]))
        assert code == 2, text
        assert "root" in text
        flags += ["--resume.allow", "root", "data.root"]
    if change == "another transformers":
        (checkpoint,) = workplace.glob("runs/*/*/last.ckpt")
        forge_version(checkpoint)
    code, text = finish(workplace, *flags, **(settings | CHANGES[change]))
    assert code == 0, text
    assert ("made with transformers 4.0.0" in text) == (change == "another transformers")
    wanted, found = adapter(plain), adapter(workplace)
    assert wanted.keys() == found.keys()
    same = all(torch.equal(wanted[name], found[name]) for name in wanted)
    row(f"continued after a change: {change}", 1, int(same))
