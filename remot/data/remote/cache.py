"""Files of a folder that are there or are placeholders: at most so many bytes are there."""

import errno
import os
import stat
import time
from collections.abc import Iterator
from pathlib import Path

from remot.files import read_bounded, write_whole
from remot.locks import locked

#: A file used less than this long ago stays: between the check and the opening by name it must not vanish.
SPARED_SECONDS = 5.0
#: What is left of the bytes when some have to go, so that the folder is not searched for each file.
KEPT_SHARE = 0.8
#: Longest wait for other processes, and for room.
WAIT_SECONDS = 600.0
FETCHED_MODE = 0o600


def is_placeholder(held: os.stat_result) -> bool:
    """Whether a file has a size but no content: it has no permissions."""
    return stat.S_ISREG(held.st_mode) and stat.S_IMODE(held.st_mode) == 0


def files_below(folder: Path) -> Iterator[Path]:
    """All files below a folder, in no particular order."""
    for parent, _, names in os.walk(folder):
        yield from (Path(parent) / name for name in names)


class BoundedCache:
    """Room for files of a folder.

    Args:
        folder: Holds ``files``, ``partial``, where files are until they are whole, and ``locks``.
        max_bytes: Most bytes of files that are there. Those not used for longest, by their time of access, go first.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.root, self.partial = folder / "files", folder / "partial"
        self._room, self._used_file = folder / "locks" / "room", folder / "used_bytes"
        self.max_bytes = max_bytes

    def empty(self, path: Path, num_bytes: int, version: int) -> None:
        """Put a placeholder in the place of a file. Who has the file open goes on reading it."""
        empty = self.partial / f"empty-{os.getpid()}"
        empty.unlink(missing_ok=True)
        os.close(os.open(empty, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o200))
        os.truncate(empty, num_bytes)
        empty.chmod(0)
        os.utime(empty, (0, version))
        empty.replace(path)

    def reserve(self, num_bytes: int, partial: Path) -> None:
        """Make room for a file, and take it by a file of its size that is to be filled.

        Raises:
            OSError: If it is larger than all that may be kept, or the room is in use for too long.
        """
        if num_bytes > self.max_bytes:
            text = f"has {num_bytes} bytes, data.options.cache_bytes is {self.max_bytes}; raise it"
            raise OSError(errno.EFBIG, text)
        deadline = time.monotonic() + WAIT_SECONDS
        while not self._has_taken(num_bytes, partial):
            if time.monotonic() > deadline:
                raise OSError(errno.ENOSPC, f"data.options.cache_bytes, {self.max_bytes}, are all in use; raise it")
            time.sleep(SPARED_SECONDS / 10)

    def _has_taken(self, num_bytes: int, partial: Path) -> bool:
        with locked(self._room, WAIT_SECONDS):
            partial.unlink(missing_ok=True)  # of a process that was killed
            try:
                used = int(read_bounded(self._used_file, 32))
            except (OSError, ValueError):
                used = self.max_bytes  # not known, so count
            if used + num_bytes > self.max_bytes:
                used = self._evict(num_bytes)
            if used + num_bytes > self.max_bytes:
                return False
            with partial.open("wb") as file:
                file.truncate(num_bytes)
            write_whole(self._used_file, str(used + num_bytes))
            return True

    def _evict(self, wanted_bytes: int) -> int:
        """Remove the files not used for longest, and count the bytes that stay."""
        held = [(path, path.stat()) for path in files_below(self.root)]
        fetched = sorted((one for one in held if not is_placeholder(one[1])), key=lambda one: one[1].st_atime_ns)
        used = sum(facts.st_size for _, facts in fetched)
        used += sum(path.stat().st_size for path in files_below(self.partial) if path.name.isdecimal())
        wanted = max(0, int(KEPT_SHARE * self.max_bytes) - wanted_bytes)
        for path, facts in fetched:
            if used <= wanted or time.time() - facts.st_atime < SPARED_SECONDS:
                break
            self.empty(path, facts.st_size, int(facts.st_mtime))
            used -= facts.st_size
        return used
