"""What each method maximises for a token: probability ratios, and how far they may pull.

Everything here takes log-probabilities that are 0 where a completion has no token and advantages [P, G, 1], and gives
values [P, G, T]. Aggregation and the distance to a reference come later, see :mod:`remot.losses.policy`.
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
    """The objective of every token, which a loss aggregates and minimises with a minus sign.

    Args:
        objective: [P, G, T] with gradient.
        is_clipped: [P, G, T] bool, True where a bound changed the objective or its gradient.
        ratio: [P, G, T] the probability ratio the method is about, of tokens or of whole completions.
    """

    objective: Tensor
    is_clipped: Tensor
    ratio: Tensor


def token_ratio(logprobs: Tensor, old_logprobs: Tensor) -> Tensor:
    """ρ_t = π/π_old of each token."""
    return log_ratio(logprobs, old_logprobs).exp()


def mean_log_ratio(logprobs: Tensor, old_logprobs: Tensor, mask: Tensor) -> Tensor:
    """(1/|o|) Σ_t log ρ_t of each completion, [P, G, 1]; 0 for one without tokens."""
    differences = zero_where_masked(log_ratio(logprobs, old_logprobs), mask)
    return differences.sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)


def sequence_ratio(logprobs: Tensor, old_logprobs: Tensor, mask: Tensor) -> Tensor:
    """Ratio s = (Π_t ρ_t)^(1/|o|) of each completion, for each of its tokens (GSPO, arXiv 2507.18071).

    The value is that of the completion; the gradient is the one of GSPO-token, sg[s]·π_t/sg[π_t]. Averaged over the
    tokens of a completion with one advantage it is exactly the gradient of s itself.

    Args:
        logprobs: [P, G, T] with gradient.
        old_logprobs: [P, G, T].
        mask: [P, G, T] bool.
    """
    log_s = mean_log_ratio(logprobs, old_logprobs, mask).detach()
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
    """
    unclipped = (ratio if delta is None else ratio.clamp(max=delta)) * advantages
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high) * advantages
    is_clipped = clipped < unclipped
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
    """
    floor = (dual_clip * advantages).expand_as(objective)
    is_bound = (advantages < 0) & (objective < floor)
    return torch.where(is_bound, floor, objective), is_clipped | is_bound


def weighted_log_likelihood(logprobs: Tensor, ratio: Tensor, advantages: Tensor, low: float, high: float) -> Surrogate:
    """sg[clamp(ρ, low, high)]·A·log π: the clamp bounds a weight and no token loses its gradient (CISPO).

    arXiv 2506.13585. ``low`` and ``high`` are bounds of ρ itself.
    """
    weight = ratio.detach().clamp(low, high)
    return Surrogate(weight * advantages * logprobs, weight != ratio.detach(), ratio)


def soft_gate(ratio: Tensor, advantages: Tensor, temperature_positive: float, temperature_negative: float) -> Tensor:
    """(4/τ)·σ(τ(ρ − 1))·A, with a τ for each sign of A (SAPO, arXiv 2511.20347): slope A at ρ = 1, flat far from it."""
    temperature = torch.full_like(advantages, temperature_negative).masked_fill(advantages > 0, temperature_positive)
    return torch.sigmoid(temperature * (ratio - 1)) * (4 / temperature) * advantages


def geometric_mean_ratio(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor, clip_low: float, clip_high: float
) -> tuple[Tensor, Tensor]:
    """Geometric mean of the clipped token ratios of a completion (GMPO, arXiv 2507.20673).

    Args:
        logprobs: [P, G, T] with gradient.
        old_logprobs: [P, G, T].
        advantages: A, [P, G, 1]; its sign says on which side the clip bites.
        mask: [P, G, T] bool.
        clip_low: Lower bound of log ρ, as a positive number.
        clip_high: Upper bound of log ρ.

    Returns:
        The ratio [P, G, T], the same for all tokens of a completion, and where a token's ratio was clipped.
    """
    sign = advantages.sign()
    log_rho = log_ratio(logprobs, old_logprobs)
    signed, bounded = sign * log_rho, sign * log_rho.clamp(-clip_low, clip_high)
    kept = zero_where_masked(sign * signed.minimum(bounded), mask)
    log_mean = kept.sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)
    return log_mean.exp().expand_as(logprobs), bounded < signed
