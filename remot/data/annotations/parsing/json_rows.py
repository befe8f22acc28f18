"""JSON lists too long for memory, one object at a time."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from remot.errors import AnnotationError
from remot.files import cause_of, open_text

CHUNK_CHARACTERS = 2**20
#: Longest object of a list.
MAX_ROW_CHARACTERS = 2**22
_DECODER = json.JSONDecoder()


def json_rows(file: Path, max_bytes: int) -> Iterator[dict[str, Any]]:
    """The objects in a file that holds one JSON list of objects.

    Args:
        file: The file.
        max_bytes: Longest file that is read; only one of its objects is held in memory.

    Raises:
        AnnotationError: If it is too long, unreadable, or not a list of objects.
    """
    try:
        if file.stat().st_size > max_bytes:
            msg = f"{file}: longer than {max_bytes} bytes, split it or raise max_table_bytes"
            raise AnnotationError(msg, reason="too large")
        with open_text(file) as opened:
            yield from _objects(file, opened)
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{file}: cannot be read as text ({cause_of(error)})"
        raise AnnotationError(msg, reason="missing" if isinstance(error, FileNotFoundError) else "malformed") from error


def _objects(file: Path, opened: TextIO) -> Iterator[dict[str, Any]]:
    """Objects of the list in ``opened``, which are between ``[`` or ``,`` and ``,`` or ``]``."""
    text = _Text(file, opened)
    if text.peek() != "[":
        raise _malformed(file, "expected a list")
    text.place += 1
    if text.peek() == "]":
        return
    while True:
        yield text.object()
        mark = text.peek()
        if mark == "]":
            return
        if mark != ",":
            raise _malformed(file, f"expected , or ] between two objects, found {mark!r}")
        text.place += 1


@dataclass(eq=False)
class _Text:
    """The part ``held`` of a file that is being read, with what is before it forgotten; ``place`` comes next in it."""

    file: Path
    opened: TextIO
    held: str = ""
    place: int = 0

    def more(self) -> bool:
        """Read on; False at the end of the file."""
        chunk = self.opened.read(CHUNK_CHARACTERS)
        self.held, self.place = self.held[self.place :] + chunk, 0
        return bool(chunk)

    def peek(self) -> str:
        """The next character that is no white space, "" at the end."""
        while True:
            while self.place < len(self.held) and self.held[self.place] in " \t\r\n":
                self.place += 1
            if self.place < len(self.held) or not self.more():
                return self.held[self.place : self.place + 1]

    def object(self) -> dict[str, Any]:
        """The next object."""
        if self.peek() != "{":
            raise _malformed(self.file, "expected an object")
        while True:
            try:
                value, self.place = _DECODER.raw_decode(self.held, self.place)
            except (ValueError, RecursionError) as error:
                if len(self.held) - self.place > MAX_ROW_CHARACTERS or not self.more():
                    raise _malformed(self.file, str(error)[:120]) from error
            else:
                return dict(value)


def _malformed(file: Path, what: str) -> AnnotationError:
    return AnnotationError(f"{file}: not a JSON list of objects ({what}), fetch it again")
