"""Every policy loss as one pure function.

Notation: P prompts, G completions of each, T tokens; π is the policy, π_old the one that is improved on, π_ref the
reference, ρ_t = π/π_old of a token, A the advantage of a completion and |o_i| its number of tokens. All losses take

    logprobs: [P, G, T] log π, with gradient.
    old_logprobs: [P, G, T] log π_old, without gradient.
    ref_logprobs: [P, G, T] log π_ref, or None if ``beta`` is 0.
    advantages: [P, G].
    completion_mask: [P, G, T] bool, True where a token counts. What stands elsewhere, even NaN, is ignored.
    beta: Weight β of the KL term.

and the keywords of :class:`LossTerms`. They return the loss and ``policy_loss``, ``clip_fraction``, ``ratio_mean`` and,
with a reference, ``kl``, so that loss = policy_loss + beta · kl.

The examples have one prompt with two completions of one token: ρ = 0.75 / 0.5 = 1.5, and A = 1 and −1.
"""

from dataclasses import dataclass
from typing import TypedDict, Unpack

import torch
from torch import Tensor

from remot.losses.aggregate import (
    Aggregation,
    aggregate,
    masked_mean,
    normalizer_of,
    sequence_mean,
    zero_where_masked,
)
from remot.losses.kl import K3, KL, log_ratio
from remot.losses.surrogate import Surrogate, clipped_surrogate, dual_clipped, sequence_ratio
from remot.structures import LossOutput


class LossTerms(TypedDict, total=False):
    """Keywords of all policy losses.

    Args:
        kl: How the KL is estimated; k3 if left out.
        aggregation: ``sequence_mean``, the default, weighs completions alike, ``token_mean`` tokens alike.
        length: Divide the sum over tokens by B·length instead, with B completions.
        normalizer: :func:`loss_normalizer` of the whole batch if this is a micro-batch of it; losses and metrics then
            *add up* over the micro-batches to those of the batch.
        weights: [P, G, T] importance weights of the sampled tokens, see :mod:`remot.losses.importance`. They multiply
            the objective and not the KL.
    """

    kl: KL | None
    aggregation: Aggregation
    length: float | None
    normalizer: float | None
    weights: Tensor | None


def grpo_loss(  # noqa: PLR0913 - the formula has this many symbols
    logprobs: Tensor,
    old_logprobs: Tensor,
    ref_logprobs: Tensor | None,
    advantages: Tensor,
    completion_mask: Tensor,
    *,
    clip_low: float = 0.2,
    clip_high: float = 0.2,
    delta: float | None = None,
    dual_clip: float | None = None,
    beta: float = 0.01,
    **terms: Unpack[LossTerms],
) -> LossOutput:
    """−mean[min(ρA, clip(ρ, 1−ε_low, 1+ε_high)A)] + β·KL (GRPO, arXiv 2402.03300, eq. 3; ReMoT, arXiv 2603.00461).

    DAPO, BNPO and Dr. GRPO are this loss with another mean. The clip range is not published for ReMoT: 0.2 is PPO's.
    For the tensors and the other keywords see :mod:`remot.losses.functional`.

    Args:
        logprobs: [P, G, T].
        old_logprobs: [P, G, T].
        ref_logprobs: [P, G, T], or None.
        advantages: [P, G].
        completion_mask: [P, G, T] bool.
        clip_low: ε_low.
        clip_high: ε_high.
        delta: Bounds ρ in the unclipped term too; see :func:`remot.losses.clipped_surrogate`.
        dual_clip: c of :func:`remot.losses.dual_clipped`.
        beta: β.
        **terms: See :class:`LossTerms`.

    The objectives are min(1.5, 1.2) = 1.2, which is clipped, and min(−1.5, −1.2) = −1.5:

    >>> logprobs, old_logprobs = torch.tensor([[[0.75], [0.75]]]).log(), torch.tensor([[[0.5], [0.5]]]).log()
    >>> advantages, mask = torch.tensor([[1.0, -1.0]]), torch.ones(1, 2, 1, dtype=torch.bool)
    >>> output = grpo_loss(logprobs, old_logprobs, None, advantages, mask, beta=0.0)
    >>> round(output.loss.item(), 4), output.metrics["clip_fraction"]  # -(1.2 - 1.5) / 2
    (0.15, 0.5)
    """
    batch = masked_batch(logprobs, old_logprobs, ref_logprobs, advantages, completion_mask)
    ratio = log_ratio(batch.logprobs, batch.old_logprobs).exp()  # [P, G, T]
    objective, is_clipped = clipped_surrogate(ratio, batch.advantages, clip_low, clip_high, delta=delta)  # [P, G, T]
    if dual_clip is not None:
        objective, is_clipped = dual_clipped(objective, is_clipped, batch.advantages, dual_clip)  # [P, G, T]
    return policy_loss(batch, Surrogate(objective, is_clipped, ratio), beta, **terms)


def gspo_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    ref_logprobs: Tensor | None,
    advantages: Tensor,
    completion_mask: Tensor,
    *,
    clip_low: float = 3e-4,
    clip_high: float = 4e-4,
    beta: float = 0.0,
    **terms: Unpack[LossTerms],
) -> LossOutput:
    """−(1/B) Σ_i min(s_i A_i, clip(s_i, 1−ε_low, 1+ε_high)A_i), s_i = (Π_t ρ_it)^(1/|o_i|) (GSPO, 2507.18071).

    The gradient is that of GSPO-token. LUSPO (arXiv 2602.05261) is this loss with ``length=1``.

    >>> logprobs, old_logprobs = torch.tensor([[[0.75], [0.75]]]).log(), torch.tensor([[[0.5], [0.5]]]).log()
    >>> advantages, mask = torch.tensor([[1.0, -1.0]]), torch.ones(1, 2, 1, dtype=torch.bool)
    >>> output = gspo_loss(logprobs, old_logprobs, None, advantages, mask, clip_high=0.2)
    >>> round(output.loss.item(), 4)  # of one token, s is its ratio: -(1.2 - 1.5) / 2
    0.15
    """
    batch = masked_batch(logprobs, old_logprobs, ref_logprobs, advantages, completion_mask)
    ratio = sequence_ratio(batch.logprobs, batch.old_logprobs, batch.mask)  # [P, G, T] s at each token
    objective, is_clipped = clipped_surrogate(ratio, batch.advantages, clip_low, clip_high)  # [P, G, T]
    return policy_loss(batch, Surrogate(objective, is_clipped, ratio), beta, **terms)


def gmpo_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    ref_logprobs: Tensor | None,
    advantages: Tensor,
    completion_mask: Tensor,
    *,
    clip_low: float = 0.4,
    clip_high: float = 0.4,
    beta: float = 0.0,
    **terms: Unpack[LossTerms],
) -> LossOutput:
    """−(1/B) Σ_i A_i (Π_t clipped ρ_it)^(1/|o_i|): the geometric mean of token ratios (GMPO, arXiv 2507.20673).

    Each log ρ is clipped to [−``clip_low``, ``clip_high``] on the side that the sign of A_i gives, as PPO does.

    >>> logprobs, old_logprobs = torch.tensor([[[0.75], [0.75]]]).log(), torch.tensor([[[0.5], [0.5]]]).log()
    >>> advantages, mask = torch.tensor([[1.0, -1.0]]), torch.ones(1, 2, 1, dtype=torch.bool)
    >>> output = gmpo_loss(logprobs, old_logprobs, None, advantages, mask)
    >>> round(output.loss.item(), 4)  # log 1.5 = 0.405 is cut to 0.4 where A > 0: -(1.4918 - 1.5) / 2
    0.0041
    """
    batch = masked_batch(logprobs, old_logprobs, ref_logprobs, advantages, completion_mask)
    sign = batch.advantages.sign()  # [P, G, 1]
    log_rho = log_ratio(batch.logprobs, batch.old_logprobs)  # [P, G, T]
    signed, bounded = sign * log_rho, sign * log_rho.clamp(-clip_low, clip_high)  # [P, G, T]
    kept = zero_where_masked(sign * signed.minimum(bounded), batch.mask)  # [P, G, T]
    log_mean = kept.sum(-1, keepdim=True) / batch.mask.sum(-1, keepdim=True).clamp(min=1)  # [P, G, 1]
    ratio = log_mean.exp().expand_as(log_rho)  # [P, G, T] the same at all tokens of a completion
    return policy_loss(batch, Surrogate(ratio * batch.advantages, bounded < signed, ratio), beta, **terms)


def cispo_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    ref_logprobs: Tensor | None,
    advantages: Tensor,
    completion_mask: Tensor,
    *,
    low: float = 0.0,
    high: float = 1.2,
    beta: float = 0.0,
    **terms: Unpack[LossTerms],
) -> LossOutput:
    """−mean[sg[clamp(ρ, low, high)]·A·log π] (CISPO, arXiv 2506.13585; ScaleRL, arXiv 2510.13786).

    The clamp bounds a weight, and no token loses its gradient. ``low`` and ``high`` are bounds of ρ itself.

    >>> logprobs, old_logprobs = torch.tensor([[[0.75], [0.75]]]).log(), torch.tensor([[[0.5], [0.5]]]).log()
    >>> advantages, mask = torch.tensor([[1.0, -1.0]]), torch.ones(1, 2, 1, dtype=torch.bool)
    >>> new = logprobs.clone().requires_grad_()
    >>> cispo_loss(new, old_logprobs, None, advantages, mask).loss.backward()
    >>> new.grad.flatten()  # -min(1.5, 1.2)·A / 2
    tensor([-0.6000,  0.6000])
    """
    batch = masked_batch(logprobs, old_logprobs, ref_logprobs, advantages, completion_mask)
    ratio = log_ratio(batch.logprobs, batch.old_logprobs).exp()  # [P, G, T]
    weight = ratio.detach().clamp(low, high)  # [P, G, T]
    objective = weight * batch.advantages * batch.logprobs  # [P, G, T]
    return policy_loss(batch, Surrogate(objective, weight != ratio.detach(), ratio), beta, **terms)


def sapo_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    ref_logprobs: Tensor | None,
    advantages: Tensor,
    completion_mask: Tensor,
    *,
    temperature_positive: float = 1.0,
    temperature_negative: float = 1.05,
    beta: float = 0.0,
    **terms: Unpack[LossTerms],
) -> LossOutput:
    """−mean[(4/τ)·σ(τ(ρ − 1))·A], with a τ for each sign of A (SAPO, arXiv 2511.20347).

    A soft gate with slope A at ρ = 1 that is flat far from it; nothing is clipped.

    >>> logprobs, old_logprobs = torch.tensor([[[0.75], [0.75]]]).log(), torch.tensor([[[0.5], [0.5]]]).log()
    >>> advantages, mask = torch.tensor([[1.0, -1.0]]), torch.ones(1, 2, 1, dtype=torch.bool)
    >>> output = sapo_loss(logprobs, old_logprobs, None, advantages, mask)
    >>> round(output.loss.item(), 4)  # -(4·σ(0.5) - 4/1.05·σ(0.525)) / 2
    -0.0481
    """
    batch = masked_batch(logprobs, old_logprobs, ref_logprobs, advantages, completion_mask)
    ratio = log_ratio(batch.logprobs, batch.old_logprobs).exp()  # [P, G, T]
    tau = torch.full_like(batch.advantages, temperature_negative)  # [P, G, 1]
    tau = tau.masked_fill(batch.advantages > 0, temperature_positive)  # [P, G, 1]
    objective = torch.sigmoid(tau * (ratio - 1)) * (4 / tau) * batch.advantages  # [P, G, T]
    return policy_loss(batch, Surrogate(objective, batch.mask & False, ratio), beta, **terms)


# -- what all of them share ----------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class MaskedBatch:
    """The tensors of a loss, 0 where masked; only ``logprobs`` has a gradient."""

    logprobs: Tensor  # [P, G, T]
    old_logprobs: Tensor  # [P, G, T]
    ref_logprobs: Tensor | None  # [P, G, T]
    advantages: Tensor  # [P, G, 1]
    mask: Tensor  # [P, G, T] bool


def masked_batch(
    logprobs: Tensor, old_logprobs: Tensor, ref_logprobs: Tensor | None, advantages: Tensor, mask: Tensor
) -> MaskedBatch:
    """Check shapes, detach, and set masked positions to 0.

    Raises:
        ValueError: Unless the tensors are [P, G, T] and ``advantages`` is [P, G]: others would broadcast.
    """
    for name, other in {"old_logprobs": old_logprobs, "ref_logprobs": ref_logprobs, "completion_mask": mask}.items():
        _require_shape(name, other, logprobs)
    if logprobs.ndim != 3 or advantages.shape != logprobs.shape[:2]:
        shapes = f"{tuple(logprobs.shape)}, {tuple(advantages.shape)}"
        msg = f"expected logprobs [P, G, T] and advantages [P, G], got {shapes}"
        raise ValueError(msg)
    return MaskedBatch(
        zero_where_masked(logprobs, mask),
        zero_where_masked(old_logprobs.detach(), mask),
        None if ref_logprobs is None else zero_where_masked(ref_logprobs.detach(), mask),
        advantages.detach()[..., None],
        mask,
    )


def _require_shape(name: str, tensor: Tensor | None, logprobs: Tensor) -> None:
    if tensor is not None and tensor.shape != logprobs.shape:
        msg = f"{name} has shape {tuple(tensor.shape)}, logprobs {tuple(logprobs.shape)}"
        raise ValueError(msg)


def policy_loss(batch: MaskedBatch, surrogate: Surrogate, beta: float, **terms: Unpack[LossTerms]) -> LossOutput:
    """−reduce(w·objective) + β·reduce(KL).

    Raises:
        ValueError: If ``beta`` asks for a reference that is not given, or ``weights`` have another shape.
    """
    if beta != 0 and batch.ref_logprobs is None:
        msg = f"beta = {beta} penalises the distance to a reference, but there are no ref_logprobs"
        raise ValueError(msg)
    aggregation, length = terms.get("aggregation", "sequence_mean"), terms.get("length")
    given, weights = terms.get("normalizer"), terms.get("weights")
    normalizer = loss_normalizer(batch.mask, aggregation, length) if given is None else given

    def reduce(values: Tensor) -> Tensor:
        """[P, G, T] to a scalar."""
        if length is None:
            return aggregate(values, batch.mask, aggregation, normalizer)
        return masked_mean(values, batch.mask, normalizer)

    def average(values: Tensor) -> Tensor:
        """As ``reduce``, but a mean for each ``length`` too: a ratio of 1 is logged as 1."""
        return reduce(values) if length is None else sequence_mean(values, batch.mask, normalizer / length)

    objective = surrogate.objective  # [P, G, T]
    if weights is not None:
        _require_shape("weights", weights, batch.logprobs)
        objective = objective * zero_where_masked(weights.detach(), batch.mask)  # [P, G, T]
    loss = policy_term = -reduce(objective)  # scalar
    metrics = {
        "policy_loss": policy_term.item(),
        "clip_fraction": average(surrogate.is_clipped.to(surrogate.ratio.dtype)).item(),
        "ratio_mean": average(surrogate.ratio.detach()).item(),
    }
    if batch.ref_logprobs is not None:
        estimate = terms.get("kl") or K3()
        kl = reduce(estimate(batch.logprobs, batch.ref_logprobs, batch.old_logprobs))  # scalar
        metrics["kl"] = kl.item()
        loss = policy_term + beta * kl  # scalar
    return LossOutput(loss=loss, metrics=metrics)


def loss_normalizer(mask: Tensor, aggregation: Aggregation, length: float | None = None) -> float:
    """The denominator for a whole batch with ``mask`` [P, G, T], to pass with its micro-batches.

    >>> mask = torch.tensor([[[True, True], [True, False]]])
    >>> loss_normalizer(mask, "token_mean"), loss_normalizer(mask, "sequence_mean")
    (3.0, 2.0)
    >>> loss_normalizer(mask, "token_mean", length=5)
    10.0
    """
    return normalizer_of(mask, aggregation) if length is None else normalizer_of(mask, "sequence_mean") * length
