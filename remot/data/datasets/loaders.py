"""Loaders of prompts by address."""

import atexit
import itertools
import os
import re
import signal
import threading
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.queues import Queue
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler
from torch.utils.data._utils import signal_handling

from remot.data.datasets.bad_clips import BadClips
from remot.data.datasets.prompts import PromptDataset, Sample
from remot.deadline import in_time, waited
from remot.errors import ConfigError, ResourceError, text_of
from remot.structures import PromptBatch
from remot.terminal import write_err

#: How often PyTorch looks whether workers are alive while it waits for them.
POLL_SECONDS = 5
#: A run that waits this long for a batch reports it.
REPORT_SECONDS = 60.0
#: So often in a row workers are started again for the same batch.
MAX_RESTARTS = 2
#: No machine has the memory for more processes, more prompts in a batch, or the answers to more prompts.
MAX_WORKERS, MAX_PROMPTS = 1024, 2**20
#: How PyTorch says that workers have ended, and that they gave nothing within ``POLL_SECONDS``.
_ENDED, _TIMED_OUT = re.compile(r"DataLoader worker \(pid.*?\) [^.\n]*"), "DataLoader timed out"


class AddressLoader(DataLoader[Sample]):
    """Batches of prompts, whatever happens to the data workers or the disk.

    Lightning may resume it within an epoch: its position is part of the data module's state. Workers that are ended, or
    give no batch for too long, end the run; with ``on_bad_clip: skip`` new ones take up the work where it was left,
    which gives the same prompts.
    """

    dataset: "_ByAddress"

    def __iter__(self) -> Iterator[PromptBatch]:  # type: ignore[override]
        """The batches of a pass."""
        batches = self.dataset.batches  # Lightning wraps the loader's own batch sampler in `predict`
        batches.begin()
        return self._batches(self._started(), batches)

    def _batches(self, source: Iterator[PromptBatch], batches: "RemainingBatches") -> Iterator[PromptBatch]:
        num_restarts = 0
        while True:
            try:
                batch = self._awaited(source)
            except StopIteration:
                return
            except ResourceError as fault:
                self._end_workers()
                if self.dataset.bad_clips.on_bad_clip == "raise" or num_restarts == MAX_RESTARTS:
                    raise
                num_restarts += 1
                warnings.warn(f"{fault}; others take up their work", stacklevel=2)
                source = self._started()
                continue
            num_restarts, batches.num_done = 0, batches.num_done + 1
            self.dataset.bad_clips.report(batch)
            yield batch

    def _started(self) -> Iterator[PromptBatch]:
        source: Iterator[PromptBatch] = super().__iter__()
        if self.num_workers > 0:
            atexit.register(_kill_workers, weakref.ref(source))
            _without_errors_of_workers()
        return source

    def _awaited(self, source: Iterator[PromptBatch]) -> PromptBatch:
        """The next batch.

        Raises:
            ResourceError: If a worker has ended, or none has given it in time.
        """
        workers = getattr(source, "_workers", ())
        if not workers:
            return self._read_here(source)
        if any(not worker.is_alive() for worker in workers):
            what = "noticed at the next batch"
            raise _worker_error(what)
        limit, waited_seconds = self.dataset.bad_clips.max_wait_seconds, 0.0
        # A worker that stops before its tensors are handed over keeps the main thread from looking at the clock.
        with _killed_after(limit + 2 * POLL_SECONDS, workers) as is_killed:
            while True:
                try:
                    return _taken(source)
                except (RuntimeError, OSError, EOFError) as error:
                    is_timeout = _TIMED_OUT in str(error)
                    waited_seconds += POLL_SECONDS if is_timeout else 0.0  # not by a clock, which a stop does not hold
                    if is_killed.is_set() or (is_timeout and waited_seconds > limit):
                        what = f"data workers gave no batch for {max(waited_seconds, limit):.0f} s, one is stopped"
                        msg = f"{what}, or a disk does not answer (data.options.max_wait_seconds: {limit:g})"
                        raise ResourceError(msg) from error
                    if workers and not isinstance(error, RuntimeError):  # tensors of a worker that is gone
                        raise _worker_error(str(error)) from error
                    if (ended := _ENDED.search(str(error))) is not None:
                        raise _worker_error(ended[0]) from error
                    if not is_timeout:
                        raise

    def _read_here(self, source: Iterator[PromptBatch]) -> PromptBatch:
        """Without workers a thread reads, which a disk that does not answer keeps in place of the run."""
        limit = self.dataset.bad_clips.max_wait_seconds
        with _killed_after(limit, ()):
            try:
                return in_time(lambda: next(source), limit)
            except TimeoutError as error:
                msg = f"no batch was read within {limit:g} s (data.options.max_wait_seconds): a disk does not answer"
                raise ResourceError(msg) from error

    def _end_workers(self) -> None:
        """Kill them: a process that is stopped does not end otherwise, and keeps this one from ending."""
        source, self._iterator = self._iterator, None
        if source is not None:
            _kill_workers(lambda: source)

    def state_dict(self) -> dict[str, Any]:
        """Nothing of its own."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to restore."""


def _worker_error(what: str) -> ResourceError:
    hint = "the system may have run out of memory, lower data.num_workers"
    return ResourceError(f"a data worker has ended: {what}; {hint}")


def _kill_workers(source: Callable[[], Any]) -> None:
    for worker in getattr(source(), "_workers", ()):
        worker.kill()


class _Waiting:
    """Whether the main thread waits for a batch."""

    is_on = False


def _taken(source: Iterator[PromptBatch]) -> PromptBatch:
    """The next batch; here and nowhere else the signal of a worker that has ended raises, also behind another error."""
    _Waiting.is_on = True
    try:
        return next(source)
    finally:
        _Waiting.is_on = False


@contextmanager
def _killed_after(seconds: float, workers: Sequence[Any]) -> Iterator[threading.Event]:
    """Report a block that takes long; kill the workers if it takes longer than this, and set the event."""
    is_killed, is_done = threading.Event(), threading.Event()

    def kill() -> None:
        if not waited(is_done.wait, seconds):
            is_killed.set()
            for worker in workers:
                worker.kill()

    def report() -> None:
        warnings.warn(f"waiting for a batch for {REPORT_SECONDS:g} s: a worker or a disk hangs", stacklevel=2)

    timer = threading.Timer(REPORT_SECONDS, report)
    for thread in (timer, *([threading.Thread(target=kill)] if workers else [])):
        thread.daemon = True
        thread.start()
    try:
        yield is_killed
    finally:
        is_done.set()
        timer.cancel()


def _without_errors_of_workers() -> None:
    """Let a worker that ends raise only where its batch is waited for, not wherever the main thread is.

    Libraries take it for a fault of their own, as transformers does in a chat template.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGCHLD"):
        return
    handler = signal.getsignal(signal.SIGCHLD)
    if callable(handler) and getattr(handler, "__module__", "") == signal_handling.__name__:
        signal.signal(signal.SIGCHLD, lambda number, frame: handler(number, frame) if _Waiting.is_on else None)


class RemainingBatches(Sampler[list[int]]):
    """The batches of a pass that are not done, so that workers can be started again within it.

    Each is taken from ``batches`` when it is first asked for.

    Args:
        batches: Gives those of the next pass.

    Attributes:
        num_done: Batches of this pass that have been used.
    """

    def __init__(self, batches: Iterable[list[int]]) -> None:
        self.batches = batches
        self.num_done = 0
        self._of_pass: list[list[int]] = []  # those that were asked for
        self._source = iter(self.batches)

    def begin(self) -> None:
        """Begin another pass."""
        self._source, self._of_pass, self.num_done = iter(self.batches), [], 0

    def __len__(self) -> int:
        return len(self.batches)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[list[int]]:
        for place in itertools.count(self.num_done):
            if place == len(self._of_pass):
                following = next(self._source, None)
                if following is None:
                    return
                self._of_pass.append(following)
            yield self._of_pass[place]


class _ByAddress(Dataset[Sample]):
    """A dataset for samplers of addresses, which go beyond an epoch, with the batches that are asked for."""

    def __init__(self, dataset: PromptDataset, bad_clips: BadClips, batches: RemainingBatches) -> None:
        self.dataset = dataset
        self.bad_clips = bad_clips
        self.batches = batches

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, address: int) -> Sample:
        return self.bad_clips.prompt(self.dataset, address)


def address_loader(
    dataset: PromptDataset, batches: Iterable[list[int]], num_workers: int, bad_clips: BadClips | None = None
) -> AddressLoader:
    """Batches of prompts.

    Args:
        dataset: The prompts.
        batches: Which addresses make which batch.
        num_workers: Processes that decode; the prompts do not depend on it.
        bad_clips: What to do about files that cannot be read; the run ends if None.
    """
    remaining = RemainingBatches(batches)
    return AddressLoader(
        _ByAddress(dataset, bad_clips or BadClips(), remaining),
        batch_sampler=remaining,
        collate_fn=collate_prompts,
        num_workers=num_workers,
        persistent_workers=num_workers > 0,
        worker_init_fn=_begin_worker,
        timeout=POLL_SECONDS if num_workers > 0 else 0,
    )


def require_loadable(batch_size: int, num_prompts: int, num_workers: int, num_held_out: Mapping[str, int]) -> None:
    """Refuse batches that an epoch cannot hold, and numbers that no machine has the memory for.

    Args:
        batch_size: Prompts of a batch.
        num_prompts: Training prompts of an epoch.
        num_workers: Processes that decode.
        num_held_out: Prompts of validation and test, by their setting.
    """
    if not 1 <= batch_size <= num_prompts:
        msg = (
            f"batch_size is {batch_size} and num_train_prompts_per_epoch {num_prompts}; "
            "choose a batch of at least 1 and no more than an epoch"
        )
        raise ConfigError(msg)
    if not 0 <= num_workers <= MAX_WORKERS:
        msg = (
            f"num_workers is {num_workers}; choose 0 to decode in the training process, or how many processes decode, "
            f"at most {MAX_WORKERS}"
        )
        raise ConfigError(msg)
    for name, number in {"batch_size": batch_size, **num_held_out}.items():
        if number > MAX_PROMPTS:
            msg = f"{name} is {number}; choose at most {MAX_PROMPTS:,} prompts"
            raise ConfigError(msg)


def _begin_worker(worker: int) -> None:  # noqa: ARG001 - the signature torch calls
    """Use one thread, as several workers would use more than there are cores; end where a batch cannot be sent."""
    torch.set_num_threads(1)
    Queue._on_queue_feeder_error = staticmethod(_end_worker)  # type: ignore[attr-defined]


def _end_worker(error: BaseException, _batch: object) -> None:
    """A batch for which there is no shared memory or no file is dropped by Python, and would be awaited for long."""
    write_err(f"a data worker cannot send a batch: {text_of(error)}\n")
    os._exit(1)


def collate_prompts(samples: Sequence[Sample]) -> PromptBatch:
    """One batch of P samples, whose images and videos may differ in number and size."""
    return PromptBatch(
        images=[sample.images for sample in samples],
        questions=[sample.question for sample in samples],
        clip_ids=[sample.clip_id for sample in samples],
        videos=[sample.videos for sample in samples],
        replaced=[fault for sample in samples for fault in sample.replaced[:1]],
    )
