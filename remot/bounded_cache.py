"""Files of a folder in a bounded number of bytes, shared by processes: those not used for longest go first."""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from remot.files import read_bounded, write_whole
from remot.locks import locked

#: What is left of the bytes when some have to go, so that the folder is not searched for each file.
KEPT_SHARE = 0.8
#: Longest wait for other processes, and for room.
WAIT_SECONDS = 600.0
#: Least pause between two looks for room.
MIN_PAUSE_SECONDS = 0.01


def files_below(folder: Path) -> Iterator[Path]:
    """All files below a folder, in no particular order."""
    for parent, _, names in os.walk(folder):
        yield from (Path(parent) / name for name in names)


def _with_facts(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """All files below a folder that are still there when they are looked at."""
    for path in files_below(folder):
        with suppress(FileNotFoundError):
            yield path, path.stat()


class BoundedCache:
    """Room for files of a folder.

    Args:
        folder: Holds ``files``, ``partial``, where files are until they are whole, under numbers as names, and
            ``locks``.
        max_bytes: Most bytes of files that are there. Those not used for longest, by their time of access, go first.
        setting: The key that sets ``max_bytes``, for messages.
    """

    def __init__(self, folder: Path, max_bytes: int, setting: str) -> None:
        self.root, self.partial, self.locks = folder / "files", folder / "partial", folder / "locks"
        self._used_file = folder / "used_bytes"
        self.max_bytes = max_bytes
        self.setting = setting

    def make_folders(self) -> None:
        """Make the three folders unless they are there.

        Raises:
            OSError: If they cannot be made.
        """
        for folder in (self.root, self.partial, self.locks):
            folder.mkdir(parents=True, exist_ok=True)

    @property
    def spared_seconds(self) -> float:
        """A file used less than this long ago stays."""
        return 0.0

    def counts(self, held: os.stat_result) -> bool:  # noqa: ARG002 (every file counts)
        """Whether a file takes room."""
        return True

    def remove(self, path: Path, held: os.stat_result) -> None:  # noqa: ARG002 (the file goes whatever it is)
        """Free the room of a file. Who has the file open goes on reading it."""
        path.unlink(missing_ok=True)

    def used_bytes(self) -> int | None:
        """Bytes that are taken, as the last process that took some counted them; None where none has."""
        try:
            return int(read_bounded(self._used_file, 32))
        except (OSError, ValueError):
            return None

    def reserve(self, num_bytes: int, partial: Path) -> None:
        """Make room for a file, and take it by a file of its size that is to be filled.

        Raises:
            OSError: If it is larger than all that may be kept, or the room is in use for too long.
        """
        if num_bytes > self.max_bytes:
            text = f"has {num_bytes} bytes, {self.setting} is {self.max_bytes}; raise it"
            raise OSError(errno.EFBIG, text)
        deadline = time.monotonic() + WAIT_SECONDS
        while not self._has_taken(num_bytes, partial):
            if time.monotonic() > deadline:
                raise OSError(errno.ENOSPC, f"{self.setting}, {self.max_bytes}, are all in use; raise it")
            time.sleep(max(MIN_PAUSE_SECONDS, self.spared_seconds / 10))

    def _has_taken(self, num_bytes: int, partial: Path) -> bool:
        with locked(self.locks / "room", WAIT_SECONDS):
            partial.unlink(missing_ok=True)  # of a process that was killed
            used = self.used_bytes()
            if used is None or used + num_bytes > self.max_bytes:
                used = self._evict(num_bytes)
            if used + num_bytes > self.max_bytes:
                return False
            with partial.open("wb") as file:
                file.truncate(num_bytes)
            write_whole(self._used_file, str(used + num_bytes))
            return True

    def _evict(self, wanted_bytes: int) -> int:
        """Remove the files not used for longest, and count the bytes that stay."""
        held = [one for one in _with_facts(self.root) if self.counts(one[1])]
        there = sorted(held, key=lambda one: one[1].st_atime_ns)
        used = sum(facts.st_size for _, facts in there)
        used += sum(facts.st_size for path, facts in _with_facts(self.partial) if path.name.isdecimal())
        wanted = max(0, int(KEPT_SHARE * self.max_bytes) - wanted_bytes)
        for path, facts in there:
            if used <= wanted or time.time() - facts.st_atime < self.spared_seconds:
                break
            self.remove(path, facts)
            used -= facts.st_size
        return used
