"""A lock has one owner, ends with its process, and is held by no process that is forked meanwhile."""

import errno
import os
import signal
import time
from pathlib import Path

import pytest

from remot import locks
from remot.locks import LOCK, STAGE, is_unwritten, lock_file_of, locked, staged, staged_files, take_lock


def is_free(path):
    try:
        take_lock(path).release()
    except OSError as error:
        return error.errno != errno.EBUSY
    return True


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_one_at_a_time(tmp_path, kind):
    path = tmp_path if kind == "folder" else tmp_path / "replies.jsonl"
    lock = take_lock(path)
    with pytest.raises(OSError, match="another process") as refused:
        take_lock(path)
    assert refused.value.filename == str(lock_file_of(path))
    lock.release()
    with locked(path):
        assert not is_free(path)
    assert is_free(path)
    held = take_lock(path)
    del held  # as when a store is dropped
    assert is_free(path)


def test_the_lock_of_a_killed_process_blocks_no_other(tmp_path):
    """Nor does what it has forked, such as a data worker that outlives it for some seconds."""
    path, (reader, writer) = tmp_path / "file", os.pipe()
    if (owner := os.fork()) == 0:
        kept = take_lock(path)
        if os.fork() == 0:
            os.write(writer, b"%10d" % os.getpid())
        time.sleep(60)
        os._exit(kept is None)
    worker = int(os.read(reader, 10))
    try:
        assert not is_free(path)
        os.kill(owner, signal.SIGKILL)
        os.waitpid(owner, 0)
        assert is_free(path)
    finally:
        os.kill(worker, signal.SIGKILL)


def test_a_fork_of_the_owner_ends_without_giving_its_lock_away(tmp_path):
    lock = take_lock(tmp_path)
    if (child := os.fork()) == 0:
        lock.release()
        os._exit(0)
    os.waitpid(child, 0)
    assert not is_free(tmp_path)


def test_a_wait_is_reported_and_ends(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(locks, "REPORT_SECONDS", 0.05)
    kept = take_lock(tmp_path)
    with pytest.raises(OSError, match="another process"):
        take_lock(tmp_path, 0.2)
    assert ".lock" in capsys.readouterr().err
    kept.release()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_lock_file_is_refused(tmp_path, make):
    make(tmp_path / ".lock")
    with pytest.raises(OSError, match="regular file"):
        take_lock(tmp_path)


def test_a_staged_folder_is_whole_or_not_there(tmp_path):
    folder = tmp_path / "out"
    with pytest.raises(FileNotFoundError), staged(folder) as stage:
        (stage / "a.txt").write_bytes(Path("none").read_bytes())
    assert not folder.exists()
    (folder / STAGE).mkdir(parents=True)  # as a killed process leaves it
    (folder / STAGE / "old.txt").touch()
    (folder / LOCK).touch()
    assert is_unwritten(folder)
    with staged(folder, is_new=True) as stage:
        (stage / "frames").mkdir()
        (stage / "frames" / "0.png").touch()
        (stage / "manifest.json").touch()
        with pytest.raises(OSError, match="another process"), staged(folder, is_new=True):
            pass
    assert sorted(path.name for path in folder.rglob("*")) == ["0.png", "frames", "manifest.json"]
    with pytest.raises(OSError, match="not empty"), staged(folder, is_new=True):
        pass
    with staged(folder) as stage:
        (stage / "frames").mkdir()
        (stage / "frames" / "1.png").touch()
    assert sorted(path.name for path in folder.rglob("*")) == ["0.png", "1.png", "frames", "manifest.json"]


def test_staged_files_are_whole_or_not_there(tmp_path):
    one, other = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    with pytest.raises(FileNotFoundError), staged_files(one, other) as unfinished, unfinished[0].open("w") as file:
        file.write(Path("none").read_text())
    assert list(tmp_path.iterdir()) == []
    with staged_files(one, other) as unfinished:
        unfinished[0].write_text("whole")
        with pytest.raises(OSError, match="another process"), staged_files(one):
            pass
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.jsonl", "whole")]
