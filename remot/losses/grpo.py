"""Group-relative policy optimisation and the losses that differ from it in clip range and denominator."""

from torch import Tensor

from remot.errors import ConfigError
from remot.losses.aggregate import AGGREGATIONS, Aggregation, masked_mean, sequence_count, sequence_mean
from remot.losses.kl import KL
from remot.losses.policy import PolicyLoss
from remot.losses.surrogate import Surrogate, clipped_surrogate, dual_clipped, token_ratio
from remot.structures import LossOutput


class ClippedLoss(PolicyLoss):
    """min(ρA, clip(ρ)A) of every token, with ρ = π/π_old; what its subclasses share.

    Args:
        clip_low: ε_low, in [0, 1].
        clip_high: ε_high.
        beta: Weight of the KL term; 0 needs no reference.
        kl: How the KL is estimated; k3 if None.
        delta: Two-sided clipping: bounds ρ in the unclipped term too (INTELLECT-2 has 4); None is off.
        dual_clip: Dual clipping: lower bound c·A of the objective where A < 0 (3 in its paper); None is off.

    Raises:
        ConfigError: If a number makes no sense, or both ``delta`` and ``dual_clip`` are given.
    """

    def __init__(
        self,
        clip_low: float,
        clip_high: float,
        beta: float,
        kl: KL | None,
        delta: float | None,
        dual_clip: float | None,
    ) -> None:
        if not (0 <= clip_low <= 1 and clip_high >= 0 and beta >= 0):
            msg = f"need 0 <= clip_low <= 1, clip_high >= 0, beta >= 0; got {clip_low}, {clip_high}, {beta}"
            raise ConfigError(msg)
        super().__init__(beta, kl)
        if delta is not None and dual_clip is not None:
            msg = "delta and dual_clip bound the same thing in the same way; give one of them"
            raise ConfigError(msg)
        for name, bound in (("delta", delta), ("dual_clip", dual_clip)):
            if bound is not None and not bound > 1 + clip_high:
                msg = f"{name} bounds ratios beyond the clip: it has to be above 1 + clip_high, not {bound}"
                raise ConfigError(msg)
        self.clip_low = clip_low
        self.clip_high = clip_high
        self.delta = delta
        self.dual_clip = dual_clip

    def surrogate(self, logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, mask: Tensor) -> Surrogate:  # noqa: ARG002
        """The clipped surrogate of PPO."""
        ratio = token_ratio(logprobs, old_logprobs)
        terms = clipped_surrogate(ratio, advantages, self.clip_low, self.clip_high, delta=self.delta)
        if self.dual_clip is not None:
            terms = dual_clipped(*terms, advantages, self.dual_clip)
        return Surrogate(*terms, ratio)


class GRPOLoss(ClippedLoss):
    """:func:`grpo_loss` with its settings.

    Args:
        clip_low: ε_low, in [0, 1].
        clip_high: ε_high.
        beta: Weight of the KL term; 0 needs no reference.
        aggregation: ``sequence_mean`` weighs completions alike (GRPO), ``token_mean`` tokens alike (DAPO).
        kl: How the KL is estimated; k3 if None.
        delta: Two-sided clipping: bounds ρ in the unclipped term too (INTELLECT-2 has 4); None is off.
        dual_clip: Dual clipping: lower bound c·A of the objective where A < 0 (3 in its paper); None is off.
    """

    def __init__(
        self,
        clip_low: float = 0.2,
        clip_high: float = 0.2,
        beta: float = 0.01,
        aggregation: Aggregation = "sequence_mean",
        kl: KL | None = None,
        delta: float | None = None,
        dual_clip: float | None = None,
    ) -> None:
        super().__init__(clip_low, clip_high, beta, kl, delta, dual_clip)
        if aggregation not in AGGREGATIONS:
            msg = f"aggregation is {' or '.join(AGGREGATIONS)}, not {aggregation!r}"
            raise ConfigError(msg)
        self.aggregation: Aggregation = aggregation


class DAPOLoss(ClippedLoss):
    """Mean over all tokens of the batch, and more room upwards than downwards (DAPO, arXiv 2503.14476).

    loss = −(1/Σ|o_i|) Σ_i Σ_t min(ρA, clip(ρ, 1−ε_low, 1+ε_high)A). The sums run over the whole batch, whatever is
    differentiated at once and on however many devices. Published: ε 0.2 and 0.28, no KL. The rest of DAPO is in
    :class:`remot.rewards.SoftOverlongReward` and in ``mask_truncated`` and ``dynamic_sampling`` of the objective.

    Args:
        clip_low: ε_low, in [0, 1].
        clip_high: ε_high.
        beta: Weight of the KL term; 0 needs no reference.
        kl: How the KL is estimated; k3 if None.
        delta: Two-sided clipping: bounds ρ in the unclipped term too; None is off.
        dual_clip: Dual clipping: lower bound c·A of the objective where A < 0; None is off.
    """

    aggregation = "token_mean"

    def __init__(
        self,
        clip_low: float = 0.2,
        clip_high: float = 0.28,
        beta: float = 0.0,
        kl: KL | None = None,
        delta: float | None = None,
        dual_clip: float | None = None,
    ) -> None:
        super().__init__(clip_low, clip_high, beta, kl, delta, dual_clip)


class BNPOLoss(ClippedLoss):
    """Mean over all tokens of this process's batch: TRL's ``bnpo``, with a denominator that is not per micro-batch.

    In TRL the denominator is that of the micro-batch, so that results depend on its size (with one completion it is
    GRPO). Here it is the batch of a process, which is a reconstruction; on one device with the same clip range it is
    :class:`DAPOLoss`. The name comes from arXiv 2506.02864, whose normalisation of rewards is another matter and not
    implemented. The defaults are those of PPO.

    Args:
        clip_low: ε_low, in [0, 1].
        clip_high: ε_high.
        beta: Weight of the KL term; 0 needs no reference.
        kl: How the KL is estimated; k3 if None.
        delta: Two-sided clipping: bounds ρ in the unclipped term too; None is off.
        dual_clip: Dual clipping: lower bound c·A of the objective where A < 0; None is off.
    """

    aggregation = "token_mean"
    denominator_is_global = False

    def __init__(
        self,
        clip_low: float = 0.2,
        clip_high: float = 0.2,
        beta: float = 0.0,
        kl: KL | None = None,
        delta: float | None = None,
        dual_clip: float | None = None,
    ) -> None:
        super().__init__(clip_low, clip_high, beta, kl, delta, dual_clip)


class DrGRPOLoss(ClippedLoss):
    """Sum over tokens, divided by a constant (Dr. GRPO, arXiv 2503.20783).

    loss = −(1/(B·L)) Σ_i Σ_t min(ρA, clip(ρ)A) with a constant L, so that a long wrong completion is not punished less
    for each token. Belongs to :class:`remot.losses.MeanOnlyAdvantages`. Published: L is the longest completion that
    may be sampled, ε 0.2, no KL.

    Args:
        length: L; take ``max_new_tokens`` of the objective. Another value scales the gradient by a constant.
        clip_low: ε_low, in [0, 1].
        clip_high: ε_high.
        beta: Weight of the KL term; 0 needs no reference.
        kl: How the KL is estimated; k3 if None.
        delta: Two-sided clipping: bounds ρ in the unclipped term too; None is off.
        dual_clip: Dual clipping: lower bound c·A of the objective where A < 0; None is off.
    """

    aggregation = "token_mean"

    def __init__(
        self,
        length: int,
        clip_low: float = 0.2,
        clip_high: float = 0.2,
        beta: float = 0.0,
        kl: KL | None = None,
        delta: float | None = None,
        dual_clip: float | None = None,
    ) -> None:
        super().__init__(clip_low, clip_high, beta, kl, delta, dual_clip)
        if length < 1:
            msg = f"Dr. GRPO divides by a length of at least 1, not {length}; give the longest completion"
            raise ConfigError(msg)
        self.length = length

    def normalizer(self, completion_mask: Tensor) -> float:
        """B·L."""
        return max(1.0, sequence_count(completion_mask)) * self.length

    def average(self, values: Tensor, mask: Tensor, normalizer: float) -> Tensor:
        """Mean over completions of the mean over tokens; divided by L, a ratio of 1 would be logged as less."""
        return sequence_mean(values, mask, normalizer / self.length)

    def reduce(self, values: Tensor, mask: Tensor, normalizer: float) -> Tensor:
        """Sum over tokens by the constant."""
        return masked_mean(values, mask, normalizer)


def grpo_loss(  # noqa: PLR0913 - the formula has this many symbols
    logprobs: Tensor,
    old_logprobs: Tensor,
    ref_logprobs: Tensor | None,
    advantages: Tensor,
    completion_mask: Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    beta: float = 0.01,
    aggregation: Aggregation = "sequence_mean",
    normalizer: float | None = None,
) -> LossOutput:
    """−mean[min(ρA, clip(ρ)A) − β·k3] with ρ = π/π_old (GRPO, arXiv 2402.03300, eq. 3; ReMoT, arXiv 2603.00461).

    The clip range is not published for ReMoT: 0.2 is the value of PPO.

    Args:
        logprobs: [P, G, T] of the policy, with gradient.
        old_logprobs: [P, G, T] of the policy that is improved on, without gradient.
        ref_logprobs: [P, G, T] of the reference, or None if ``beta`` is 0.
        advantages: [P, G].
        completion_mask: [P, G, T] bool, True where a token counts. What stands elsewhere, even NaN, does not matter.
        clip_low: ε_low.
        clip_high: ε_high.
        beta: Weight of the KL term.
        aggregation: See :func:`remot.losses.aggregate`.
        normalizer: :func:`remot.losses.normalizer_of` the whole batch if this is a micro-batch of it; losses and
            metrics then *add up* over the micro-batches to those of the batch.

    Returns:
        The loss, and ``policy_loss``, ``clip_fraction``, ``ratio_mean`` and, with a reference, ``kl``, all aggregated
        alike, so that loss = policy_loss + beta · kl.
    """
    loss = GRPOLoss(clip_low, clip_high, beta, aggregation)
    return loss(logprobs, old_logprobs, ref_logprobs, advantages, completion_mask, normalizer=normalizer)
