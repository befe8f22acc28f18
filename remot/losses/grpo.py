"""Group-relative policy optimisation."""

from torch import Tensor

from remot.errors import ConfigError
from remot.losses.aggregate import AGGREGATIONS, Aggregation, aggregate, normalizer_of, zero_where_masked
from remot.losses.kl import kl_k3, log_ratio
from remot.structures import LossOutput


def clipped_surrogate(ratio: Tensor, advantages: Tensor, clip_low: float, clip_high: float) -> tuple[Tensor, Tensor]:
    """min(ρA, clip(ρ, 1−ε_low, 1+ε_high)·A) and where the clip bites (PPO, arXiv 1707.06347, eq. 7).

    Args:
        ratio: ρ, [P, G, T].
        advantages: A, broadcastable to ``ratio``.
        clip_low: ε_low.
        clip_high: ε_high.

    Returns:
        The objective [P, G, T], and bool [P, G, T], True where the clip took the gradient away.
    """
    unclipped = ratio * advantages
    clipped = ratio.clamp(1 - clip_low, 1 + clip_high) * advantages
    return unclipped.minimum(clipped), clipped < unclipped


def _require_shapes(logprobs: Tensor, others: dict[str, Tensor | None], advantages: Tensor) -> None:
    for name, other in others.items():
        if other is not None and other.shape != logprobs.shape:
            msg = f"{name} has shape {tuple(other.shape)}, logprobs {tuple(logprobs.shape)}"
            raise ValueError(msg)
    if logprobs.ndim != 3 or advantages.shape != logprobs.shape[:2]:
        msg = (
            f"expected logprobs [P, G, T] and advantages [P, G], got {tuple(logprobs.shape)}, {tuple(advantages.shape)}"
        )
        raise ValueError(msg)


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
    others = {"old_logprobs": old_logprobs, "ref_logprobs": ref_logprobs, "completion_mask": completion_mask}
    _require_shapes(logprobs, others, advantages)
    if beta != 0 and ref_logprobs is None:
        msg = f"beta = {beta} penalises the distance to a reference, but there are no ref_logprobs"
        raise ValueError(msg)
    denominator = normalizer_of(completion_mask, aggregation) if normalizer is None else normalizer

    def reduce(values: Tensor) -> Tensor:
        return aggregate(values, completion_mask, aggregation, denominator)

    policy = zero_where_masked(logprobs, completion_mask)
    ratio = log_ratio(policy, zero_where_masked(old_logprobs.detach(), completion_mask)).exp()
    objective, is_clipped = clipped_surrogate(ratio, advantages.detach()[..., None], clip_low, clip_high)
    loss = policy_loss = -reduce(objective)
    metrics = {
        "policy_loss": policy_loss.item(),
        "clip_fraction": reduce(is_clipped.to(ratio.dtype)).item(),
        "ratio_mean": reduce(ratio.detach()).item(),
    }
    if ref_logprobs is not None:
        kl = reduce(kl_k3(policy, zero_where_masked(ref_logprobs.detach(), completion_mask)))
        metrics["kl"] = kl.item()
        loss = policy_loss + beta * kl
    return LossOutput(loss=loss, metrics=metrics)


class GRPOLoss:
    """:func:`grpo_loss` with its settings.

    Args:
        clip_low: ε_low, in [0, 1].
        clip_high: ε_high.
        beta: Weight of the KL term; 0 needs no reference.
        aggregation: ``sequence_mean`` weighs completions alike (GRPO), ``token_mean`` tokens alike (DAPO).
    """

    def __init__(
        self,
        clip_low: float = 0.2,
        clip_high: float = 0.2,
        beta: float = 0.01,
        aggregation: Aggregation = "sequence_mean",
    ) -> None:
        if not (0 <= clip_low <= 1 and clip_high >= 0 and beta >= 0):
            msg = f"need 0 <= clip_low <= 1, clip_high >= 0, beta >= 0; got {clip_low}, {clip_high}, {beta}"
            raise ConfigError(msg)
        if aggregation not in AGGREGATIONS:
            msg = f"aggregation is {' or '.join(AGGREGATIONS)}, not {aggregation!r}"
            raise ConfigError(msg)
        self.clip_low = clip_low
        self.clip_high = clip_high
        self.beta = beta
        self.aggregation: Aggregation = aggregation

    @property
    def needs_reference(self) -> bool:
        """True if the loss cannot be computed without log-probabilities of the reference."""
        return self.beta > 0

    def normalizer(self, completion_mask: Tensor) -> float:
        """The denominator for a whole batch with ``completion_mask`` [P, G, T], to pass with its micro-batches."""
        return normalizer_of(completion_mask, self.aggregation)

    def __call__(
        self,
        logprobs: Tensor,
        old_logprobs: Tensor,
        ref_logprobs: Tensor | None,
        advantages: Tensor,
        completion_mask: Tensor,
        *,
        normalizer: float | None = None,
    ) -> LossOutput:
        """See :func:`grpo_loss`."""
        return grpo_loss(
            logprobs,
            old_logprobs,
            ref_logprobs,
            advantages,
            completion_mask,
            clip_low=self.clip_low,
            clip_high=self.clip_high,
            beta=self.beta,
            aggregation=self.aggregation,
            normalizer=normalizer,
        )
