"""What the processes of one run have to agree on."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, zip_longest
from statistics import fmean
from typing import TypeVar

import torch
from torch import distributed

T = TypeVar("T")
_NOTHING = object()
#: Above 0 while this process does without the others, see :func:`alone`.
_DEPTH = [0]


@contextmanager
def alone() -> Iterator[None]:
    """Do without the other processes, which may have ended or hang: as if this one trained by itself."""
    _DEPTH[0] += 1
    try:
        yield
    finally:
        _DEPTH[0] -= 1


def is_distributed() -> bool:
    """True if several processes train together."""
    is_set_up = distributed.is_available() and distributed.is_initialized()
    return is_set_up and distributed.get_world_size() > 1 and not _DEPTH[0]


def is_first_process() -> bool:
    """True in the process that writes for all."""
    return not is_distributed() or distributed.get_rank() == 0


def mean_over_processes(number: float, device: torch.device) -> float:
    """The mean of ``number`` over the processes; all of them must call it.

    Gradients of processes are averaged, not summed. A sum divided by the mean of the denominators is therefore, once
    averaged, the sum over all processes divided by the denominator of all.
    """
    if not is_distributed():
        return number
    total = torch.tensor(number, dtype=torch.float64, device=device)
    distributed.all_reduce(total)
    return float(total) / distributed.get_world_size()


def least_over_processes(number: int, device: torch.device) -> int:
    """The least ``number`` of any process; all of them must call it."""
    if not is_distributed():
        return number
    least = torch.tensor(number, device=device)
    distributed.all_reduce(least, op=distributed.ReduceOp.MIN)
    return int(least)


def all_gather_objects(value: T) -> list[T]:
    """What each process hands in, by rank; all of them must call it."""
    if not is_distributed():
        return [value]
    gathered: list[T] = [value] * distributed.get_world_size()
    distributed.all_gather_object(gathered, value)
    return gathered


def interleave(parts: Iterable[Sequence[T]]) -> list[T]:
    """The first of each part, then the second of each, and so on: the order batches had before they were dealt out."""
    dealt = chain.from_iterable(zip_longest(*parts, fillvalue=_NOTHING))
    return [one for one in dealt if one is not _NOTHING]  # type: ignore[misc]


def joined_metrics(
    metrics: Sequence[Mapping[str, float]], summed: Iterable[str] = (), largest: Iterable[str] = ()
) -> dict[str, float]:
    """Metrics of several processes as those of the run.

    Args:
        metrics: Of each process. What is NaN, or missing, does not apply there.
        summed: Names that add up.
        largest: Names of which the largest counts; of all others it is the mean.
    """
    ways = dict.fromkeys(summed, sum) | dict.fromkeys(largest, max)
    joined = {}
    for name in dict.fromkeys(chain.from_iterable(metrics)):
        numbers = [held[name] for held in metrics if name in held and held[name] == held[name]]  # NaN differs from NaN
        joined[name] = float(ways.get(name, fmean)(numbers)) if numbers else float("nan")
    return joined
