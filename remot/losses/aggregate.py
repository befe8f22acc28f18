"""From a loss per token to one number, in shares that add up over micro-batches.

A batch is often too large to be differentiated at once. Each function here therefore takes a ``normalizer``, the
denominator of the *whole* batch: with it, the sum over micro-batches is the value (and the gradient) of the batch.
"""

from typing import Literal

import torch
from torch import Tensor

Aggregation = Literal["sequence_mean", "token_mean"]


def zero_where_masked(values: Tensor, mask: Tensor) -> Tensor:
    """``values`` with 0 where ``mask`` is False; neither NaN nor infinity leaks from there, nor does a gradient."""
    return torch.where(mask, values, torch.zeros((), dtype=values.dtype, device=values.device))


def token_count(mask: Tensor) -> float:
    """Number of True entries of ``mask``."""
    return float(mask.sum())


def masked_mean(values: Tensor, mask: Tensor, normalizer: float | None = None) -> Tensor:
    """Σ values·mask / normalizer.

    Args:
        values: Any shape.
        mask: Same shape, bool, True where a value counts.
        normalizer: Denominator, by default the number of True entries (at least 1, so that nothing gives 0).

    Returns:
        Scalar.

    >>> masked_mean(torch.tensor([[1.0, 2.0], [6.0, 9.0]]), torch.tensor([[True, True], [True, False]]))
    tensor(3.)
    """
    denominator = normalizer_of(mask, "token_mean") if normalizer is None else normalizer
    return zero_where_masked(values, mask).sum() / denominator


def sequence_mean(values: Tensor, mask: Tensor, normalizer: float | None = None) -> Tensor:
    """(1/B) Σ_i (1/|o_i|) Σ_t values_it: every completion weighs the same (GRPO, arXiv 2402.03300, eq. 3).

    Args:
        values: [..., T].
        mask: [..., T] bool, True where a token counts. A completion without tokens contributes 0 and counts in B.
        normalizer: B of the whole batch, by default the number of completions given.

    Returns:
        Scalar.

    >>> sequence_mean(torch.tensor([[1.0, 2.0], [6.0, 9.0]]), torch.tensor([[True, True], [True, False]]))
    tensor(3.7500)
    """
    means = zero_where_masked(values, mask).sum(-1) / mask.sum(-1).clamp(min=1)  # [...]
    return means.sum() / (normalizer_of(mask, "sequence_mean") if normalizer is None else normalizer)


AGGREGATIONS: tuple[Aggregation, ...] = ("sequence_mean", "token_mean")


def aggregate(values: Tensor, mask: Tensor, aggregation: Aggregation, normalizer: float | None = None) -> Tensor:
    """Reduce ``values`` [..., T] to a scalar over the True entries of ``mask`` [..., T].

    Args:
        values: [..., T] floating point.
        mask: [..., T] bool, True where a token counts.
        aggregation: ``sequence_mean`` weighs completions alike (GRPO), ``token_mean`` tokens alike (DAPO).
        normalizer: :func:`normalizer_of` the whole batch if this is a part of it.

    Returns:
        Scalar.
    """
    mean = sequence_mean if aggregation == "sequence_mean" else masked_mean
    return mean(values, mask, normalizer)


def normalizer_of(mask: Tensor, aggregation: Aggregation) -> float:
    """The denominator that ``aggregation`` uses for ``mask`` [..., T]; take it from the whole batch, at least 1.

    For ``sequence_mean`` that is the number of completions, empty ones included, for ``token_mean`` that of tokens.
    """
    count = float(mask.shape[:-1].numel()) if aggregation == "sequence_mean" else token_count(mask)
    return max(1.0, count)
