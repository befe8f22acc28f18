"""A folder of placeholders for the files below a URL, each fetched when it is opened, in a bounded number of bytes.

A placeholder has the size of the file, no content and no permissions. Whether a file is there, its size, and what a
folder holds are thus known without fetching, and readers see paths of this machine. The time of modification stands
for the version, the time of access is that of the last use.
"""

import errno
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from remot import files
from remot.data.remote.listing import RemoteFile, file_of, listed, opened, shown_url
from remot.errors import ConfigError
from remot.files import cause_of, read_bounded, write_whole
from remot.locks import locked

#: A file used less than this long ago stays: between the check and the opening by name it must not vanish.
SPARED_SECONDS = 5.0
#: What is left of the bytes when some have to go, so that the folder is not searched for each file.
KEPT_SHARE = 0.8
#: Longest wait for other processes, and for room.
WAIT_SECONDS = 600.0
#: How often a fetch is tried, and the pause after the first try, which doubles.
TRIES, PAUSE_SECONDS = 3, 1.0
#: Locks of files; names share them.
NUM_LOCKS = 64
CHUNK_BYTES = 2**22
FETCHED_MODE = 0o600

#: The folders of this process that are filled on demand, by the path of their files.
_FOLDERS: "dict[Path, RemoteFolder]" = {}


@dataclass
class RemoteFolder:
    """Files below a URL as a folder of this machine.

    Args:
        url: Any that fsspec opens, such as ``s3://bucket/clips``.
        cache_dir: Holds a folder for each URL. Processes share it.
        cache_bytes: Most bytes of fetched files of this URL; those not used for longest go first.
    """

    url: str
    cache_dir: Path
    cache_bytes: int
    #: What :meth:`refresh` found in the file ``state``; another content means that listed files have changed.
    state: bytes = field(default=b"", init=False)

    def __post_init__(self) -> None:
        if self.cache_bytes < 1:
            msg = f"data.options.cache_bytes is {self.cache_bytes}, give the number of bytes that may be kept"
            raise ConfigError(msg)
        digest = hashlib.blake2b(self.url.rstrip("/").encode(), digest_size=8).hexdigest()
        self.folder = self.cache_dir.resolve() / f"remote-{digest}"
        self.root = self.folder / "files"
        self.partial = self.folder / "partial"

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._register()  # in a process that loads data

    def _register(self) -> None:
        _FOLDERS[self.root] = self
        if before_opening not in files.BEFORE_OPENING:
            files.BEFORE_OPENING.append(before_opening)

    # -- listing ---------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """List the URL and make a placeholder for each file that is new or has changed; others stay as they are.

        Raises:
            AnnotationError: If there is no file, or a name cannot be used.
            ConfigError: If the storage cannot be reached, or the cache folder cannot be written to.
        """
        found = listed(self.url)
        try:
            for folder in (self.root, self.partial, self.folder / "locks"):
                folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder, WAIT_SECONDS):
                is_changed = self._remove_all_but({file.name for file in found})
                for file in found:
                    is_changed |= self._place(file)
                if is_changed or not self._state_file.is_file():
                    write_whole(self._state_file, uuid4().hex)
                self.state = read_bounded(self._state_file, 64)
        except OSError as error:
            msg = f"data.options.cache_dir: {error.filename or self.folder}: cannot be used ({cause_of(error)})"
            raise ConfigError(msg) from error
        self._register()

    @property
    def _state_file(self) -> Path:
        return self.folder / "state"

    def _remove_all_but(self, names: set[str]) -> bool:
        """Whether files had to go that are no longer listed."""
        gone = [path for path in _files_below(self.root) if path.relative_to(self.root).as_posix() not in names]
        for path in gone:
            path.unlink()
            for folder in path.relative_to(self.root).parents[:-1]:
                with suppress(OSError):
                    (self.root / folder).rmdir()  # unless it holds something
        return bool(gone)

    def _place(self, file: RemoteFile) -> bool:
        """Make a placeholder unless the file is known; whether another version was."""
        path = self.root / file.name
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._empty(path, file.num_bytes, file.version)
            return False
        held = path.stat()
        if (held.st_size, int(held.st_mtime)) == (file.num_bytes, file.version):
            return False
        self._empty(path, file.num_bytes, file.version)
        return True

    def _empty(self, path: Path, num_bytes: int, version: int) -> None:
        """Put a placeholder in the place of a file. Who has the file open goes on reading it."""
        empty = self.partial / f"empty-{os.getpid()}"
        empty.unlink(missing_ok=True)
        os.close(os.open(empty, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o200))
        os.truncate(empty, num_bytes)
        empty.chmod(0)
        os.utime(empty, (0, version))
        empty.replace(path)

    # -- fetching --------------------------------------------------------------------------------------------------

    def require(self, path: Path) -> None:
        """Fetch a file unless it is there, and note that it is used.

        Raises:
            OSError: If it is missing, has changed since it was listed, or is larger than what may be kept.
            ConfigError: If the storage cannot be reached.
        """
        name = path.relative_to(self.root).as_posix()
        if read_bounded(self._state_file, 64) != self.state:
            raise OSError(errno.ESTALE, f"files of {shown_url(self.url)} have changed since this run listed them", name)
        held = path.stat()
        if _is_placeholder(held):
            number = hashlib.blake2b(name.encode(), digest_size=1).digest()[0] % NUM_LOCKS
            with locked(self.folder / "locks" / str(number), WAIT_SECONDS):
                if _is_placeholder(path.stat()):  # no other process has fetched it meanwhile
                    self._fetch(name, path, held, self.partial / str(number))
        with suppress(OSError):
            os.utime(path, ns=(time.time_ns(), held.st_mtime_ns))

    def _fetch(self, name: str, path: Path, held: os.stat_result, partial: Path) -> None:
        self._reserve(held.st_size, partial)
        for attempt in range(1, TRIES + 1):
            try:
                with partial.open("r+b") as local:
                    self._copy(name, held, local)
                break
            except (FileNotFoundError, _ChangedError) as error:
                partial.unlink()
                text = f"{shown_url(self.url)}/{name} has changed or is gone since it was listed"
                raise OSError(errno.ESTALE, text, str(path)) from error
            except Exception as error:  # storage packages raise exceptions of their own
                if attempt == TRIES:
                    partial.unlink()
                    what = f"cannot be fetched ({type(error).__name__}: {str(error)[:200]})"
                    msg = f"{shown_url(self.url)}/{name}: {what}; check the network and your credentials, then continue"
                    raise ConfigError(msg) from error
                time.sleep(PAUSE_SECONDS * 2 ** (attempt - 1))
        partial.chmod(FETCHED_MODE)
        os.utime(partial, ns=(time.time_ns(), held.st_mtime_ns))
        partial.replace(path)

    def _copy(self, name: str, held: os.stat_result, local: BinaryIO) -> None:
        """Copy a file that has the size and version of its placeholder."""
        file_system, base = opened(self.url)
        remote = f"{base.rstrip('/')}/{name}"
        now = file_of(self.url, name, file_system.info(remote))
        if (now.num_bytes, now.version) != (held.st_size, int(held.st_mtime)):
            raise _ChangedError
        local.seek(0)
        left = held.st_size
        with file_system.open(remote, "rb") as stream:
            while left > 0 and (chunk := stream.read(min(left, CHUNK_BYTES))):
                local.write(chunk)
                left -= len(chunk)
        if left:
            msg = f"{left} of {held.st_size} bytes are missing"
            raise EOFError(msg)

    # -- room ------------------------------------------------------------------------------------------------------

    def _reserve(self, num_bytes: int, partial: Path) -> None:
        """Make room for a file, and take it by a file of its size that is to be filled.

        Raises:
            OSError: If it is larger than all that may be kept, or the room is in use for too long.
        """
        if num_bytes > self.cache_bytes:
            text = f"has {num_bytes} bytes, data.options.cache_bytes is {self.cache_bytes}; raise it"
            raise OSError(errno.EFBIG, text)
        used_file, room = self.folder / "used_bytes", self.folder / "locks" / "room"
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            with locked(room, WAIT_SECONDS):
                partial.unlink(missing_ok=True)  # of a process that was killed
                try:
                    used = int(read_bounded(used_file, 32))
                except (OSError, ValueError):
                    used = self.cache_bytes  # not known, so count
                if used + num_bytes > self.cache_bytes:
                    used = self._evict(num_bytes)
                if used + num_bytes <= self.cache_bytes:
                    with partial.open("wb") as file:
                        file.truncate(num_bytes)
                    write_whole(used_file, str(used + num_bytes))
                    return
            if time.monotonic() > deadline:
                raise OSError(errno.ENOSPC, f"data.options.cache_bytes, {self.cache_bytes}, are all in use; raise it")
            time.sleep(SPARED_SECONDS / 10)

    def _evict(self, wanted_bytes: int) -> int:
        """Remove the files not used for longest, and count the bytes that stay."""
        held = [(path, path.stat()) for path in _files_below(self.root)]
        fetched = sorted((one for one in held if not _is_placeholder(one[1])), key=lambda one: one[1].st_atime_ns)
        used = sum(facts.st_size for _, facts in fetched)
        used += sum(path.stat().st_size for path in _files_below(self.partial) if path.name.isdecimal())
        wanted = max(0, int(KEPT_SHARE * self.cache_bytes) - wanted_bytes)
        for path, facts in fetched:
            if used <= wanted or time.time() - facts.st_atime < SPARED_SECONDS:
                break
            self._empty(path, facts.st_size, int(facts.st_mtime))
            used -= facts.st_size
        return used


class _ChangedError(Exception):
    """A file is no longer the one that was listed."""


def _is_placeholder(held: os.stat_result) -> bool:
    return stat.S_ISREG(held.st_mode) and stat.S_IMODE(held.st_mode) == 0


def _files_below(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent) / name for name in names)


def folder_of(path: Path) -> RemoteFolder | None:
    """The folder of this process that ``path`` lies in and that is filled on demand; None for all other paths."""
    return next((folder for root, folder in _FOLDERS.items() if path.is_relative_to(root)), None)


def named_root(root: Path) -> str:
    """The URL that a folder stands for, or its path with all links resolved."""
    folder = folder_of(root)
    return str(root.resolve()) if folder is None else folder.url


def before_opening(path: Path) -> None:
    """Fetch a file that is to be opened, if it lies in a folder that is filled on demand."""
    if (folder := folder_of(path)) is not None and path.is_file():
        folder.require(path)
