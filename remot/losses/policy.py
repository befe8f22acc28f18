"""The policy losses as settings: each class holds the constants of a function of :mod:`remot.losses.functional`.

:class:`BNPOLoss`, :class:`DAPOLoss`, :class:`DrGRPOLoss`, :class:`LUSPOLoss` and :class:`ScaleRLCISPOLoss` are presets:
other defaults and another mean of the same function.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from remot.errors import ConfigError
from remot.losses.aggregate import AGGREGATIONS, Aggregation
from remot.losses.functional import cispo_loss, gmpo_loss, grpo_loss, gspo_loss, loss_normalizer, sapo_loss
from remot.losses.kl import KL
from remot.structures import LossOutput


class PolicyLoss(ABC):
    """A loss that moves the policy towards completions with a positive advantage.

    Attributes:
        beta: Weight of the KL term; 0 needs no reference.
        kl: How the KL is estimated; k3 if None.
        aggregation: ``sequence_mean`` weighs completions alike, ``token_mean`` tokens alike.
        length: Divide the sum over tokens by B·length instead, with B completions; None for a mean.
        denominator_is_global: The denominator counts the completions of all processes, not only of this one.
        is_zero_without_advantage: Without a KL term a completion whose advantage is 0 adds nothing to the loss and its
            gradient, and need not be computed.
        adds_up_over_completions: Parts of a group give losses that add up to the group's, as parts of a batch do.
    """

    aggregation: Aggregation = "sequence_mean"
    length: int | None = None
    denominator_is_global: bool = True
    is_zero_without_advantage: ClassVar[bool] = False
    adds_up_over_completions: ClassVar[bool] = False

    beta: float
    kl: KL | None

    def __post_init__(self) -> None:
        if not 0 <= self.beta < math.inf:
            msg = f"{type(self).__name__} needs a finite beta >= 0, got {self.beta}"
            raise ConfigError(msg)

    @property
    def needs_reference(self) -> bool:
        """True if the loss cannot be computed without log-probabilities of the reference."""
        return self.beta > 0

    @property
    @abstractmethod
    def function(self) -> Callable[..., LossOutput]:
        """The pure function with the constants of this loss; it takes the tensors, ``beta`` and ``LossTerms``."""

    def normalizer(self, completion_mask: Tensor) -> float:
        """The denominator for a whole batch with ``completion_mask`` [P, G, T], to pass with its micro-batches."""
        return loss_normalizer(completion_mask, self.aggregation, self.length)

    def __call__(
        self,
        logprobs: Tensor,
        old_logprobs: Tensor,
        ref_logprobs: Tensor | None,
        advantages: Tensor,
        completion_mask: Tensor,
        *,
        normalizer: float | None = None,
        weights: Tensor | None = None,
    ) -> LossOutput:
        """The loss of a batch, or of a micro-batch of it; the tensors are those of :mod:`remot.losses.functional`.

        Args:
            logprobs: [P, G, T] of the policy, with gradient.
            old_logprobs: [P, G, T] of the policy before the update, without gradient.
            ref_logprobs: [P, G, T] of the reference, or None if ``beta`` is 0.
            advantages: [P, G].
            completion_mask: [P, G, T] bool, True where a token counts.
            normalizer: :meth:`normalizer` of the whole batch if this is a micro-batch of it.
            weights: [P, G, T] importance weights of the sampled tokens, see :mod:`remot.losses.importance`.

        Raises:
            ValueError: If shapes differ, or ``beta`` asks for a reference that is not given.
        """
        tensors = logprobs, old_logprobs, ref_logprobs, advantages, completion_mask
        mean = {"aggregation": self.aggregation, "length": self.length, "normalizer": normalizer}
        return self.function(*tensors, beta=self.beta, kl=self.kl, weights=weights, **mean)


class _FormulaLoss(PolicyLoss):
    """A loss whose constants are fields by the names of the formula's own arguments."""

    is_zero_without_advantage = True
    adds_up_over_completions = True

    formula: ClassVar[Callable[..., LossOutput]]
    constants: ClassVar[tuple[str, ...]]

    @property
    def function(self) -> Callable[..., LossOutput]:
        """See :attr:`PolicyLoss.function`."""
        return partial(type(self).formula, **{name: getattr(self, name) for name in self.constants})


@dataclass(frozen=True)
class _ClippedLoss(_FormulaLoss):
    """A loss that clips ratios to [1 − ε_low, 1 + ε_high].

    Args:
        clip_low: ε_low, in [0, 1].
        clip_high: ε_high.
        beta: Weight of the KL term; 0 needs no reference.
        kl: How the KL is estimated; k3 if None.
    """

    constants: ClassVar[tuple[str, ...]] = ("clip_low", "clip_high")
    largest_clip_low: ClassVar[float] = 1

    clip_low: float = 0.2
    clip_high: float = 0.2
    beta: float = 0.0
    kl: KL | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 <= self.clip_low <= self.largest_clip_low and self.clip_high >= 0):
            wanted = f"0 <= clip_low <= {self.largest_clip_low:g} and clip_high >= 0"
            msg = f"{type(self).__name__} needs {wanted}; got {self.clip_low} and {self.clip_high}"
            raise ConfigError(msg)


@dataclass(frozen=True)
class GRPOLoss(_ClippedLoss):
    """:func:`remot.losses.grpo_loss`.

    Args:
        clip_low: ε_low, in [0, 1].
        clip_high: ε_high.
        beta: Weight of the KL term; 0 needs no reference.
        kl: How the KL is estimated; k3 if None.
        aggregation: ``sequence_mean`` weighs completions alike (GRPO), ``token_mean`` tokens alike (DAPO).
        delta: Two-sided clipping: bounds ρ in the unclipped term too (INTELLECT-2 has 4); None is off.
        dual_clip: Dual clipping: lower bound c·A of the objective where A < 0 (3 in its paper); None is off.

    Raises:
        ConfigError: If a number is out of its range, or both ``delta`` and ``dual_clip`` are given.
    """

    formula = staticmethod(grpo_loss)
    constants = ("clip_low", "clip_high", "delta", "dual_clip")

    beta: float = 0.01
    aggregation: Aggregation = "sequence_mean"
    delta: float | None = None
    dual_clip: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.delta is not None and self.dual_clip is not None:
            msg = "delta and dual_clip bound the same thing in the same way; give one of them"
            raise ConfigError(msg)
        for name, bound in (("delta", self.delta), ("dual_clip", self.dual_clip)):
            if bound is not None and not bound > 1 + self.clip_high:
                msg = f"{name} bounds ratios beyond the clip: it has to be above 1 + clip_high, not {bound}"
                raise ConfigError(msg)
        if self.aggregation not in AGGREGATIONS:
            msg = f"aggregation is {' or '.join(AGGREGATIONS)}, not {self.aggregation!r}"
            raise ConfigError(msg)


@dataclass(frozen=True)
class DAPOLoss(GRPOLoss):
    """Mean over all tokens of the batch, and more room upwards than downwards (DAPO, arXiv 2503.14476).

    loss = −(1/Σ|o_i|) Σ_i Σ_t min(ρA, clip(ρ, 1−ε_low, 1+ε_high)A). The sums run over the whole batch, whatever is
    differentiated at once and on however many devices. Published: ε 0.2 and 0.28, no KL. The rest of DAPO is in
    :class:`remot.rewards.SoftOverlongReward` and in ``mask_truncated`` and ``dynamic_sampling`` of the objective.
    The arguments are those of :class:`GRPOLoss` but for ``aggregation``.
    """

    clip_high: float = 0.28
    beta: float = 0.0
    aggregation: Aggregation = field(default="token_mean", init=False)


@dataclass(frozen=True)
class BNPOLoss(GRPOLoss):
    """Mean over all tokens of this process's batch: TRL's ``bnpo``, with a denominator that is not per micro-batch.

    In TRL the denominator is that of the micro-batch, so that results depend on its size (with one completion it is
    GRPO). Here it is the batch of a process, which is a reconstruction; on one device with the same clip range it is
    :class:`DAPOLoss`. The name comes from arXiv 2506.02864, whose normalisation of rewards is another matter and not
    implemented. The defaults are those of PPO. The arguments are those of :class:`GRPOLoss` but for ``aggregation``.
    """

    denominator_is_global = False

    beta: float = 0.0
    aggregation: Aggregation = field(default="token_mean", init=False)


@dataclass(frozen=True)
class DrGRPOLoss(GRPOLoss):
    """Sum over tokens, divided by a constant (Dr. GRPO, arXiv 2503.20783).

    loss = −(1/(B·L)) Σ_i Σ_t min(ρA, clip(ρ)A) with a constant L, so that a long wrong completion is not punished less
    for each token. Belongs to :class:`remot.losses.MeanOnlyAdvantages`. Published: L is the longest completion that
    may be sampled, ε 0.2, no KL. The other arguments are those of :class:`GRPOLoss` but for ``aggregation``.

    Args:
        length: L; take ``max_new_tokens`` of the objective. Another value scales the gradient by a constant.
    """

    beta: float = 0.0
    aggregation: Aggregation = field(default="token_mean", init=False)
    length: int = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.length < 1:
            msg = f"Dr. GRPO divides by a length of at least 1, not {self.length}; give the longest completion"
            raise ConfigError(msg)


@dataclass(frozen=True)
class GSPOLoss(_ClippedLoss):
    """:func:`remot.losses.gspo_loss`: ratio and clip of whole completions (GSPO, arXiv 2507.18071).

    With one update per rollout it is GRPO: it matters only off-policy. Published: ε 3e-4 and 4e-4, no KL.

    Args:
        clip_low: ε_low, in [0, 1]; sequence ratios are much closer to 1 than those of tokens.
    """

    formula = staticmethod(gspo_loss)

    clip_low: float = 3e-4
    clip_high: float = 4e-4


@dataclass(frozen=True)
class LUSPOLoss(GSPOLoss):
    """GSPO with every completion weighted by its length (LUSPO, arXiv 2602.05261).

    loss = −(1/B) Σ_i |o_i| min(s_i A_i, clip(s_i)A_i). Constants as in TRL: ε 2e-3 and 2.5e-3. The loss grows with the
    length of completions, and with it the gradient; the KL is weighted by length as well. The arguments are those of
    :class:`GSPOLoss`.
    """

    length = 1

    clip_low: float = 2e-3
    clip_high: float = 2.5e-3


@dataclass(frozen=True)
class GMPOLoss(_ClippedLoss):
    """:func:`remot.losses.gmpo_loss`: geometric instead of arithmetic mean of token ratios (GMPO, arXiv 2507.20673).

    Published: ρ within e^±0.4; the KL is ours to leave out or add.

    Args:
        clip_low: log ρ is not below −clip_low.
        clip_high: log ρ is not above clip_high.
    """

    formula = staticmethod(gmpo_loss)
    largest_clip_low = math.inf

    clip_low: float = 0.4
    clip_high: float = 0.4


@dataclass(frozen=True)
class CISPOLoss(_ClippedLoss):
    """:func:`remot.losses.cispo_loss` with a weight bounded on both sides: clip(ρ, 1−ε_low, 1+ε_high).

    As published for MiniMax-M1 (arXiv 2506.13585) and in verl, where ε_high is counted from 1. Published are no
    constants, only that there is no lower bound in practice: the defaults are ours, with ε_high of verl's example.
    :class:`ScaleRLCISPOLoss` is what others call by the same name.

    Args:
        clip_low: ε_low in [0, 1]; 1 is no lower bound, as ratios are positive.
        clip_high: ε_high, counted from 1.
    """

    aggregation = "token_mean"

    clip_low: float = 1.0

    @property
    def function(self) -> Callable[..., LossOutput]:
        """:func:`remot.losses.cispo_loss`."""
        return partial(cispo_loss, low=1 - self.clip_low, high=1 + self.clip_high)


@dataclass(frozen=True)
class ScaleRLCISPOLoss(PolicyLoss):
    """:func:`remot.losses.cispo_loss` with a weight bounded from above by an absolute number: min(ρ, ε_max).

    As in ScaleRL (arXiv 2510.13786) and TRL's ``cispo``, where the bound is a value of ρ itself: TRL's example has 5.
    ScaleRL averages over prompts; the mean over the tokens of the batch is MiniMax-M1's and TRL's.

    Args:
        max_weight: ε_max, the largest weight, at least 1.
        beta: Weight of the KL term; 0 needs no reference.
        kl: How the KL is estimated; k3 if None.
    """

    aggregation = "token_mean"

    max_weight: float = 5.0
    beta: float = 0.0
    kl: KL | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.max_weight < math.inf:
            msg = f"max_weight bounds the ratio itself, so it is a number of at least 1, not {self.max_weight}"
            raise ConfigError(msg)

    @property
    def function(self) -> Callable[..., LossOutput]:
        """:func:`remot.losses.cispo_loss` without a lower bound."""
        return partial(cispo_loss, low=0.0, high=self.max_weight)


@dataclass(frozen=True)
class SAPOLoss(_FormulaLoss):
    """:func:`remot.losses.sapo_loss`: a soft gate around ρ = 1 instead of a clip (SAPO, arXiv 2511.20347).

    Mean over tokens, then over completions. Published: τ = 1.0 where A > 0 and 1.05 elsewhere. Nothing is ever
    clipped, so ``clip_fraction`` is 0.

    Args:
        temperature_positive: τ where A > 0.
        temperature_negative: τ elsewhere; larger fades faster.
        beta: Weight of the KL term; 0 needs no reference.
        kl: How the KL is estimated; k3 if None.
    """

    formula = staticmethod(sapo_loss)
    constants = ("temperature_positive", "temperature_negative")

    temperature_positive: float = 1.0
    temperature_negative: float = 1.05
    beta: float = 0.0
    kl: KL | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        positive, negative = self.temperature_positive, self.temperature_negative
        if not (positive > 0 and negative > 0):
            msg = f"temperature_positive and temperature_negative must be above 0, got {positive} and {negative}"
            raise ConfigError(msg)


@dataclass(frozen=True)
class NoPolicyLoss(PolicyLoss):
    """Nothing of rewards: only what is added is minimised, such as the divergence from a teacher.

    With :class:`remot.losses.Distillation` it is on-policy self-distillation alone, as in SDPO (arXiv 2601.20802).

    Args:
        beta: Weight of the KL term; 0 needs no reference.
        kl: How the KL is estimated; k3 if None.
        aggregation: ``sequence_mean`` weighs completions alike, ``token_mean`` tokens alike (TRL's ``dapo``).
    """

    is_zero_without_advantage = True
    adds_up_over_completions = True

    beta: float = 0.0
    kl: KL | None = None
    aggregation: Aggregation = "token_mean"

    @property
    def function(self) -> Callable[..., LossOutput]:
        """:func:`remot.losses.grpo_loss` of advantages that are all 0, so that its KL term is left."""
        return _without_advantages


def _without_advantages(
    logprobs: Tensor,
    old_logprobs: Tensor,
    ref_logprobs: Tensor | None,
    advantages: Tensor,
    completion_mask: Tensor,
    **settings: Any,  # noqa: ANN401
) -> LossOutput:
    tensors = logprobs, old_logprobs, ref_logprobs, torch.zeros_like(advantages), completion_mask
    return grpo_loss(*tensors, clip_low=0.2, clip_high=0.2, **settings)
