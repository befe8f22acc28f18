"""Clips that vanish, break or change under a running fit, and data workers that end or stop: what a run does then."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings

import pytest
import torch
from lightning.pytorch import Callback

from remot.callbacks import InterruptCheckpoint, RunCheckpoint
from remot.data.datasets import loaders
from remot.errors import ConfigError, DecodeError, ResourceError
from remot.strategies import SFT
from remot.strategies.checkpoint_io import read_checkpoint
from tests.data.handmade import mixed_clips, write_folder
from tests.data.made import data_module
from tests.faults.table import row
from tests.strategies.test_module import Notebook, make_trainer, ready_module

pytestmark = [
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint.*:UserWarning"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),
    pytest.mark.filterwarnings("ignore:.*lead a process to|.*multi-threaded, use of fork:DeprecationWarning"),
]
SETTINGS = {"batch_size": 2, "num_train_prompts_per_epoch": 8, "num_val_prompts": 4, "num_test_prompts": 2}


@pytest.fixture
def root(tmp_path):
    return write_folder(tmp_path / "clips", mixed_clips(4))


def unread_data(root, **settings):
    return data_module(str(root), **SETTINGS | settings)


def make_data(root, **settings):
    data = unread_data(root, **settings)
    data.setup()
    return data


def delete(file):
    file.unlink()


def truncate(file):
    os.truncate(file, file.stat().st_size // 3)


def replace_content(file):
    """Another good clip's video of the same length, which the annotation does not describe."""
    shutil.copyfile(sorted(file.parent.glob("*.mp4"))[-1], file)


def replace_by_rename(file):
    """The same by a file that is older than the run, as ``mv`` and ``rsync`` leave it."""
    other = file.with_name("other")
    shutil.copyfile(sorted(file.parent.glob("*.mp4"))[-1], other)
    os.utime(other, (1e9, 1e9))
    other.replace(file)


FAULTS = (delete, truncate, replace_content, replace_by_rename)


def ids_of(batches):
    return [question.prompt_id for batch in batches for question in batch.questions]


def clips_of(batches):
    return [clip_id for batch in batches for clip_id in batch.clip_ids]


def victim_of(data, address, split="train"):
    """The video of the clip that a prompt is about, and the clip's name."""
    _, clip, _ = data.prompts[split].plan(address)
    return clip.media, clip.clip_id


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_prompt_that_cannot_be_read_is_replaced_by_its_address(root, fault, split):
    """Same task, other clip, a name of its own; the same whether one process or two decode, and in a second pass."""
    data = make_data(root, on_bad_clip="skip")
    loader = {"train": data.train_dataloader, "val": data.val_dataloader}[split]
    before = list(loader())
    file, clip_id = victim_of(data, 1, split)
    time.sleep(0.02)  # the kernel's clock ticks
    fault(file)
    with pytest.warns(UserWarning, match=clip_id) as warned:
        found = list(loader())
    told = [str(one.message) for one in warned if clip_id in str(one.message)]
    assert len(told) == 1
    assert file.name in told[0]
    affected = [number for number, name in enumerate(clips_of(before)) if name == clip_id]
    names, wanted = ids_of(found), ids_of(before)
    assert affected
    assert [number for number in range(len(names)) if names[number] != wanted[number]] == affected
    assert all(names[number].startswith(f"{split}~") for number in affected)
    assert clip_id not in clips_of(found)
    assert sum(len(batch.replaced) for batch in found) == len(affected)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # named once
        again = list(loader())
    assert ids_of(again) == names
    assert all(torch.equal(a[0], b[0]) for one, two in zip(found, again, strict=True)
               for a, b in zip(one.images, two.images, strict=True))  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_by_default_it_ends_the_pass_with_prompt_and_clip(root, fault):
    data = make_data(root)
    file, clip_id = victim_of(data, 0)
    time.sleep(0.02)
    fault(file)
    with pytest.raises(DecodeError) as raised:
        list(data.train_dataloader())
    assert all(part in str(raised.value) for part in ("train/0/0", clip_id, file.name, "on_bad_clip"))


def test_links_and_permissions_are_no_change(root):
    """Backups link, and set permissions, without touching content."""
    data = make_data(root)
    time.sleep(0.02)
    backup = root.parent / "backup"
    backup.mkdir()
    for file in root.glob("*.mp4"):
        file.chmod(0o600)
        os.link(file, backup / file.name)
    assert len(list(data.train_dataloader())) == 4


def test_without_any_clip_left_the_run_ends(root):
    data = make_data(root, on_bad_clip="skip")
    for file in root.glob("*.mp4"):
        file.unlink()
    with pytest.raises(DecodeError, match="8 prompts in its place"):
        list(data.train_dataloader())


def test_recorded_prompts_are_replaced_too(tmp_path):
    """A file of the training prompts, and one of the validation prompts, whose order is that of the file."""
    from tests.datatools.builds import VARIED, built, varied_root

    folder = built(varied_root(tmp_path / "varied"), tmp_path / "built", 30, **VARIED)[0]
    data = data_module(records=folder, batch_size=1, num_train_prompts_per_epoch=4, on_bad_clip="skip")
    data.setup()
    before = ids_of(data.val_dataloader())
    file = data.prompts["val"].record(0).image_files[0]
    file.unlink()
    with pytest.warns(UserWarning, match=file.name):
        after = ids_of(data.val_dataloader())
    assert after[0].startswith(f"val~1/{before[0]}/")
    assert after[1] == before[1]
    assert ids_of(data.val_dataloader()) == after


# -- a whole fit ---------------------------------------------------------------------------------------------------


class AtStep(Callback):
    """Calls ``fault`` when a step ends, and keeps the prompts of all steps."""

    def __init__(self, fault=lambda: None, step=-1):
        self.fault, self.step, self.seen = fault, step, []

    def on_train_batch_start(self, trainer, module, batch, number):  # noqa: ARG002
        self.seen.append(ids_of([batch]))

    def on_train_batch_end(self, trainer, *_, **__):
        if trainer.global_step == self.step:
            self.fault()


def run(folder, data, *callbacks, max_steps=8, ckpt_path=None, save_every=100, **settings):
    keeper, seen, notebook = RunCheckpoint(dirpath=folder, every_n_train_steps=save_every), AtStep(), Notebook()
    module, callbacks = ready_module(SFT()), [keeper, InterruptCheckpoint(), seen, *callbacks]
    kept = {"enable_checkpointing": True, "use_distributed_sampler": False, "max_steps": max_steps, **settings}
    trainer = make_trainer(folder, logger=notebook, callbacks=callbacks, **kept)
    torch.manual_seed(0)
    trainer.fit(module, data, ckpt_path=ckpt_path)
    return module, notebook, seen.seen


def weights(module):
    return {name: p.detach().clone() for name, p in module.policy.named_parameters() if p.requires_grad}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*other prompts take its place")
def test_a_fit_counts_replacements_and_resumes_exactly(root, tmp_path):
    """A clip is deleted after step 2; what goes on from step 4 is what the run without a stop did."""
    data, survey = unread_data(root, on_bad_clip="skip"), make_data(root)
    file, _ = victim_of(survey, 5)
    whole, notebook, seen = run(tmp_path / "whole", data, AtStep(lambda: delete(file), 2), max_steps=8, save_every=4)
    counts = [step.get("train/replaced_prompts", 0) for step in notebook.logged]
    assert counts[-1] == sum(name.startswith("train~") for batch in seen for name in batch) > 0
    assert read_checkpoint(tmp_path / "whole" / "previous.ckpt")["global_step"] == 4
    second, other, rest = run(
        tmp_path / "whole", unread_data(root, on_bad_clip="skip"), ckpt_path=tmp_path / "whole" / "previous.ckpt"
    )
    assert rest == seen[4:]
    assert [step.get("train/replaced_prompts", 0) for step in other.logged] == counts[4:]
    torch.testing.assert_close(weights(second), weights(whole), rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore:.*other prompts take its place")
def test_validation_within_a_fit_counts_its_own(root, tmp_path):
    data = make_data(root, on_bad_clip="skip")
    file, clip_id = victim_of(data, 0, "val")
    affected = sum(batch.clip_ids.count(clip_id) for batch in data.val_dataloader())
    settings = {"val_check_interval": 2, "limit_val_batches": 10, "max_steps": 4}
    _, notebook, _ = run(tmp_path / "run", data, AtStep(lambda: delete(file), 1), **settings)
    found = [one["val/replaced_prompts"] for one in notebook.validated if "val/replaced_prompts" in one]
    assert found == [affected, affected]


def test_by_default_the_step_before_is_saved(root, tmp_path):
    data = make_data(root)
    file, clip_id = victim_of(data, 5)
    with pytest.raises(DecodeError, match=clip_id):
        run(tmp_path / "run", data, AtStep(lambda: delete(file), 1))
    assert read_checkpoint(tmp_path / "run" / "last.ckpt")["global_step"] >= 1


# -- data workers --------------------------------------------------------------------------------------------------


def killed(worker):
    os.kill(worker.pid, signal.SIGKILL)


def stopped(worker):
    time.sleep(0.5)  # until its prefetched batches are written: half a message keeps the reader from its clock
    os.kill(worker.pid, signal.SIGSTOP)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(loaders, "POLL_SECONDS", 0.2)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("fault", [killed, pytest.param(stopped, marks=pytest.mark.slow)])
def test_workers_that_end_or_stop_are_replaced(root, fault):
    """The batches are those without a fault; the run waits no longer than the limit."""
    data = make_data(root, num_workers=2, on_bad_clip="skip", max_wait_seconds=1, num_train_prompts_per_epoch=48)
    wanted = ids_of(make_data(root, num_train_prompts_per_epoch=48).train_dataloader())
    loader = data.train_dataloader()
    batches = iter(loader)
    found = [next(batches), next(batches)]
    workers = list(loader._iterator._workers)
    started = time.monotonic()
    for worker in workers:
        fault(worker)
    with pytest.warns(UserWarning, match="take up their work"):
        found += list(batches)
    assert time.monotonic() - started < 20
    assert ids_of(found) == wanted
    assert not any(worker.is_alive() for worker in workers)
    loader._end_workers()


def test_a_worker_that_is_killed_during_a_step_is_named_at_the_next_batch(root):
    """Not in the middle of what the step calls, where a library may take it for a fault of its own."""
    loader = make_data(root, num_workers=1, num_train_prompts_per_epoch=48).train_dataloader()
    batches = iter(loader)
    next(batches)
    (worker,) = loader._iterator._workers
    killed(worker)
    worker.join(5)
    time.sleep(0.1)  # Python calls the handler of the signal of its end here, in the step
    with pytest.raises(ResourceError, match="a data worker has ended"):
        list(batches)
    row("worker killed during a step", 1, 1)


@pytest.mark.usefixtures("quick")
def test_a_batch_that_cannot_be_sent_ends_its_worker(root, monkeypatch, capfd):
    """As where /dev/shm of a container is full, or too many files are open: Python drops it, and nothing would come."""

    def no_room(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("multiprocessing.reduction.DupFd", no_room)
    loader = make_data(root, num_workers=1, max_wait_seconds=20, num_train_prompts_per_epoch=48).train_dataloader()
    started = time.monotonic()
    with pytest.raises(ResourceError, match="a data worker has ended"):
        next(iter(loader))
    assert time.monotonic() - started < 10
    assert "cannot send a batch: [Errno 28] No space left" in capfd.readouterr().err
    row("no shared memory for a batch", 1, 1)


@pytest.mark.usefixtures("quick")
def test_stopped_workers_end_the_run_in_time_by_default(root):
    data = make_data(root, num_workers=1, max_wait_seconds=1, num_train_prompts_per_epoch=48)
    loader = data.train_dataloader()
    batches = iter(loader)
    next(batches)
    (worker,) = loader._iterator._workers
    stopped(worker)
    started = time.monotonic()
    with pytest.raises(ResourceError, match="max_wait_seconds"):
        list(batches)
    assert time.monotonic() - started < 10
    worker.join(5)
    assert not worker.is_alive()


@pytest.mark.parametrize("on_bad_clip", ["raise", "skip"])
def test_a_read_without_workers_that_never_returns_ends_in_time(root, monkeypatch, on_bad_clip):
    """As of a disk that does not answer; it is reported, and with ``skip`` tried twice more."""
    data = make_data(root, on_bad_clip=on_bad_clip, max_wait_seconds=0.4, num_train_prompts_per_epoch=48)
    batches = iter(data.train_dataloader())
    next(batches)
    monkeypatch.setattr(loaders, "REPORT_SECONDS", 0.1)
    monkeypatch.setattr(loaders._ByAddress, "__getitem__", lambda *_: threading.Event().wait())
    started = time.monotonic()
    with pytest.warns(UserWarning, match="batch") as warned, pytest.raises(ResourceError, match="max_wait_seconds"):
        next(batches)
    assert time.monotonic() - started < 5
    assert any("waiting for a batch" in str(one.message) for one in warned)
    row("reads that never return, without workers", 1, 1)


@pytest.mark.usefixtures("quick")
def test_waiting_is_reported(root, monkeypatch):
    data = make_data(root, num_workers=1, max_wait_seconds=1.5, num_train_prompts_per_epoch=48)
    loader = data.train_dataloader()
    batches = iter(loader)
    next(batches)
    monkeypatch.setattr(loaders, "REPORT_SECONDS", 0.1)
    stopped(loader._iterator._workers[0])
    with pytest.warns(UserWarning, match="waiting for a batch") as warned, pytest.raises(ResourceError):
        list(batches)
    assert len(warned) == 1


def test_the_limit_has_to_be_positive():
    for seconds in (0, -1, float("nan")):
        with pytest.raises(ConfigError, match="max_wait_seconds"):
            data_module(max_wait_seconds=seconds)


@pytest.mark.slow
def test_a_process_ends_although_its_worker_is_stopped(root):
    """Python joins its processes at the end, for ever if one is stopped."""
    script = (
        "import os, signal, sys\nfrom remot.data import MotionDataModule\n"
        "data = MotionDataModule(sys.argv[1], batch_size=2, num_train_prompts_per_epoch=8, num_workers=1)\n"
        "data.setup()\nloader = data.train_dataloader()\nbatches = iter(loader)\nnext(batches)\n"
        "os.kill(loader._iterator._workers[0].pid, signal.SIGSTOP)\nsys.exit(5)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(root)], timeout=60, check=False)
    assert done.returncode == 5
    row("process with a stopped worker", 1, 1)
