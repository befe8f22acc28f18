"""A folder of placeholders for the files below a URL, each fetched when it is opened, in a bounded number of bytes.

A placeholder has the size of the file, no content and no permissions. Whether a file is there, its size, and what a
folder holds are thus known without fetching, and readers see paths of this machine. The time of modification stands
for the version, the time of access is that of the last use.
"""

import errno
import hashlib
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

from remot import files
from remot.bounded_cache import WAIT_SECONDS, files_below
from remot.data.remote.cache import FETCHED_MODE, PlaceholderCache, is_placeholder
from remot.data.remote.listing import RemoteFile, file_of, listed, opened
from remot.errors import ConfigError
from remot.files import cause_of, read_bounded, write_whole
from remot.locks import locked
from remot.terminal import shown_url

#: How often a fetch is tried, and the pause after the first try, which doubles.
TRIES, PAUSE_SECONDS = 3, 1.0
#: Locks of files; names share them.
NUM_LOCKS = 64
CHUNK_BYTES = 2**22

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
        self._cache = PlaceholderCache(self.folder, self.cache_bytes, "data.options.cache_bytes")

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
            self._cache.make_folders()
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
        gone = [path for path in files_below(self.root) if path.relative_to(self.root).as_posix() not in names]
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
            self._cache.empty(path, file.num_bytes, file.version)
            return False
        held = path.stat()
        if (held.st_size, int(held.st_mtime)) == (file.num_bytes, file.version):
            return False
        self._cache.empty(path, file.num_bytes, file.version)
        return True

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
        if is_placeholder(held):
            number = hashlib.blake2b(name.encode(), digest_size=1).digest()[0] % NUM_LOCKS
            with locked(self.folder / "locks" / str(number), WAIT_SECONDS):
                if is_placeholder(path.stat()):  # no other process has fetched it meanwhile
                    self._fetch(name, path, held, self._cache.partial / str(number))
        with suppress(OSError):
            os.utime(path, ns=(time.time_ns(), held.st_mtime_ns))

    def _fetch(self, name: str, path: Path, held: os.stat_result, partial: Path) -> None:
        self._cache.reserve(held.st_size, partial)
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
                    what = f"cannot be fetched ({type(error).__name__}: {shown_url(str(error))[:200]})"
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
        now = file_of(shown_url(self.url), name, file_system.info(remote))
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


class _ChangedError(Exception):
    """A file is no longer the one that was listed."""


def folder_of(path: Path) -> RemoteFolder | None:
    """The folder of this process that ``path`` lies in and that is filled on demand; None for all other paths."""
    return next((folder for root, folder in _FOLDERS.items() if path.is_relative_to(root)), None)


def named_root(root: Path) -> str:
    """The URL that a folder stands for, without a password, or its path with all links resolved."""
    folder = folder_of(root)
    return str(root.resolve()) if folder is None else shown_url(folder.url)


def before_opening(path: Path) -> None:
    """Fetch a file that is to be opened, if it lies in a folder that is filled on demand."""
    if (folder := folder_of(path)) is not None and path.is_file():
        folder.require(path)
