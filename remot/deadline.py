"""Calls that may never return, such as a read of a disk that does not answer."""

from collections.abc import Callable
from concurrent.futures import Future
from queue import Queue
from threading import Thread
from typing import TypeVar

from remot.errors import ConfigError

#: Longest time that is waited for anything, three years; the system's clocks take no number much beyond.
MAX_SECONDS = 1e8
#: Longest wait between two looks at whether a process ran.
SLICE_SECONDS = 0.5
Result = TypeVar("Result")


def require_seconds(key: str, seconds: float) -> None:
    """Refuse a longest time that nothing can wait for.

    Raises:
        ConfigError: Naming ``key``.
    """
    if not 0 < seconds <= MAX_SECONDS:
        msg = f"{key} is {seconds}, give a number of seconds above 0 and at most {MAX_SECONDS:g}"
        raise ConfigError(msg)


def waited(wait: Callable[[float], bool], seconds: float) -> bool:
    """Whether ``wait``, which waits for so many seconds at most, is true within ``seconds`` in which this process ran.

    Clocks go on while a process is stopped (SIGSTOP, a machine that sleeps). What it waits for may have been stopped,
    too, so the time counts in slices, of which a stop takes one.
    """
    while seconds > 0:
        if wait(min(seconds, SLICE_SECONDS)):
            return True
        seconds -= SLICE_SECONDS
    return False


def in_time(call: Callable[[], Result], seconds: float | None) -> Result:
    """The result of ``call``, which runs in a thread of its own that is abandoned after ``seconds``; None waits.

    A server that sends a byte now and then outlasts the timeouts of every client, and a disk has none.

    Raises:
        TimeoutError: If it takes longer.
        BaseException: What ``call`` raises.
    """
    done: Queue[Future[Result]] = Queue()

    def work() -> None:
        future: Future[Result] = Future()
        try:
            future.set_result(call())
        except BaseException as error:  # noqa: BLE001 (raised in the thread that waits)
            future.set_exception(error)
        done.put(future)

    worker = Thread(target=work, daemon=True)
    worker.start()
    if seconds is not None and not waited(lambda slice_seconds: _ends(worker, slice_seconds), seconds):
        msg = f"no answer within {seconds:g} s"
        raise TimeoutError(msg)
    return done.get().result()


def _ends(thread: Thread, seconds: float) -> bool:
    thread.join(seconds)
    return not thread.is_alive()
