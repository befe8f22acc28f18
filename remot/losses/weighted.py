"""Losses without a hard clip: every token keeps a gradient, with a bounded weight."""

import math

from torch import Tensor

from remot.errors import ConfigError
from remot.losses.kl import KL
from remot.losses.policy import PolicyLoss
from remot.losses.surrogate import Surrogate, soft_gate, token_ratio, weighted_log_likelihood


class CISPOLoss(PolicyLoss):
    """Clipped importance weights, two-sided: −(1/Σ|o_i|) Σ sg[clip(ρ, 1−ε_low, 1+ε_high)]·A·log π.

    As published for MiniMax-M1 (arXiv 2506.13585) and in verl, where ε_high is counted from 1. Published
    are no constants, only that there is no lower bound in practice: the defaults are ours, with ε_high of verl's
    example. :class:`ScaleRLCISPOLoss` is what others call by the same name.

    Args:
        clip_low: ε_low in [0, 1]; 1 is no lower bound, as ratios are positive.
        clip_high: ε_high, counted from 1.
        beta: Weight of the KL term; 0 needs no reference.
        kl: How the KL is estimated; k3 if None.
    """

    aggregation = "token_mean"

    def __init__(self, clip_low: float = 1.0, clip_high: float = 0.2, beta: float = 0.0, kl: KL | None = None) -> None:
        super().__init__(beta, kl)
        if not (0 <= clip_low <= 1 and clip_high >= 0):
            msg = f"need 0 <= clip_low <= 1 and clip_high >= 0; got {clip_low} and {clip_high}"
            raise ConfigError(msg)
        self.low = 1 - clip_low
        self.high = 1 + clip_high

    def surrogate(self, logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Surrogate:  # noqa: ARG002
        """Log-likelihood with a bounded weight."""
        ratio = token_ratio(logprobs, old_logprobs)
        return weighted_log_likelihood(logprobs, ratio, advantages, self.low, self.high)


class ScaleRLCISPOLoss(PolicyLoss):
    """Importance weights bounded from above by an absolute number: −(1/Σ|o_i|) Σ sg[min(ρ, ε_max)]·A·log π.

    As in ScaleRL (arXiv 2510.13786) and TRL's ``cispo``, where the bound is a value of ρ itself: TRL's
    example has 5. ScaleRL averages over prompts; the mean over the tokens of the batch is MiniMax-M1's and TRL's.

    Args:
        max_weight: ε_max, the largest weight, at least 1.
        beta: Weight of the KL term; 0 needs no reference.
        kl: How the KL is estimated; k3 if None.
    """

    aggregation = "token_mean"

    def __init__(self, max_weight: float = 5.0, beta: float = 0.0, kl: KL | None = None) -> None:
        super().__init__(beta, kl)
        if not 1 <= max_weight < math.inf:
            msg = f"max_weight bounds the ratio itself, so it is a number of at least 1, not {max_weight}"
            raise ConfigError(msg)
        self.max_weight = max_weight

    def surrogate(self, logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Surrogate:  # noqa: ARG002
        """Log-likelihood with a weight bounded from above."""
        ratio = token_ratio(logprobs, old_logprobs)
        return weighted_log_likelihood(logprobs, ratio, advantages, 0.0, self.max_weight)


class SAPOLoss(PolicyLoss):
    """A soft gate around ρ = 1 instead of a clip (SAPO, arXiv 2511.20347): (4/τ)·σ(τ(ρ − 1))·A.

    Mean over tokens, then over completions. Published: τ = 1.0 where A > 0 and 1.05 elsewhere. Nothing is ever
    clipped, so ``clip_fraction`` is 0.

    Args:
        temperature_positive: τ where A > 0.
        temperature_negative: τ elsewhere; larger fades faster.
        beta: Weight of the KL term; 0 needs no reference.
        kl: How the KL is estimated; k3 if None.
    """

    def __init__(
        self,
        temperature_positive: float = 1.0,
        temperature_negative: float = 1.05,
        beta: float = 0.0,
        kl: KL | None = None,
    ) -> None:
        super().__init__(beta, kl)
        if not (temperature_positive > 0 and temperature_negative > 0):
            msg = f"temperatures are above 0; got {temperature_positive} and {temperature_negative}"
            raise ConfigError(msg)
        self.temperature_positive = temperature_positive
        self.temperature_negative = temperature_negative

    def surrogate(self, logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Surrogate:
        """The gated advantage."""
        ratio = token_ratio(logprobs, old_logprobs)
        gated = soft_gate(ratio, advantages, self.temperature_positive, self.temperature_negative)
        return Surrogate(gated, mask & False, ratio)
