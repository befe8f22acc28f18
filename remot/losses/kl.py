"""Estimates, token by token, of how far the policy has moved from the reference.

For tokens drawn from the policy, each is an estimate of KL(policy ‖ reference) (Schulman, "Approximating KL
Divergence", 2020). Log-ratios are clamped, to ±20 unless a smaller bound is given, so that one absurd token cannot turn
a batch into infinity.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch  # noqa: F401 (in the examples)
from torch import Tensor

from remot.errors import ConfigError

#: Bound of every log-ratio before it is exponentiated; verl uses the same.
LOG_RATIO_BOUND = 20.0


def log_ratio(numerator_logprobs: Tensor, denominator_logprobs: Tensor, bound: float = LOG_RATIO_BOUND) -> Tensor:
    """Difference of two log-probabilities of one shape, clamped to ±``bound``, without gradient beyond it."""
    return (numerator_logprobs - denominator_logprobs).clamp(-bound, bound)


def kl_k1(logprobs: Tensor, ref_logprobs: Tensor, bound: float = LOG_RATIO_BOUND) -> Tensor:
    """Log-ratio log π − log π_ref: unbiased, may be negative. Any shape.

    >>> kl_k1(torch.tensor([0.5]).log(), torch.tensor([0.25]).log())  # ln 2
    tensor([0.6931])
    """
    return log_ratio(logprobs, ref_logprobs, bound)


def kl_k2(logprobs: Tensor, ref_logprobs: Tensor, bound: float = LOG_RATIO_BOUND) -> Tensor:
    """½ (log π − log π_ref)²: biased, low variance. Any shape.

    >>> kl_k2(torch.tensor([0.5]).log(), torch.tensor([0.25]).log())  # (ln 2)² / 2
    tensor([0.2402])
    """
    return 0.5 * log_ratio(logprobs, ref_logprobs, bound).square()


def kl_k3(logprobs: Tensor, ref_logprobs: Tensor, bound: float = LOG_RATIO_BOUND) -> Tensor:
    """exp(d) − d − 1 with d = log π_ref − log π: unbiased and never negative (GRPO, arXiv 2402.03300, eq. 4).

    Any shape.

    >>> kl_k3(torch.tensor([0.5]).log(), torch.tensor([0.25]).log())  # ½ + ln 2 − 1
    tensor([0.1931])
    """
    d = log_ratio(ref_logprobs, logprobs, bound)  # the shape of logprobs
    return d.expm1() - d


class KL(ABC):
    """An estimate of KL(policy ‖ reference) for each token, as a term of a loss.

    Args:
        bound: Estimates are clamped to ±``bound``, without gradient beyond it; None is off. verl clamps k3 to ±10.
        log_ratio_bound: The log-ratio of policy and reference is clamped to ±``log_ratio_bound`` before the estimate is
            made, without gradient beyond it; at most :data:`LOG_RATIO_BOUND`, which is verl's. 10 in Video-R1, SpaceR
            and Motion-o.
    """

    def __init__(self, bound: float | None = None, log_ratio_bound: float = LOG_RATIO_BOUND) -> None:
        if bound is not None and not bound > 0:
            msg = f"the bound of a KL estimate is above 0, not {bound}; leave it out for none"
            raise ConfigError(msg)
        if not 0 < log_ratio_bound <= LOG_RATIO_BOUND:
            msg = f"log_ratio_bound of a KL estimate is above 0 and at most {LOG_RATIO_BOUND:g}, not {log_ratio_bound}"
            raise ConfigError(msg)
        self.bound = bound
        self.log_ratio_bound = log_ratio_bound

    @abstractmethod
    def estimate(self, logprobs: Tensor, ref_logprobs: Tensor, old_logprobs: Tensor) -> Tensor:
        """The estimate before it is clamped; all tensors have one shape, and only ``logprobs`` has a gradient."""

    def __call__(self, logprobs: Tensor, ref_logprobs: Tensor, old_logprobs: Tensor) -> Tensor:
        """Estimates in the shape of ``logprobs``."""
        return self.bounded(self.estimate(logprobs, ref_logprobs, old_logprobs))

    def bounded(self, values: Tensor) -> Tensor:
        """``values`` clamped to ±``bound``, if there is one."""
        return values if self.bound is None else values.clamp(-self.bound, self.bound)


class _FormulaKL(KL):
    """An estimate by a pure function of both log-probabilities and the bound of their ratio."""

    formula: ClassVar[Callable[..., Tensor]]

    def estimate(self, logprobs: Tensor, ref_logprobs: Tensor, old_logprobs: Tensor) -> Tensor:  # noqa: ARG002
        """See :meth:`KL.estimate`."""
        return type(self).formula(logprobs, ref_logprobs, self.log_ratio_bound)


class K1(_FormulaKL):
    """:func:`kl_k1`. As a term of a loss its gradient is ∇log π, whose expectation on-policy is 0: it does not pull."""

    formula = staticmethod(kl_k1)


class K2(_FormulaKL):
    """:func:`kl_k2`. Its gradient is the one of the KL itself when the tokens are the policy's own."""

    formula = staticmethod(kl_k2)


class K3(_FormulaKL):
    """:func:`kl_k3`, the estimate of GRPO."""

    formula = staticmethod(kl_k3)


class K3WithK2Gradient(_FormulaKL):
    """The value of k3, of low variance, with the gradient of k2, which points in the right direction (verl's ``k3+``).

    A ``bound`` holds for the value alone: the gradient is that of k2 beyond it, too, as in verl.
    """

    formula = staticmethod(kl_k2)

    def __call__(self, logprobs: Tensor, ref_logprobs: Tensor, old_logprobs: Tensor) -> Tensor:
        """k2 + sg[bounded k3 − k2], in the shape of ``logprobs``."""
        pulling = self.estimate(logprobs, ref_logprobs, old_logprobs)
        value = self.bounded(kl_k3(logprobs, ref_logprobs, self.log_ratio_bound))
        return pulling + (value - pulling).detach()


class RatioCorrectedK3(KL):
    """ρ·k3 with ρ = π/π_old: unbiased, value and gradient, for tokens of the old policy (DeepSeek-V3.2, 2512.02556).

    The gradient runs through ρ as well, which makes it ρ·log(π/π_ref)·∇log π.
    """

    def estimate(self, logprobs: Tensor, ref_logprobs: Tensor, old_logprobs: Tensor) -> Tensor:
        """ρ (exp(d) − d − 1)."""
        return log_ratio(logprobs, old_logprobs).exp() * kl_k3(logprobs, ref_logprobs, self.log_ratio_bound)
