"""One run, one owner: a folder with a living owner is refused, one of a dead process is not."""

import os
import signal
import time

import pytest

from remot.commands.training.resume import Sought, requeued_checkpoint
from remot.commands.training.run_folder import FolderLock, read_owner, remove_unused
from remot.errors import ConfigError
from remot.strategies.checkpoint_io import write_checkpoint
from tests.faults.test_checkpoint_files import SOUGHT, content


def hold(folder):
    """A process that owns the folder until it is killed, and whose own child outlives it."""
    reader, writer = os.pipe()
    owner = os.fork()
    if owner == 0:
        kept = FolderLock(folder)
        if os.fork() == 0:  # a data worker
            os.write(writer, b"%10d" % os.getpid())
        time.sleep(60)
        os._exit(kept is None)
    return owner, int(os.read(reader, 10))


def test_a_living_owner_is_named_and_a_dead_one_is_not(tmp_path):
    owner, worker = hold(tmp_path)
    try:
        with pytest.raises(ConfigError, match=rf"process {owner} on "):
            FolderLock(tmp_path)
        assert read_owner(tmp_path)["pid"] == owner
        os.kill(owner, signal.SIGKILL)
        os.waitpid(owner, 0)
        FolderLock(tmp_path).release()  # at once, though the worker is still there
        assert read_owner(tmp_path)["pid"] == os.getpid()
    finally:
        os.kill(worker, signal.SIGKILL)


def test_a_refused_run_leaves_no_folder(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    FolderLock(folder).release()
    remove_unused(folder)
    assert not folder.exists()


def test_what_the_owner_file_holds_is_not_trusted(tmp_path):
    for text in ("", "[1]", "{", "x" * 10_000_000):
        (tmp_path / ".owner.json").write_text(text)
        assert read_owner(tmp_path) == {}


def test_a_job_that_is_queued_again_goes_on_in_its_folder(tmp_path, monkeypatch):
    """Of two runs of one job, the one with the same strategy and model; not on the first start; not of another job."""
    monkeypatch.setenv("SLURM_JOB_ID", "71")
    for name, strategy in (("a", "SFT"), ("b", "GRPO")):
        write_checkpoint(
            content(4) | {"remot": {"strategy": strategy, "base_model": "tiny"}}, tmp_path / name / "last.ckpt"
        )
        FolderLock(tmp_path / name).release()
    assert requeued_checkpoint(tmp_path, SOUGHT, dict) is None
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert requeued_checkpoint(tmp_path, SOUGHT, dict) == tmp_path / "a" / "last.ckpt"
    (tmp_path / "a" / "last.ckpt").write_bytes(b"")
    assert requeued_checkpoint(tmp_path, SOUGHT, dict) is None
    monkeypatch.setenv("SLURM_JOB_ID", "72")
    assert requeued_checkpoint(tmp_path, Sought("GRPO", "tiny"), dict) is None
