"""One process at a time: the lock on whatever several must not write to together, by ``filelock``.

The kernel takes a lock back when its process ends, however it ends; its file may stay. A folder that is to be written
as a whole is :func:`staged` under such a lock.
"""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from remot.terminal import write_err

#: A wait is reported after this long.
REPORT_SECONDS = 10.0
#: The lock file of a folder, and where its files are until all are written; a killed process may leave both.
LOCK, STAGE = ".lock", ".partial"


def lock_file_of(path: Path) -> Path:
    """The lock file of a file, which lies beside it, or of a folder, which lies within."""
    return path / LOCK if path.is_dir() else path.with_name(f"{path.name}.lock")


def take_lock(path: Path, wait_seconds: float = 0.0) -> FileLock:
    """Have ``path`` for this process, until the lock is released or no longer referred to.

    Processes that are forked meanwhile do not have it. File systems without locks are not guarded.

    Args:
        path: A file, which need not exist, or a folder.
        wait_seconds: How long another process is waited for; a longer wait is reported.

    Raises:
        OSError: If another process, or another user in this one, has it, or the lock file cannot be made.
    """
    file = lock_file_of(path)
    if file.is_symlink() or (file.exists() and not file.is_file()):
        raise OSError(errno.EINVAL, "is no regular file, remove it", str(file))
    lock = FileLock(file, thread_local=False)
    with suppress(NotImplementedError):
        try:
            lock.acquire(timeout=min(wait_seconds, REPORT_SECONDS))
        except Timeout:
            _wait_on(lock, wait_seconds - REPORT_SECONDS)
    return lock


def _wait_on(lock: FileLock, seconds: float) -> None:
    if seconds > 0:
        write_err(f"Waiting for another process that holds {lock.lock_file}.\n")
    try:
        lock.acquire(timeout=max(seconds, 0.0))
    except Timeout as error:
        raise OSError(errno.EBUSY, "another process is writing to it", str(lock.lock_file)) from error


@contextmanager
def locked(path: Path, wait_seconds: float = 0.0) -> Iterator[None]:
    """Have ``path`` while the body runs, see :func:`take_lock`."""
    lock = take_lock(path, wait_seconds)
    try:
        yield
    finally:
        lock.release()


def is_unwritten(folder: Path) -> bool:
    """True for a folder that is not there, is empty, or holds only what a killed process left that was writing it."""
    return not folder.exists() or (folder.is_dir() and {path.name for path in folder.iterdir()} <= {LOCK, STAGE})


@contextmanager
def staged(folder: Path, *, is_new: bool = False) -> Iterator[Path]:
    """A folder whose content becomes that of ``folder`` once all of it is written; what is left early leaves nothing.

    Files by which others are found, manifests and configurations, come last. Files of other names stay.

    Args:
        folder: Made if it is not there.
        is_new: Refuse one that holds something.

    Raises:
        OSError: If it cannot be written to, holds something that it must not, or another process writes to it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    stage = folder / STAGE
    with locked(folder):
        try:
            if is_new and not is_unwritten(folder):
                raise OSError(errno.ENOTEMPTY, "it is not empty", str(folder))
            shutil.rmtree(stage, ignore_errors=True)
            stage.mkdir()
            yield stage
            _move_up(stage, folder)
        finally:
            shutil.rmtree(stage, ignore_errors=True)
            lock_file_of(folder).unlink(missing_ok=True)
            with suppress(OSError):
                folder.rmdir()  # unless it holds something


@contextmanager
def staged_files(*files: Path) -> Iterator[list[Path]]:
    """Where files of one folder are written until all of them are whole; those that are then there are renamed.

    Raises:
        OSError: If they cannot be written, or another process writes them.
    """
    files[0].parent.mkdir(parents=True, exist_ok=True)
    unfinished = [file.with_name(f".{file.name}{STAGE}") for file in files]
    with locked(files[0]):
        try:
            yield unfinished
            for path, file in zip(unfinished, files, strict=True):
                if path.exists():
                    path.replace(file)
        finally:
            for path in (*unfinished, lock_file_of(files[0])):
                path.unlink(missing_ok=True)


def _move_up(stage: Path, folder: Path) -> None:
    for path in sorted(stage.iterdir(), key=lambda path: (path.suffix == ".json", path.name)):
        target = folder / path.name
        if path.is_dir() and target.is_dir():
            _move_up(path, target)
        else:
            path.replace(target)
