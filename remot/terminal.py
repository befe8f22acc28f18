"""The terminal: the one place through which text of others reaches it, or a page.

Names of clips, objects and files, and completions of a model, may hold control characters that move the cursor, rename
the window, or turn the direction of the text. They are replaced in everything that is written.
"""

import errno
import html
import logging
import os
import re
import sys
import traceback
import unicodedata
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment


#: A user's name and password in a URL; the password may hold an @.
_USER = re.compile(r"://[^/\s]*@")
#: Line ends and tabs; a page also keeps the joiners, which belong to words of many languages.
_KEPT, _KEPT_ON_PAGES = "\n\t", "\n\t\u200c\u200d"


def printable(text: str, kept: str = _KEPT) -> str:
    """``text`` without the control characters that could take over a terminal; spaces and those ``kept`` stay.

    These are C0 and C1, and what Unicode calls formats, such as overrides of the direction of text.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in kept or unicodedata.category(c) == "Zs" else "�" for c in text)


def printable_html(text: str) -> str:
    """``text`` as inert HTML, :func:`printable` and escaped."""
    return html.escape(printable(text, _KEPT_ON_PAGES), quote=True)


def write_out(text: str) -> None:
    """Write text to the standard output, if there is one."""
    if sys.stdout is not None:
        sys.stdout.write(printable(text))


def write_err(text: str) -> None:
    """Write text to the standard error, if there is one."""
    if sys.stderr is not None:
        sys.stderr.write(printable(text))


def console(**settings: Any) -> "Console":  # noqa: ANN401 (rich's settings)
    """A console of rich's whose content is printable; what moves the cursor comes from rich alone."""
    made: Console = _console_class()(**settings)
    return made


@cache
def _console_class() -> type["Console"]:
    from rich.console import Console
    from rich.segment import Segment

    class PrintableConsole(Console):
        def render(self, renderable: "RenderableType", options: "ConsoleOptions | None" = None) -> "Iterable[Segment]":
            for segment in super().render(renderable, options):
                is_plain = segment.control is None and not segment.text.isprintable()
                yield Segment(printable(segment.text), segment.style) if is_plain else segment

    return PrintableConsole


class _PrintableRecord(logging.LogRecord):
    def getMessage(self) -> str:  # noqa: N802 (of the standard library)
        """The message, printable."""
        return printable(super().getMessage())


class _Output:
    """A standard stream whose disk may be full: that ends no run; what is not taken is lost and noted.

    Args:
        stream: The stream; None if it was closed before the process began.
    """

    def __init__(self, stream: "TextIO | None") -> None:
        self._stream: TextIO = open(os.devnull, "w", encoding="utf-8") if stream is None else stream  # noqa: PTH123, SIM115
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        """Write, or lose, the text."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Hand on what is buffered."""
        self._try(self._stream.flush)

    def _try(self, call: "Callable[[], object]") -> None:
        try:
            call()
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            self.failure = error
        except ValueError:
            if not self._stream.closed:
                raise
            self.failure = OSError(errno.EBADF, "it was closed")

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (of any stream)
        return getattr(self._stream, name)


#: What a disk says that takes no more.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO}


def lost_output() -> OSError | None:
    """Hand on what is buffered; why the standard output has lost text since :func:`guard_output`, None if not."""
    if sys.stdout is not None:  # as a reward may have made it
        sys.stdout.flush()
    return sys.stdout.failure if isinstance(sys.stdout, _Output) else None


def guard_output() -> None:
    """Make warnings, log messages and tracebacks of this process printable, and a full disk below them no error.

    Nor is a letter that the encoding of the locale lacks: it is written as its number.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        setattr(sys, name, _Output(stream._stream if isinstance(stream, _Output) else stream))

    def format_warning(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        written = warnings.WarningMessage(message, category, filename, lineno, None, line)
        return printable(warnings._formatwarnmsg_impl(written))  # type: ignore[attr-defined]

    logging.setLogRecordFactory(_PrintableRecord)
    warnings.formatwarning = format_warning
    sys.excepthook = lambda kind, error, place: write_err("".join(traceback.format_exception(kind, error, place)))


def counted(count: object, noun: str) -> str:
    """A number with its noun.

    >>> counted(1, "scene"), counted(2, "scene")
    ('1 scene', '2 scenes')
    """
    return f"{count} {noun}{'' if count == 1 else 's'}"


def shown_url(url: str) -> str:
    """``url``, or a text with URLs, for messages and records: without a user's name and password.

    >>> shown_url("https://me:secret@host/store")
    'https://host/store'
    """
    return _USER.sub("://", url)
