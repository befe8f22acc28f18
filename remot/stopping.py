"""Signals that end a process: one line and exit code 128 + number, whatever the process is doing."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType

Handler = Callable[[int, FrameType | None], object]


def _known(*names: str) -> tuple[signal.Signals, ...]:
    return tuple(signal.Signals[name] for name in names if name in signal.Signals.__members__)


#: Signals by which a batch system says that time is nearly up; lightning saves and queues the job again then.
BATCH_SIGNALS = _known("SIGUSR1", "SIGUSR2")
#: Signals that end a process: of a batch system or a container, of a closed terminal, of a keyboard, of `ulimit -t`.
STOP_SIGNALS = _known("SIGTERM", "SIGHUP", "SIGQUIT", "SIGXCPU")
#: A process that has not ended so long after a signal is ended.
HARD_SECONDS = 30.0
#: Names the process that started this one as one of several; how often it is looked after.
LAUNCHER, POLL_SECONDS = "REMOT_LAUNCHER", 1.0
#: Names the sweep that started this process as one of its runs.
SWEEP = "REMOT_SWEEP"


class StoppedBySignal(SystemExit):
    """Ends the process with the exit code that shells give for a signal, 143 for SIGTERM.

    Args:
        number: Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


class _PlainStop:
    """The handler where nothing needs more: raises once, in the process that it was made for."""

    def __init__(self) -> None:
        self._process, self._is_stopping = os.getpid(), False

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a worker, which is ended by the same signal
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif not self._is_stopping:
            self._is_stopping = True
            raise StoppedBySignal(number)


def is_unclaimed(number: int) -> bool:
    """True if a signal would only end the process."""
    handler = signal.getsignal(number)
    return handler is signal.SIG_DFL or isinstance(handler, _PlainStop)


#: For each command that is under way, what is called in another thread with the number of a signal to end it, the last
#: one only: what ends a stuck process.
_watchers: list[list[Callable[[int], None]]] = []


@contextmanager
def stops_as_exits() -> Iterator[None]:
    """Have signals that would end the process raise :class:`StoppedBySignal`, so that locks and half-written files go.

    A process that does not react, as one that waits in a library for another process, ends after
    :data:`HARD_SECONDS`. Signals of a batch system stay as they are in its jobs.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    is_batch_job = any(name in os.environ for name in ("SLURM_JOB_ID", "SLURM_NTASKS"))
    stop, before = _PlainStop(), {}
    for number in STOP_SIGNALS if is_batch_job else (*STOP_SIGNALS, *BATCH_SIGNALS):
        if signal.getsignal(number) is signal.SIG_DFL:
            before[number] = signal.signal(number, stop)
    is_over = threading.Event()
    with _wake_ups(), watched(partial(_end_late, is_over)):
        try:
            yield
        finally:
            is_over.set()
            for number, handler in before.items():
                if signal.getsignal(number) is stop:
                    signal.signal(number, handler)


@contextmanager
def watched(watcher: Callable[[int], None]) -> Iterator[None]:
    """Have ``watcher`` called in another thread with the number of a signal that comes meanwhile."""
    watchers = _watchers[-1] if _watchers else []
    watchers.append(watcher)
    try:
        yield
    finally:
        watchers.remove(watcher)


def _end_late(is_over: threading.Event, number: int) -> None:
    if isinstance(signal.getsignal(number), _PlainStop) and not is_over.wait(HARD_SECONDS):
        os._exit(128 + number)


@contextmanager
def _wake_ups() -> Iterator[None]:
    """Read numbers of signals from where Python writes them at once; its handlers wait for the main thread."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    _writers.add(writer)
    previous = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watchers: list[Callable[[int], None]] = []
    _watchers.append(watchers)

    def read() -> None:
        while numbers := os.read(reader, 16):
            for number in set(numbers) & {*STOP_SIGNALS, *BATCH_SIGNALS}:
                for watcher in watchers[-1:]:
                    threading.Thread(target=watcher, args=(number,), daemon=True).start()
        os.close(reader)

    thread = threading.Thread(target=read, name="remot-signals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(previous)
        _watchers.pop()
        _writers.discard(writer)
        os.close(writer)


#: Where numbers of signals are written, in this process only.
_writers: set[int] = set()


def _write_none_in_child() -> None:
    with suppress(ValueError):  # forked by another thread than the main one
        if (writer := signal.set_wakeup_fd(-1)) not in _writers:
            signal.set_wakeup_fd(writer)


os.register_at_fork(after_in_child=_write_none_in_child)


@contextmanager
def follow_launcher() -> Iterator[None]:
    """End a process that another one has started as one of several when that has ended, however it did.

    Otherwise one of several processes would wait for it, in the worst case for half an hour, and a run of a sweep would
    go on without it. A process that is none of several is the launcher of those that it starts meanwhile.
    """
    before, is_launched = os.environ.get(LAUNCHER), "LOCAL_RANK" in os.environ
    launcher = os.environ.pop(SWEEP, before if is_launched else None)
    if launcher is not None and launcher.isdecimal():
        threading.Thread(target=_end_without, args=(int(launcher),), name="remot-launcher", daemon=True).start()
    if is_launched:
        yield
        return
    os.environ[LAUNCHER] = str(os.getpid())
    try:
        yield
    finally:
        os.environ.pop(LAUNCHER, None)
        if before is not None:
            os.environ[LAUNCHER] = before


def _end_without(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
