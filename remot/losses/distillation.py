"""Distillation on the policy's own completions: how far the policy is from a teacher over the whole vocabulary."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from remot.errors import ConfigError
from remot.losses.aggregate import Aggregation, aggregate, zero_where_masked


@dataclass(frozen=True)
class Distillation:
    """A divergence between policy and teacher that is added to the loss.

    With the loss :class:`remot.losses.NoPolicyLoss` it is all that is minimised, as in SDPO (arXiv 2601.20802).

    Args:
        beta: Share of the teacher in the mixture, see :func:`generalised_jsd`. 0.5 is that of TRL's self-distillation,
            1 the reverse KL of SDPG (arXiv 2606.04036).
        weight: Of the divergence.

    Raises:
        ConfigError: If a number is out of its range.
    """

    beta: float = 0.5
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.beta <= 1 and 0 < self.weight < math.inf):
            msg = (
                "grpo.teacher.distillation: beta is from 0 to 1 and weight a finite number above 0, got "
                f"{self.beta} and {self.weight}"
            )
            raise ConfigError(msg)

    def divergence(self, logprobs: Tensor, teacher_logprobs: Tensor) -> Tensor:
        """:func:`generalised_jsd` [...] of distributions [..., V]."""
        return generalised_jsd(logprobs, teacher_logprobs, self.beta)


def generalised_jsd(logprobs: Tensor, teacher_logprobs: Tensor, beta: float) -> Tensor:
    """β KL(p_T ‖ m) + (1 − β) KL(p_S ‖ m) with m = β p_T + (1 − β) p_S (GKD, arXiv 2306.13649, equation 1).

    0 and 1 stand for the limits after a division by β and 1 − β, as in TRL: KL(p_T ‖ p_S), which covers all that the
    teacher would say, and KL(p_S ‖ p_T), which seeks what it would say most.

    Args:
        logprobs: log p_S [..., V] of the policy, with gradient; −inf for tokens that can never be sampled.
        teacher_logprobs: log p_T [..., V].
        beta: β, from 0 to 1.

    Returns:
        [...] in nats; at most log 2 for β 0.5.

    >>> policy, teacher = torch.tensor([0.5, 0.5]).log(), torch.tensor([1.0, 0.0]).log()
    >>> round(generalised_jsd(policy, teacher, 0.5).item(), 4)  # (log(4/3) + log(2/3)/2 + log(2)/2) / 2
    0.2158
    >>> round(generalised_jsd(policy, teacher, 0.0).item(), 4)  # log 2
    0.6931
    """
    if beta == 0:
        return _kl(teacher_logprobs, logprobs)
    if beta == 1:
        return _kl(logprobs, teacher_logprobs)
    nowhere = logprobs.isneginf() & teacher_logprobs.isneginf()  # [..., V]: the mixture's gradient would be NaN
    student, teacher = (held.masked_fill(nowhere, 0.0) for held in (logprobs, teacher_logprobs))
    mixture = torch.logaddexp(student + math.log1p(-beta), teacher + math.log(beta))  # [..., V]
    return beta * _kl(teacher_logprobs, mixture) + (1 - beta) * _kl(logprobs, mixture)


def _kl(first: Tensor, second: Tensor) -> Tensor:
    """Σ p (log p − log q) [...] of log p and log q [..., V], to which tokens of p = 0 add nothing."""
    absent = first.isneginf()
    log_ratio = first.masked_fill(absent, 0.0) - second.masked_fill(absent, 0.0)
    return (first.exp() * log_ratio).sum(-1)


def distillation_loss(
    divergences: Tensor,
    mask: Tensor,
    weight: float,
    aggregation: Aggregation = "token_mean",
    normalizer: float | None = None,
) -> Tensor:
    """Weight · mean divergence, to be added to a policy loss with the same mean.

    Args:
        divergences: [P, G, T] of each token's distributions, with gradient.
        mask: [P, G, T] bool, True where a token counts.
        weight: Of the divergence.
        aggregation: As of the policy loss.
        normalizer: :func:`remot.losses.loss_normalizer` of the whole batch if this is a micro-batch of it.

    Returns:
        Scalar.

    >>> mask = torch.tensor([[[True, True], [True, False]]])
    >>> distillation_loss(torch.tensor([[[0.1, 0.2], [0.6, 9.0]]]), mask, 2.0)  # 2 · 0.9 / 3
    tensor(0.6000)
    """
    return weight * aggregate(zero_where_masked(divergences, mask), mask, aggregation, normalizer)
