"""Runs the members of a sweep as processes of their own, several side by side, and stops them when it is stopped."""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from remot.commands.sweep.members import Member, Progress
from remot.stopping import STOP_SIGNALS, SWEEP
from remot.terminal import printable

POLL_SECONDS = 0.2
#: Longest time that runs may take to save and end after a signal; then they are killed.
STOP_SECONDS = 120.0
#: Variables by which libraries choose how many threads they start.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
MAX_TAIL_BYTES = 4096
_STOPS = (signal.SIGINT, *STOP_SIGNALS)


@dataclass
class _Running:
    member: Member
    process: "subprocess.Popen[bytes]"
    log: Path
    started: float


@dataclass(frozen=True)
class Failure:
    """A run that has ended with an error.

    Args:
        member: The run.
        log: What it wrote.
        reason: The last line of that.
    """

    member: Member
    log: Path
    reason: str


class Runner:
    """Runs members, at most ``jobs`` of them at a time; one that fails does not end the others.

    Args:
        jobs: Runs side by side.
        logs: Folder for what runs write.
        report: Prints a line.
        command: The words that run a member; ``remot fit`` by default.
    """

    def __init__(
        self,
        jobs: int,
        logs: Path,
        report: Callable[[str], None],
        command: "Callable[[Member, Progress], list[str]] | None" = None,
    ) -> None:
        self.jobs, self.logs, self.report = jobs, logs, report
        self._command = fit_command if command is None else command
        self.failures: list[Failure] = []
        self._running: list[_Running] = []
        self._stopped_by: int | None = None
        self._num_done = self._num_members = 0

    def run(self, work: Sequence[tuple[Member, Progress]], num_done: int) -> None:
        """Run everything.

        Args:
            work: What is left to do, and how far each has come.
            num_done: Runs of the sweep that were finished before.

        Raises:
            SystemExit: With 128 + the number of a signal that has stopped it; the runs have been stopped, too.
        """
        self.logs.mkdir(parents=True, exist_ok=True)
        self._num_done, self._num_members = num_done, num_done + len(work)
        waiting = deque(work)
        with self._stops_forwarded():
            while (waiting or self._running) and self._stopped_by is None:
                while waiting and len(self._running) < self.jobs and self._stopped_by is None:
                    self._start(*waiting.popleft())
                self._collect()
                time.sleep(POLL_SECONDS)
            if self._stopped_by is not None:
                self._end_all()
                raise SystemExit(128 + self._stopped_by)

    def _start(self, member: Member, progress: Progress) -> None:
        log = self.logs / f"{member.slug}.log"
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 (this library's own command)
                self._command(member, progress),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                start_new_session=True,  # Ctrl-C reaches it once, by this process
            )
        self._running.append(_Running(member, process, log, time.monotonic()))
        how = "started" if progress.checkpoint is None else f"continued from {progress.checkpoint}"
        self.report(f"{self._count()} {how}: {member.name}")

    def _environment(self) -> dict[str, str]:
        """This process's and its id, with a share of the cores for each run where the user has not chosen.

        MKL follows its own variable before OpenMP's, so one choice of the user stands for all.
        """
        own = dict(os.environ) | {SWEEP: str(os.getpid())}
        if any(name in os.environ for name in THREADS):
            return own
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        share = str(max(1, cores // self.jobs))
        return dict.fromkeys(THREADS, share) | own

    def _collect(self) -> None:
        for one in [one for one in self._running if one.process.poll() is not None]:
            self._running.remove(one)
            self._num_done += 1
            seconds = time.monotonic() - one.started
            if one.process.returncode == 0:
                self.report(f"{self._count()} finished: {one.member.name} ({seconds:.0f} s)")
            else:
                failure = Failure(one.member, one.log, last_line(one.log) or f"exit status {one.process.returncode}")
                self.failures.append(failure)
                self.report(f"{self._count()} failed: {one.member.name} ({failure.reason})")

    def _count(self) -> str:
        failed = f", {len(self.failures)} failed" if self.failures else ""
        return f"[{self._num_done}/{self._num_members}{failed}]"

    @contextmanager
    def _stops_forwarded(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._stop) for number in _STOPS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        if self._stopped_by is None:
            self._stopped_by = number

    def _end_all(self) -> None:
        """Have the runs save and end; what does not within :data:`STOP_SECONDS` is killed."""
        self.report(f"Stopping {len(self._running)} runs; the same command continues them.")
        for one in self._running:
            one.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for one in self._running:
            try:
                one.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                one.process.kill()
                one.process.wait()


def fit_command(member: Member, progress: Progress) -> list[str]:
    """Starts a run, or continues it from its checkpoint."""
    more = [] if progress.checkpoint is None else [f"--ckpt_path={progress.checkpoint}"]
    return [sys.executable, "-m", "remot", "fit", *member.words, *more]


def last_line(log: Path) -> str:
    """The last line of a file that is not blank, printable."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - MAX_TAIL_BYTES))
        lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines()]
    return printable(next((line for line in reversed(lines) if line), ""))[:300]
