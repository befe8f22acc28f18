"""Files of a folder that are there or are placeholders: at most so many bytes are there."""

import os
import stat
from pathlib import Path

from remot.bounded_cache import BoundedCache

#: A file used less than this long ago stays: between the check and the opening by name it must not vanish.
SPARED_SECONDS = 5.0
FETCHED_MODE = 0o600


def is_placeholder(held: os.stat_result) -> bool:
    """Whether a file has a size but no content: it has no permissions."""
    return stat.S_ISREG(held.st_mode) and stat.S_IMODE(held.st_mode) == 0


class PlaceholderCache(BoundedCache):
    """Room for files of a folder, each of which leaves a placeholder when it has to go."""

    @property
    def spared_seconds(self) -> float:
        """A file used less than this long ago stays."""
        return SPARED_SECONDS

    def counts(self, held: os.stat_result) -> bool:
        """Whether a file takes room: placeholders take none."""
        return not is_placeholder(held)

    def remove(self, path: Path, held: os.stat_result) -> None:
        """Put a placeholder of its size and version in the place of a file."""
        self.empty(path, held.st_size, int(held.st_mtime))

    def empty(self, path: Path, num_bytes: int, version: int) -> None:
        """Put a placeholder in the place of a file. Who has the file open goes on reading it."""
        empty = self.partial / f"empty-{os.getpid()}"
        empty.unlink(missing_ok=True)
        os.close(os.open(empty, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o200))
        os.truncate(empty, num_bytes)
        empty.chmod(0)
        os.utime(empty, (0, version))
        empty.replace(path)
