"""What the processes of one run have to agree on."""

import torch
from torch import distributed


def is_distributed() -> bool:
    """True if several processes train together."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1


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
