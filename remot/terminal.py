"""The terminal: the one place through which text of others reaches it, or a page.

Names of clips, objects and files, and completions of a model, may hold control characters that move the cursor, rename
the window, or turn the direction of the text. They are replaced in everything that is written.
"""

import logging
import sys
import traceback
import warnings
from functools import cache
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment


def printable(text: str) -> str:
    """``text`` without the control characters that could take over a terminal; line ends and tabs stay.

    These are C0 and C1, and what Unicode calls formats, such as overrides of the direction of text.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() or c in "\n\t" else "�" for c in text)


def write_out(text: str) -> None:
    """Write text to the standard output."""
    sys.stdout.write(printable(text))


def write_err(text: str) -> None:
    """Write text to the standard error."""
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


def guard_output() -> None:
    """Make warnings, log messages and tracebacks of this process printable."""
    logging.setLogRecordFactory(_PrintableRecord)
    warnings.formatwarning = _format_warning
    sys.excepthook = _write_traceback


def _format_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    written = warnings.WarningMessage(message, category, filename, lineno, None, line)
    return printable(warnings._formatwarnmsg_impl(written))  # type: ignore[attr-defined]


def _write_traceback(kind: type[BaseException], error: BaseException, place: TracebackType | None) -> None:
    write_err("".join(traceback.format_exception(kind, error, place)))
