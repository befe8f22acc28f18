"""Checkpoint files with injected faults: flipped bits, cut off, empty, forged, a full disk, kills while writing."""

import os
import pickle
import random
import resource
import signal
import tempfile
import time
from pathlib import Path

import pytest
import torch

from remot.commands.training.resume import Sought, find_checkpoint, require_readable
from remot.commands.training.run_folder import FolderLock
from remot.errors import CheckpointError
from remot.strategies import checkpoint_io
from remot.strategies.checkpoint_io import DurableCheckpointIO, is_whole, read_checkpoint, write_checkpoint
from tests.faults.table import row

SOUGHT = Sought("SFT", "tiny")


def content(step, size=2000):
    """A checkpoint of which every byte depends on the step."""
    generator = torch.Generator().manual_seed(step)
    return {
        "global_step": step,
        "epoch": 0,
        "pytorch-lightning_version": "2.6.0",
        "state_dict": {"weight": torch.randn(size, generator=generator)},
        "remot": {"strategy": "SFT", "base_model": "tiny"},
    }


def step_of(path):
    """Step of a file, whose weights are those of that step."""
    held = read_checkpoint(path)
    assert torch.equal(held["state_dict"]["weight"], content(held["global_step"])["state_dict"]["weight"])
    return held["global_step"]


@pytest.fixture
def saved(tmp_path):
    """A run's folder with the files of two saves."""
    folder = tmp_path / "run"
    for step in (1, 2):
        write_checkpoint(content(step), folder / "last.ckpt")
    return folder


def test_the_newest_two_are_kept(saved):
    assert sorted(path.name for path in saved.iterdir()) == ["last.ckpt", "previous.ckpt"]
    assert (step_of(saved / "last.ckpt"), step_of(saved / "previous.ckpt")) == (2, 1)
    write_checkpoint(content(2), saved / "last.ckpt")  # the same step once more, as at the end of an epoch
    assert step_of(saved / "previous.ckpt") == 1


def test_pytorch_reads_the_file_as_it_is(saved):
    for mmap in (False, True):
        assert torch.load(saved / "last.ckpt", weights_only=True, mmap=mmap)["global_step"] == 2


def flips(size):
    """Every byte of the end, with the checksum, and places all over the rest."""
    return [*range(0, size, size // 150), *range(size - 110, size)]


def test_every_flipped_bit_is_found_and_the_previous_file_is_taken(saved):
    path, good = saved / "last.ckpt", (saved / "last.ckpt").read_bytes()
    places = flips(len(good))
    for number, place in enumerate(places):
        damaged = bytearray(good)
        damaged[place] ^= 1 << number % 8
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"last\.ckpt cannot be read"):
            read_checkpoint(path)
    lines = []
    assert find_checkpoint("last", saved.parent, SOUGHT, lines.append) == saved / "previous.ckpt"
    assert "last.ckpt" in lines[0]
    with pytest.raises(CheckpointError, match=r"newest whole one of that run is .*previous\.ckpt"):
        require_readable(path)
    row("flipped bits", len(places), len(places))


def test_every_length_but_the_whole_is_found(saved):
    path, good = saved / "last.ckpt", (saved / "last.ckpt").read_bytes()
    lengths = [0, 1, 3, 4, 22, 100, *range(200, len(good), len(good) // 40), *range(len(good) - 100, len(good))]
    for length in lengths:
        path.write_bytes(good[:length])
        assert not is_whole(path), length
    path.write_bytes(good + b"\0")
    assert not is_whole(path)
    row("cut off", len(lengths), len(lengths))


def test_a_file_without_a_checksum_is_checked_by_its_archive(tmp_path):
    """As files of other tools are."""
    path = tmp_path / "old.ckpt"
    torch.save(content(3), path)
    assert step_of(path) == 3
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(CheckpointError, match=r"old\.ckpt"):
        read_checkpoint(path)


class Command:
    """Would create a file if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def forgeries(folder):
    """Files with the right checksum, or none, that are no checkpoints."""
    touched = folder / "code-ran"
    yield "pickle", pickle.dumps({"global_step": Command(touched)})
    yield "text", b"PK\x03\x04" + b"x" * 500
    for name, held in {
        "code": {"global_step": Command(touched)},
        "list": [1],
        "step": {"global_step": "5"},
        "negative": content(1) | {"global_step": -1},
        "truth": content(1) | {"global_step": True},
        "weights": content(1) | {"state_dict": {"weight": "none"}},
        "names": content(1) | {"state_dict": {3: torch.ones(1)}},
        "facts": content(1) | {"remot": 1},
        "run": content(1) | {"remot_run": [1]},
    }.items():
        path = folder / "forged"
        torch.save(held, path)
        yield name, path.read_bytes()


def test_forged_files_are_refused_and_run_nothing(tmp_path):
    for name, data in forgeries(tmp_path):
        path = tmp_path / f"{name}.ckpt"
        path.write_bytes(data)
        with pytest.raises(CheckpointError, match=rf"{name}\.ckpt cannot be read"):
            read_checkpoint(path)
        with pytest.raises(CheckpointError, match=rf"{name}\.ckpt cannot be read"):
            DurableCheckpointIO().load_checkpoint(path, weights_only=True)
    assert not (tmp_path / "code-ran").exists()
    write_checkpoint({"global_step": 1, "epoch": 0}, tmp_path / "part.ckpt")
    with pytest.raises(CheckpointError, match="state_dict"):
        DurableCheckpointIO().load_checkpoint(tmp_path / "part.ckpt")


# -- the disk ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fraction", [0, 0.1, 0.5, 0.99])
def test_a_disk_without_room_leaves_what_was_saved(saved, fraction):
    """The kernel refuses to let the file grow beyond a limit."""
    limit = int((saved / "last.ckpt").stat().st_size * fraction)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(CheckpointError, match=r"last\.ckpt cannot be written: File too large"):
            write_checkpoint(content(3), saved / "last.ckpt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(path.name for path in saved.iterdir()) == ["last.ckpt", "previous.ckpt"]
    assert (step_of(saved / "last.ckpt"), step_of(saved / "previous.ckpt")) == (2, 1)


def test_a_damaged_file_never_replaces_the_previous_one(saved):
    (saved / "last.ckpt").write_bytes(b"damaged")
    write_checkpoint(content(3), saved / "last.ckpt")
    assert (step_of(saved / "last.ckpt"), step_of(saved / "previous.ckpt")) == (3, 1)


def test_nothing_goes_through_the_folder_for_temporary_files(saved, monkeypatch):
    monkeypatch.setenv("TMPDIR", "/nonexistent")
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent")
    DurableCheckpointIO().save_checkpoint(content(3), saved / "last.ckpt")
    assert step_of(saved / "last.ckpt") == 3


def in_child(work, wait_seconds=None):
    """Run ``work`` in a process of its own, which is killed after a time, if it does not do so itself."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(9)
    if wait_seconds is not None:
        time.sleep(wait_seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    return status


@pytest.mark.parametrize("moment", ["fsync", "replace", "link", "unlink"])
def test_a_kill_between_two_moves_leaves_a_whole_newest_file(saved, monkeypatch, moment):
    """The process is killed as it is about to flush, rename, link, or remove."""

    def kill(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(Path if moment in ("replace", "unlink") else os, moment, kill)
    status = in_child(lambda: write_checkpoint(content(3), saved / "last.ckpt"))
    monkeypatch.undo()
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert step_of(find_checkpoint("last", saved.parent, SOUGHT)) >= 2
    FolderLock(saved).release()
    assert not list(saved.glob(".*.tmp"))


@pytest.mark.slow
def test_kills_at_any_moment_leave_a_whole_file(tmp_path):
    """A process that saves without end is killed; the newest file is never of an older step than before."""
    path, generator, newest = tmp_path / "run" / "last.ckpt", random.Random(0), 1
    started = time.monotonic()
    write_checkpoint(content(1), path)
    longest_wait = max(0.1, 5 * (time.monotonic() - started))  # a few files, also on a machine that does other work

    def save_on():
        for step in range(newest, newest + 10_000):
            write_checkpoint(content(step), path)

    for _ in range(25):
        in_child(save_on, wait_seconds=generator.uniform(0.0, longest_wait))
        found = step_of(path)
        assert found >= newest
        newest = found
    assert newest > 3
    row("kills while writing", 25, 25)


def test_an_error_in_the_middle_is_not_hidden_by_the_one_of_pytorch(tmp_path, monkeypatch):
    """PyTorch reports what a write raised as a position it did not expect."""

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint_io._DigestWriter, "_put", stop)
    with pytest.raises(KeyboardInterrupt):
        write_checkpoint(content(1), tmp_path / "last.ckpt")
    assert list(tmp_path.iterdir()) == []
