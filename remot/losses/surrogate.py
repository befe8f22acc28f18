"""Probability ratios and their clips, which the losses of :mod:`remot.losses.functional` share.

Everything here takes log-probabilities that are 0 where a completion has no token and advantages [P, G, 1], and gives
values [P, G, T]. Aggregation and the KL come later, see :func:`remot.losses.functional.policy_loss`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from remot.losses.aggregate import zero_where_masked
from remot.losses.kl import log_ratio

#: Largest logarithm of a sequence ratio; verl uses the same.
SEQUENCE_LOG_RATIO_BOUND = 10.0


@dataclass(frozen=True, eq=False)
class Surrogate:
    """The objective of every token, which a loss aggregates and minimises with a minus sign."""

    objective: Tensor  # [P, G, T] with gradient
    is_clipped: Tensor  # [P, G, T] bool, True where a bound changed the objective or its gradient
    ratio: Tensor  # [P, G, T] the probability ratio the method is about, of tokens or of whole completions


def sequence_ratio(logprobs: Tensor, old_logprobs: Tensor, mask: Tensor) -> Tensor:
    """Ratio s = (Π_t ρ_t)^(1/|o|) of each completion, for each of its tokens (GSPO, arXiv 2507.18071).

    The value is that of the completion; the gradient is the one of GSPO-token, sg[s]·π_t/sg[π_t]. Averaged over the
    tokens of a completion with one advantage it is exactly the gradient of s itself.

    Args:
        logprobs: [P, G, T] with gradient.
        old_logprobs: [P, G, T].
        mask: [P, G, T] bool.

    Ratios of 2 and ½ have the geometric mean 1:

    >>> old_logprobs, mask = torch.tensor([[[0.5, 0.5]]]).log(), torch.ones(1, 1, 2, dtype=torch.bool)
    >>> sequence_ratio(torch.tensor([[[1.0, 0.25]]]).log(), old_logprobs, mask)
    tensor([[[1., 1.]]])
    """
    log_ratios = zero_where_masked(log_ratio(logprobs, old_logprobs), mask).detach()  # [P, G, T]
    log_s = log_ratios.sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)  # [P, G, 1]; 0 without tokens
    # The first two terms are 0 and carry the gradient of log π_t.
    return (logprobs - logprobs.detach() + log_s.clamp(max=SEQUENCE_LOG_RATIO_BOUND)).exp()


def clipped_surrogate(
    ratio: Tensor, advantages: Tensor, clip_low: float, clip_high: float, *, delta: float | None = None
) -> tuple[Tensor, Tensor]:
    """min(ρA, clip(ρ, 1−ε_low, 1+ε_high)·A) and where the clip bites (PPO, arXiv 1707.06347, eq. 7).

    Args:
        ratio: ρ, [P, G, T].
        advantages: A, broadcastable to ``ratio``.
        clip_low: ε_low.
        clip_high: ε_high.
        delta: Two-sided clipping: the first ρ is bounded by this too, which limits what a bad completion that has
            become likely can do (INTELLECT-2, arXiv 2505.07291); None for PPO.

    Returns:
        The objective [P, G, T], and bool [P, G, T], True where the clip took the gradient away.

    >>> clipped_surrogate(torch.tensor([1.5, 1.5]), torch.tensor([1.0, -1.0]), 0.2, 0.2)
    (tensor([ 1.2000, -1.5000]), tensor([ True, False]))
    """
    unclipped = (ratio if delta is None else ratio.clamp(max=delta)) * advantages  # [P, G, T]
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high) * advantages  # [P, G, T]
    is_clipped = clipped < unclipped  # [P, G, T]
    if delta is not None:
        is_clipped = is_clipped | ((ratio > delta) & (advantages < 0))
    return unclipped.minimum(clipped), is_clipped


def dual_clipped(objective: Tensor, is_clipped: Tensor, advantages: Tensor, dual_clip: float) -> tuple[Tensor, Tensor]:
    """max(objective, c·A) where A < 0 (dual-clip PPO, arXiv 1912.09729).

    Args:
        objective: What :func:`clipped_surrogate` gives, [P, G, T].
        is_clipped: The same.
        advantages: A, broadcastable to ``objective``.
        dual_clip: c > 1; the paper has 3. It is what ``delta`` = c does.

    >>> dual_clipped(torch.tensor([-5.0]), torch.tensor([False]), torch.tensor([-1.0]), 3)
    (tensor([-3.]), tensor([True]))
    """
    floor = (dual_clip * advantages).expand_as(objective)  # [P, G, T]
    is_bound = (advantages < 0) & (objective < floor)  # [P, G, T]
    return torch.where(is_bound, floor, objective), is_clipped | is_bound
