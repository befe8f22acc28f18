"""Calls that may never return, such as a read of a disk that does not answer."""

from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, Queue
from threading import Thread
from typing import TypeVar

from remot.errors import ConfigError

#: Longest time that is waited for anything, three years; the system's clocks take no number much beyond.
MAX_SECONDS = 1e8
Result = TypeVar("Result")


def require_seconds(key: str, seconds: float) -> None:
    """Refuse a longest time that nothing can wait for.

    Raises:
        ConfigError: Naming ``key``.
    """
    if not 0 < seconds <= MAX_SECONDS:
        msg = f"{key} is {seconds}, give a number of seconds above 0 and at most {MAX_SECONDS:g}"
        raise ConfigError(msg)


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

    Thread(target=work, daemon=True).start()
    try:
        return done.get(timeout=seconds).result()
    except Empty:
        msg = f"no answer within {seconds:g} s"
        raise TimeoutError(msg) from None
