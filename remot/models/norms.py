"""RMS norms with fewer operations on a processor than transformers' modules have.

Those have operations of their own for the square, the mean, the root and two products, and a gradient for each; here
the gradient is written out. docs/engine.md has the figures.
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.distributed.tensor import DTensor
from torch.linalg import vecdot

from remot.seeding import numpy_generator

#: Rows of states that are compared, and the largest difference from the module's own result.
PROBE_ROWS, TOLERANCE = 3, 1e-5


class _RootMeanSquareNorm(torch.autograd.Function):
    """y = w n with n = x / sqrt(mean(x²) + eps)."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, eps: float) -> Tensor:  # noqa: ANN401 (torch's context)
        """[..., n] of ``states`` [..., n] and ``weight`` [n]."""
        squares = vecdot(states, states).unsqueeze(-1)  # [..., 1]
        scale = squares.div_(states.shape[-1]).add_(eps).rsqrt_()
        normed = states * scale
        ctx.save_for_backward(normed, scale, weight)
        result: Tensor = normed * weight
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """Dx = (g - n mean(g n)) / sqrt(mean(x²) + eps) with g = w dy, and dw = Σ n dy."""
        normed, scale, weight = ctx.saved_tensors  # type: ignore[attr-defined]
        for_states, for_weight, _ = ctx.needs_input_grad  # type: ignore[attr-defined]
        by_weight = (gradient * normed).reshape(-1, len(weight)).sum(0) if for_weight else None
        if not for_states:
            return None, by_weight, None
        by_normed = gradient * weight  # [..., n]
        mean = vecdot(by_normed, normed).unsqueeze(-1).div_(-normed.shape[-1])
        return torch.addcmul(by_normed, normed, mean).mul_(scale), by_weight, None


def root_mean_square_norm(states: Tensor, weight: Tensor, eps: float) -> Tensor:
    """``weight`` [n] times ``states`` [..., n] over their root mean square."""
    if torch.is_grad_enabled() and (states.requires_grad or weight.requires_grad):
        normed: Tensor = _RootMeanSquareNorm.apply(states, weight, eps)
        return normed
    squares = vecdot(states, states).unsqueeze(-1)  # [..., 1]
    result: Tensor = (states * squares.div_(states.shape[-1]).add_(eps).rsqrt_()).mul_(weight)
    return result


def use_lean_norms(model: nn.Module) -> None:
    """Let RMS norms of ``model`` compute float32 states on a processor with fewer operations; others stay as they are.

    A module is one of those if it has a weight, an epsilon and nothing else, and gives the same as
    :func:`root_mean_square_norm` for a few states.
    """
    for module in model.modules():
        eps = _epsilon_of(module)
        if eps is not None and _is_same(module, eps):
            module.forward = partial(_forward, module, module.forward, eps)


def _epsilon_of(module: nn.Module) -> float | None:
    """The epsilon of a module that may be an RMS norm; None if it is none."""
    if not type(module).__name__.endswith("RMSNorm") or "forward" in vars(module):
        return None
    names = [name for name, _ in module.named_parameters()]
    if names != ["weight"] or len(inspect.signature(module.forward).parameters) != 1:
        return None
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    return eps if isinstance(eps, float) else None


def _is_same(module: nn.Module, eps: float) -> bool:
    weight: Any = module.weight
    if weight.ndim != 1 or weight.device.type != "cpu" or weight.dtype != torch.float32:
        return False
    states = torch.from_numpy(numpy_generator(0, "norms").normal(size=(PROBE_ROWS, len(weight))).astype("float32"))
    with torch.no_grad():
        gap = (module(states) - root_mean_square_norm(states, weight, eps)).abs().amax()
        return bool(gap <= TOLERANCE * weight.abs().amax().clamp(min=1.0))


def _forward(module: nn.Module, own: Callable[[Tensor], Tensor], eps: float, states: Tensor) -> Tensor:
    weight: Any = module.weight
    is_plain = states.dtype == weight.dtype == torch.float32 and states.device.type == "cpu"
    if not is_plain or isinstance(weight, DTensor):
        return own(states)
    return root_mean_square_norm(states, weight, eps)
