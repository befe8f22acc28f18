"""The command line: the entry point, and errors in one sentence."""

import sys
from collections.abc import Sequence

from remot.errors import RemotError

EXIT_BAD_INPUT = 2


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        args: Arguments without the program's name; those of the process if None.
    """
    from remot.commands import run

    try:
        run(list(sys.argv[1:] if args is None else args))
    except Exception as error:
        known = _find_known(error)
        if known is None:
            raise
        sys.stderr.write(f"remot: {_one_sentence(known)}\n")
        sys.exit(EXIT_BAD_INPUT)


def _find_known(error: BaseException | None) -> RemotError | None:
    """The library's own error among those that led to ``error``: the parser wraps what constructors raise."""
    while error is not None:
        if isinstance(error, RemotError):
            return error
        error = error.__cause__ or error.__context__
    return None


def _one_sentence(error: RemotError) -> str:
    """The message without the traceback that a data worker wraps around it."""
    text = str(error).strip()
    if text.startswith("Caught "):
        text = text.splitlines()[-1].partition(": ")[2] or text
    return text
