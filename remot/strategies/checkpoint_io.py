"""Checkpoint files that are either whole or refused: written beside the target, flushed, renamed, with a digest inside.

The digest is the comment of the zip archive that ``torch.save`` writes, so that the file stays one that PyTorch reads,
and cannot be separated from its digest by copying.
"""

import hashlib
import os
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, BinaryIO, NoReturn, cast
from zipfile import BadZipFile, ZipFile

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.strategies import Strategy as TrainerStrategy
from torch import Tensor

from remot.errors import CheckpointError
from remot.files import cause_of

SUFFIX = ".ckpt"
#: What a file is called once a newer one has taken its name, and what a file that is being written ends with.
PREVIOUS, TEMPORARY = f"previous{SUFFIX}", ".tmp"
#: Begins the comment, whose other characters are the SHA-256 of every byte before it.
_MARK = b"remot-sha256 "
_COMMENT_LENGTH = struct.Struct("<H")  # the last field of an archive; the comment comes behind it
_COMMENT_BYTES = len(_MARK) + 2 * hashlib.sha256().digest_size
_ARCHIVE_END = b"PK\x05\x06"
_ARCHIVE_END_BYTES = 22
_CHUNK_BYTES = 2**22
#: What a checkpoint of a run holds, and of which type each part is.
PARTS: Mapping[str, type | tuple[type, ...]] = {
    "state_dict": dict,
    "global_step": int,
    "epoch": int,
    "optimizer_states": list,
    "lr_schedulers": list,
    "loops": dict,
    "callbacks": dict,
    "remot": dict,
    "remot_run": dict,
    "remot_config": str,
    "pytorch-lightning_version": str,
}
#: Without these there is nothing to go on from.
REQUIRED = ("state_dict", "global_step", "epoch", "pytorch-lightning_version")

#: Files that were found whole, by name: inode, size and time of change at that moment.
_known_whole: dict[Path, tuple[int, int, int]] = {}
#: Steps of the files that this process has written: a second save of a step replaces the first.
_written_steps: dict[Path, object] = {}


class _DigestWriter:
    """File object for ``torch.save``: writes through, with a digest, and keeps back the last bytes and the first error.

    PyTorch reports an error of the disk as a position that it did not expect.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.digest = hashlib.sha256()
        self.error: BaseException | None = None
        self._file, self._held = file, b""

    def write(self, data: bytes) -> int:
        """Write all but the last two bytes so far, which hold the length of the comment."""
        try:
            view = memoryview(data).cast("B")
            if len(view) < _COMMENT_LENGTH.size:
                view = memoryview(self._held + bytes(view))
            else:
                self._put(self._held)
            self._put(view[: -_COMMENT_LENGTH.size])
            self._held = bytes(view[-_COMMENT_LENGTH.size :])
        except BaseException as error:
            self.error = self.error or error
            raise
        return len(data)

    def flush(self) -> None:
        """Nothing: the file is flushed when it is complete."""

    def finish(self) -> None:
        """Write the length of the comment, and the comment."""
        self._put(_COMMENT_LENGTH.pack(_COMMENT_BYTES))
        self._file.write(_MARK + self.digest.hexdigest().encode())

    def _put(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self.digest.update(data)


def write_checkpoint(held: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint so that ``path`` is at every moment the old file or the new one, whatever ends the process.

    The file that ``path`` was becomes :data:`PREVIOUS` beside it, if it is whole and of another step. The new one is
    written in the same folder, never by way of another file system, flushed to the disk and renamed.

    Args:
        held: What to save.
        path: Where to.

    Raises:
        CheckpointError: If it cannot be written; what was there is still there.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            _save(held, file)
            file.flush()
            os.fsync(file.fileno())
        _date_after_others(temporary, path.parent)
        is_same_step = held.get("global_step") == _written_steps.get(path.resolve(), held)
        if path.exists() and not is_same_step and is_whole(path):
            _keep_previous(path)
        temporary.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        msg = f"the checkpoint {path} cannot be written: {error.strerror or error}; what was saved before is unchanged"
        raise CheckpointError(msg) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    _known_whole[path.resolve()], _written_steps[path.resolve()] = _signature(path), held.get("global_step")


def _save(held: Mapping[str, Any], file: BinaryIO) -> None:
    writer = _DigestWriter(file)
    try:
        torch.save(dict(held), cast(IO[bytes], writer))
        writer.finish()
    except BaseException as error:
        if writer.error is not None and writer.error is not error:
            raise writer.error from error
        raise


def _date_after_others(file: Path, folder: Path) -> None:
    """The newest file is found by its time: it stays the newest where the clock was set back."""
    newest = 0
    for other in folder.glob(f"*{SUFFIX}"):
        with suppress(OSError):
            newest = max(newest, other.stat().st_mtime_ns)
    if file.stat().st_mtime_ns <= newest:
        os.utime(file, ns=(newest + 1_000_000, newest + 1_000_000))  # some file systems count no nanoseconds


def _keep_previous(path: Path) -> None:
    """Give the file a second name before the first one is taken from it; where there are no links, rename it."""
    previous = path.with_name(PREVIOUS)
    if path == previous:
        return
    link = path.with_name(f".{PREVIOUS}.{os.getpid()}{TEMPORARY}")
    link.unlink(missing_ok=True)
    try:
        os.link(path, link)
    except OSError:
        path.replace(previous)
    else:
        link.replace(previous)
    _known_whole[previous.resolve()] = _signature(previous)


def _flush_folder(folder: Path) -> None:
    with suppress(OSError):  # not all file systems let a folder be opened
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed process was writing; only the owner of a run's folder may call it."""
    for path in folder.glob(f".*{SUFFIX}.*{TEMPORARY}"):
        with suppress(OSError):
            path.unlink()


def is_whole(path: Path) -> bool:
    """True if :func:`require_whole` finds nothing; files that have not changed since are not read again."""
    try:
        require_whole(path)
    except CheckpointError:
        return False
    return True


def require_whole(path: Path) -> None:
    """Compare every byte of a checkpoint with its digest; one without a digest with the checksums of its archive.

    Raises:
        CheckpointError: If they differ, or the file is empty, cut off, no archive, or cannot be read.
    """
    try:
        signature = _signature(path)
        if _known_whole.get(path.resolve()) == signature:
            return
        fault = _fault(path)
    except (OSError, BadZipFile, ValueError, NotImplementedError, RuntimeError, EOFError) as error:
        fault = cause_of(error) or type(error).__name__
    if fault:
        _refuse(path, fault)
    _known_whole[path.resolve()] = signature


def _signature(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


def _fault(path: Path) -> str:
    """What is wrong with a file in words; "" if nothing is."""
    if not path.is_file():
        return "it is no file"
    size = path.stat().st_size
    if size == 0:
        return "it is empty"
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return "it does not begin as one, or was not written by PyTorch"
        file.seek(max(0, size - _COMMENT_BYTES - _ARCHIVE_END_BYTES))
        end = file.read()
        if end[:-_COMMENT_BYTES][-_ARCHIVE_END_BYTES:][:4] != _ARCHIVE_END:
            return _fault_without_digest(path, end)
        length, comment = end[-_COMMENT_BYTES - _COMMENT_LENGTH.size : -_COMMENT_BYTES], end[-_COMMENT_BYTES:]
        if length != _COMMENT_LENGTH.pack(_COMMENT_BYTES) or not comment.startswith(_MARK):
            return "the end of it is damaged"
        file.seek(0)
        is_same = _digest(file, size - _COMMENT_BYTES) == comment.removeprefix(_MARK)
        return "" if is_same else "its content does not have the checksum it was written with"


def _fault_without_digest(path: Path, end: bytes) -> str:
    """For files of older versions, which end where the archive does."""
    if end[-_ARCHIVE_END_BYTES:][:4] != _ARCHIVE_END or end[-_COMMENT_LENGTH.size :] != b"\0\0":
        return "it is cut off, or the end of it is damaged"
    with ZipFile(path) as archive:
        damaged = archive.testzip()
    return f"the part {damaged} does not have the checksum it was written with" if damaged else ""


def _digest(file: BinaryIO, num_bytes: int) -> bytes:
    digest = hashlib.sha256()
    while num_bytes > 0 and (chunk := file.read(min(_CHUNK_BYTES, num_bytes))):
        digest.update(chunk)
        num_bytes -= len(chunk)
    return digest.hexdigest().encode()


def read_checkpoint(checkpoint: Path) -> dict[str, Any]:
    """What a checkpoint holds; tensors stay in the file until they are used, and nothing in it is executed.

    Raises:
        CheckpointError: If it is damaged or no checkpoint.
    """
    require_whole(checkpoint)
    return _loaded(checkpoint, lambda: torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True))


def _loaded(checkpoint: Path, load: Callable[[], Any]) -> dict[str, Any]:
    try:
        held = load()
    except Exception as error:  # noqa: BLE001 (whatever PyTorch says of a file that is none of its own)
        _refuse(checkpoint, (str(error).splitlines() or [type(error).__name__])[0], error)
    if not isinstance(held, dict):
        _refuse(checkpoint, f"it holds a {type(held).__name__}, no checkpoint of a run")
    for name, kind in PARTS.items():
        if name in held and (not isinstance(held[name], kind) or isinstance(held[name], bool)):
            _refuse(checkpoint, f"its part {name} is a {type(held[name]).__name__}")
    for name, weight in held.get("state_dict", {}).items():
        if not isinstance(name, str) or not isinstance(weight, Tensor):
            _refuse(checkpoint, f"its weight {name!r:.80} is a {type(weight).__name__}, no tensor")
    if held.get("global_step", 0) < 0:
        _refuse(checkpoint, f"it is of step {held['global_step']}")
    return held


def _refuse(checkpoint: Path, reason: str, cause: Exception | None = None) -> NoReturn:
    msg = f"the checkpoint {checkpoint} cannot be read: {reason}"
    raise CheckpointError(msg) from cause


class DurableCheckpointIO(TorchCheckpointIO):
    """Lightning's reading and writing of checkpoints, by :func:`write_checkpoint` and :func:`require_whole`.

    Lightning's own copies each file by way of the folder for temporary files, which may be another, smaller disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: object = None) -> None:
        """Write a local file; other file systems are left to Lightning."""
        if "://" in str(path) or storage_options is not None:
            super().save_checkpoint(checkpoint, path, storage_options)
        else:
            write_checkpoint(checkpoint, Path(path))

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Any = "cpu",  # noqa: ANN401 (as torch.load takes it)
        weights_only: bool | None = None,  # noqa: FBT001 (Lightning's signature)
    ) -> dict[str, Any]:
        """Read a local file that is whole.

        Raises:
            CheckpointError: If it is not.
        """
        if "://" in str(path):
            return super().load_checkpoint(path, map_location, weights_only)
        file = Path(path)
        if not file.is_file():
            _refuse(file, "there is no such file")
        require_whole(file)
        load = lambda: torch.load(file, map_location=map_location, weights_only=weights_only)  # noqa: E731
        held = _loaded(file, load)
        missing = [name for name in REQUIRED if name not in held]
        if missing:
            _refuse(file, f"it lacks {', '.join(missing)}")
        return held


def use_durable_checkpoints(strategy: TrainerStrategy) -> None:
    """Have checkpoints of a trainer written by :class:`DurableCheckpointIO`, unless it was given another plugin."""
    if type(strategy.checkpoint_io) is TorchCheckpointIO:
        strategy.checkpoint_io = DurableCheckpointIO()
