"""How a training step works with the wrapper that Lightning's strategy puts around the module."""

import math
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from remot.errors import ConfigError

#: Metrics that processes add up, and those of which the largest counts; of the others the mean is reported.
SUMMED_METRICS = frozenset(
    {
        *("rollout/num_tokens", "rollout/tokens_per_second", "dynamic_sampling/prompts_drawn", "replaced_prompts"),
        *("feature_store/found", "feature_store/computed"),
    }
)
LARGEST_METRICS = frozenset({"rollout/logprob_gap_max"})


def backward_context(wrapper: nn.Module | None, *, is_last: bool) -> AbstractContextManager[None]:
    """Context of the backward pass of one of several micro-batches.

    DistributedDataParallel exchanges gradients with the last one only. DeepSpeed's engine is set to do so too.
    Sharded weights exchange each time, so that no process ever holds all gradients.
    """
    if isinstance(wrapper, DistributedDataParallel) and not is_last:
        return wrapper.no_sync()
    if is_deepspeed(wrapper):
        wrapper.set_gradient_accumulation_boundary(is_last)  # type: ignore[union-attr, operator]
    return nullcontext()


def is_deepspeed(wrapper: nn.Module | None) -> bool:
    """True for DeepSpeed's engine, which keeps gradients to itself; known by its methods: it may not be installed."""
    return hasattr(wrapper, "set_gradient_accumulation_boundary")


def clip_gradients(
    wrapper: nn.Module | None, parameters: Iterable[nn.Parameter], limit: float, scale: float = 1.0
) -> dict[str, float]:
    """Scale gradients so that their norm over all processes' shards is at most ``limit``.

    Gradients still carry ``scale``, the factor of the losses. They stay as they are where the norm is not finite: all
    of them would become NaN, which would hide the faulty one.

    Returns:
        The norm before, as ``grad_norm``. Nothing with DeepSpeed, which clips by ``gradient_clipping`` of its own
        configuration.
    """
    if is_deepspeed(wrapper):
        return {}
    parameters = list(parameters)
    total = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    norm = float(total.full_tensor() if isinstance(total, DTensor) else total)
    if math.isfinite(norm):
        torch.nn.utils.clip_grads_with_norm_(parameters, limit * scale, total)
    return {"grad_norm": norm / scale}


def data_mesh(mesh: DeviceMesh) -> DeviceMesh:
    """The processes that weights are divided over, of the mesh that ``ModelParallelStrategy`` made.

    Raises:
        ConfigError: If layers were to be cut as well: all processes must have prompts of their own.
    """
    tensor_parallel = mesh["tensor_parallel"].size()
    if tensor_parallel != 1:
        msg = (
            f"trainer.strategy cuts layers over {tensor_parallel} processes, which is not supported: set "
            f"tensor_parallel_size to 1 and data_parallel_size to the number of processes, {mesh.size()}"
        )
        raise ConfigError(msg)
    return mesh["data_parallel"]
