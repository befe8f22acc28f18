"""Weights for completions that another engine, or another precision, sampled than the one that is trained.

w = π_train/π_rollout, both before the update. It multiplies the objective of a token, not the KL term, and carries no
gradient. Off unless asked for: where the trainer samples itself, w is 1 up to rounding.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from remot.errors import ConfigError
from remot.losses.aggregate import zero_where_masked
from remot.losses.kl import LOG_RATIO_BOUND, log_ratio

Level = Literal["token", "sequence"]
LEVELS: tuple[Level, ...] = ("token", "sequence")


@dataclass(frozen=True, eq=False)
class ImportanceWeights:
    """What an :class:`ImportanceCorrection` gives."""

    weights: Tensor  # [P, G, T] what the objective of a token is multiplied with; 0 where masked
    ratio: Tensor  # [P, G, T] w before any bound, of tokens or of whole completions; 0 where masked
    is_bounded: Tensor  # [P, G, T] bool, True where weight and ratio differ


def importance_ratio(trainer_logprobs: Tensor, rollout_logprobs: Tensor, mask: Tensor, level: Level) -> Tensor:
    """π_train/π_rollout of each token, or the product over the completion at each of its tokens.

    Args:
        trainer_logprobs: [P, G, T].
        rollout_logprobs: [P, G, T].
        mask: [P, G, T] bool.
        level: ``token`` has little variance and some bias, ``sequence`` is unbiased before it is bounded.

    Returns:
        [P, G, T], 0 where masked. Logarithms are bounded by ±20, of sums too.

    >>> trainer, rollout = torch.tensor([[[0.5, 0.5]]]).log(), torch.tensor([[[0.25, 0.25]]]).log()
    >>> mask = torch.ones(1, 1, 2, dtype=torch.bool)
    >>> importance_ratio(trainer, rollout, mask, "token"), importance_ratio(trainer, rollout, mask, "sequence")
    (tensor([[[2., 2.]]]), tensor([[[4., 4.]]]))
    """
    trainer, rollout = (zero_where_masked(x.detach(), mask) for x in (trainer_logprobs, rollout_logprobs))
    logs = log_ratio(trainer, rollout)  # [P, G, T]
    if level == "sequence":
        logs = logs.sum(-1, keepdim=True).clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND).expand_as(logs)
    return zero_where_masked(logs.exp(), mask)


class ImportanceCorrection(ABC):
    """Bounded importance weights.

    Args:
        level: ``token`` or ``sequence``, see :func:`importance_ratio`.
    """

    def __init__(self, level: Level) -> None:
        if level not in LEVELS:
            msg = f"importance weights are those of a {' or a '.join(LEVELS)}, not of a {level!r}"
            raise ConfigError(msg)
        self.level: Level = level

    @abstractmethod
    def bound(self, ratio: Tensor) -> Tensor:
        """The weight for a ratio, in any shape."""

    def __call__(self, trainer_logprobs: Tensor, rollout_logprobs: Tensor, mask: Tensor) -> ImportanceWeights:
        """Weights of the tokens of a batch or of a part of it.

        Args:
            trainer_logprobs: [P, G, T] of the policy that is trained, before the update.
            rollout_logprobs: [P, G, T] the sampler reported.
            mask: [P, G, T] bool, True where a token counts.
        """
        ratio = importance_ratio(trainer_logprobs, rollout_logprobs, mask, self.level)
        weights = zero_where_masked(self.bound(ratio), mask)
        return ImportanceWeights(weights, ratio, weights != ratio)


class TruncatedImportance(ImportanceCorrection):
    """Weight min(w, C): truncated importance sampling (TIS).

    Yao et al., "Your efficient RL framework secretly brings you off-policy RL training", 2025: at the level of tokens.
    TRL offers the level of sequences too. C = 2 as in verl.

    Args:
        limit: C, at least 1.
        level: ``token`` or ``sequence``.
    """

    def __init__(self, limit: float = 2.0, level: Level = "token") -> None:
        super().__init__(level)
        if not limit >= 1:
            msg = f"the limit of importance weights is at least 1, not {limit}"
            raise ConfigError(msg)
        self.limit = limit

    def bound(self, ratio: Tensor) -> Tensor:
        """min(w, C)."""
        return ratio.clamp(max=self.limit)


class MaskedImportance(ImportanceCorrection):
    """Weight w inside [low, high] and 0 outside, where the two engines disagree too much to learn anything.

    IcePop (Ling team, "Small leak can sink a great ship", 2025) does it at the level of tokens with 0.5 and 5; masked
    importance sampling (MIS; Liu et al., "When speed kills stability", 2025) at that of sequences, from above only:
    ``low`` 0. The defaults are ours.

    Args:
        low: Smallest w that counts, in [0, 1].
        high: Largest w that counts, at least 1.
        level: ``token`` or ``sequence``.
    """

    def __init__(self, low: float = 0.5, high: float = 2.0, level: Level = "token") -> None:
        super().__init__(level)
        if not 0 <= low <= 1 <= high:
            msg = f"importance weights are kept within a range around 1, not [{low}, {high}]"
            raise ConfigError(msg)
        self.low = low
        self.high = high

    def bound(self, ratio: Tensor) -> Tensor:
        """The ratio, w or 0."""
        return torch.where((ratio >= self.low) & (ratio <= self.high), ratio, 0.0)
