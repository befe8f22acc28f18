"""Files that change while a run uses what it knows of them."""

from collections.abc import Iterable
from pathlib import Path

from remot.data.remote import folder_of
from remot.errors import DecodeError
from remot.files import cause_of


def is_changed_since(file: Path, moment_ns: int) -> bool:
    """True if a file was written, or another one was put in its place, after a moment in ns since 1970.

    The kernel sets the time of the last change of status (ctime) whatever is done. Links and permissions change it too:
    either the content is new as well, or the folder has a new entry of this name.
    """
    if folder_of(file) is not None:
        return False  # versions are compared when it is fetched
    held = file.stat()
    if held.st_ctime_ns <= moment_ns:
        return False
    return held.st_mtime_ns > moment_ns or file.parent.stat().st_mtime_ns > moment_ns


def require_unchanged(files: Iterable[Path], moment_ns: int) -> None:
    """Refuse files that have changed, as annotations of what was there before do not describe them.

    Raises:
        DecodeError: Naming the first such file, or one that is gone.
    """
    for file in files:
        try:
            is_changed = is_changed_since(file, moment_ns)
        except OSError as error:
            msg = f"{file}: cannot be read ({cause_of(error)})"
            raise DecodeError(msg) from error
        if is_changed:
            msg = f"{file}: has been changed since the run began; put back what its annotation describes"
            raise DecodeError(msg, reason="changed")
