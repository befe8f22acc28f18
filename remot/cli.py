"""The command line: the entry point, and errors in one sentence."""

import errno
import os
import select
import signal
import sys
from collections.abc import Sequence

from remot.errors import is_out_of_memory, known_cause, text_of
from remot.stopping import StoppedBySignal, stops_as_exits
from remot.terminal import guard_output, lost_output, write_err

EXIT_BAD_INPUT = 2
#: What a disk says about a file that the user named: it is none of ours, or there is no room, or no right to it.
OF_THE_DISK = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EEXIST,
    errno.EISDIR,
    errno.ENOTDIR,
    errno.ENAMETOOLONG,
    *(errno.EFBIG, errno.EIO, errno.ESTALE),
}
#: Too many files are open, of this process or in all; the error need not name one.
OF_OPEN_FILES = {errno.EMFILE, errno.ENFILE}
#: Characters of a file's name that are shown.
MAX_NAME = 200


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        args: Arguments without the program's name; those of the process if None.
    """
    from remot.commands import run

    guard_output()
    try:
        with stops_as_exits():
            run(list(sys.argv[1:] if args is None else args))
        if (lost := lost_output()) is not None:
            write_err(f"remot: the standard output took no more text ({lost.strerror}); all else was done\n")
            sys.exit(EXIT_BAD_INPUT)
    except BrokenPipeError as error:
        if not _output_is_closed():
            raise
        raise SystemExit(128 + signal.SIGPIPE) from error
    except StoppedBySignal as stop:
        write_err(f"remot: stopped by {signal.Signals(stop.number).name}\n")
        raise
    except KeyboardInterrupt as error:  # a fit has saved its state by now, and ends with a code of its own
        write_err("remot: stopped by Ctrl-C\n")
        raise SystemExit(128 + signal.SIGINT) from error
    except Exception as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        write_err(f"remot: {sentence}\n")
        sys.exit(EXIT_BAD_INPUT)


def _output_is_closed() -> bool:
    """Whether what reads the output has left, as ``head`` does; then what is still buffered goes nowhere."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    if not any(event & select.POLLERR for _, event in poll.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def _sentence(error: Exception) -> str | None:
    """What the user reads; None for a defect, which keeps its traceback."""
    known = known_cause(error)
    if known is not None:
        text = str(known).strip()
        # without the traceback that a data worker wraps around it
        return text.splitlines()[-1].partition(": ")[2] or text if text.startswith("Caught ") else text
    if is_out_of_memory(error):
        text = (text_of(error).strip().splitlines() or ["no room for an object"])[0][:MAX_NAME]
        return f"memory ran out ({text}); do less at once, or raise the limit of the process (ulimit -v)"
    if isinstance(error, OSError) and error.errno in OF_OPEN_FILES:
        return f"{error.strerror}: raise the limit with ulimit -n, or lower data.num_workers"
    if isinstance(error, OSError) and error.errno in OF_THE_DISK and error.filename is not None:
        return f"{str(error.filename)[:MAX_NAME]}: {error.strerror}"
    return None
