"""Losses whose probability ratio is that of a whole completion."""

from torch import Tensor

from remot.errors import ConfigError
from remot.losses.aggregate import masked_mean, sequence_mean
from remot.losses.kl import KL
from remot.losses.policy import PolicyLoss
from remot.losses.surrogate import Surrogate, clipped_surrogate, geometric_mean_ratio, sequence_ratio


class GSPOLoss(PolicyLoss):
    """Ratio and clip of whole completions (GSPO, arXiv 2507.18071).

    loss = −(1/B) Σ_i min(s_i A_i, clip(s_i)A_i) with s_i = (Π_t ρ_it)^(1/|o_i|), and the gradient of GSPO-token. With
    one update per rollout it is GRPO: it matters only off-policy. Published: ε 3e-4 and 4e-4, no KL.

    Args:
        clip_low: ε_low, in [0, 1]; sequence ratios are much closer to 1 than those of tokens.
        clip_high: ε_high.
        beta: Weight of the KL term; 0 needs no reference.
        kl: How the KL is estimated; k3 if None.
    """

    def __init__(
        self, clip_low: float = 3e-4, clip_high: float = 4e-4, beta: float = 0.0, kl: KL | None = None
    ) -> None:
        super().__init__(beta, kl)
        if not (0 <= clip_low <= 1 and clip_high >= 0):
            msg = f"need 0 <= clip_low <= 1 and clip_high >= 0; got {clip_low} and {clip_high}"
            raise ConfigError(msg)
        self.clip_low = clip_low
        self.clip_high = clip_high

    def surrogate(self, logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Surrogate:
        """The clipped surrogate of the completion, at each of its tokens."""
        ratio = sequence_ratio(logprobs, old_logprobs, mask)
        return Surrogate(*clipped_surrogate(ratio, advantages, self.clip_low, self.clip_high), ratio)


class LUSPOLoss(GSPOLoss):
    """GSPO with every completion weighted by its length (LUSPO, arXiv 2602.05261).

    loss = −(1/B) Σ_i |o_i| min(s_i A_i, clip(s_i)A_i). Constants as in TRL: ε 2e-3 and 2.5e-3. The loss grows with the
    length of completions, and with it the gradient.

    Args:
        clip_low: ε_low, in [0, 1].
        clip_high: ε_high.
        beta: Weight of the KL term, which is weighted by length as well; 0 needs no reference.
        kl: How the KL is estimated; k3 if None.
    """

    def __init__(
        self, clip_low: float = 2e-3, clip_high: float = 2.5e-3, beta: float = 0.0, kl: KL | None = None
    ) -> None:
        super().__init__(clip_low, clip_high, beta, kl)

    def reduce(self, values: Tensor, mask: Tensor, normalizer: float) -> Tensor:
        """Sum over tokens, mean over completions."""
        return masked_mean(values, mask, normalizer)

    def average(self, values: Tensor, mask: Tensor, normalizer: float) -> Tensor:
        """Mean over tokens, mean over completions."""
        return sequence_mean(values, mask, normalizer)


class GMPOLoss(PolicyLoss):
    """Geometric instead of arithmetic mean of the token ratios of a completion (GMPO, arXiv 2507.20673).

    loss = −(1/B) Σ_i A_i (Π_t clipped ρ_it)^(1/|o_i|), each ratio clipped on the side the sign of A_i says. Published:
    ρ within e^±0.4; the KL is ours to leave out or add.

    Args:
        clip_low: log ρ is not below −clip_low.
        clip_high: log ρ is not above clip_high.
        beta: Weight of the KL term; 0 needs no reference.
        kl: How the KL is estimated; k3 if None.
    """

    def __init__(self, clip_low: float = 0.4, clip_high: float = 0.4, beta: float = 0.0, kl: KL | None = None) -> None:
        super().__init__(beta, kl)
        if not (clip_low >= 0 and clip_high >= 0):
            msg = f"need clip_low >= 0 and clip_high >= 0; got {clip_low} and {clip_high}"
            raise ConfigError(msg)
        self.clip_low = clip_low
        self.clip_high = clip_high

    def surrogate(self, logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Surrogate:
        """The completion's ratio times its advantage, at each of its tokens."""
        ratio, is_clipped = geometric_mean_ratio(
            logprobs, old_logprobs, advantages, mask, self.clip_low, self.clip_high
        )
        return Surrogate(ratio * advantages, is_clipped, ratio)
