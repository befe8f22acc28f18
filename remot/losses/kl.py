"""Estimates, token by token, of how far the policy has moved from the reference.

For tokens drawn from the policy, each is an estimate of KL(policy ‖ reference) (Schulman, "Approximating KL
Divergence", 2020). Log-ratios are clamped to ±20 so that one absurd token cannot turn a batch into infinity.
"""

from abc import ABC, abstractmethod

from torch import Tensor

from remot.errors import ConfigError

#: Bound of every log-ratio before it is exponentiated; verl uses the same.
LOG_RATIO_BOUND = 20.0


def log_ratio(numerator_logprobs: Tensor, denominator_logprobs: Tensor) -> Tensor:
    """Difference of two log-probabilities of one shape, clamped to ±:data:`LOG_RATIO_BOUND`."""
    return (numerator_logprobs - denominator_logprobs).clamp(-LOG_RATIO_BOUND, LOG_RATIO_BOUND)


def kl_k1(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """Log-ratio log π − log π_ref: unbiased, may be negative. Any shape."""
    return log_ratio(logprobs, ref_logprobs)


def kl_k2(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """½ (log π − log π_ref)²: biased, low variance. Any shape."""
    return 0.5 * log_ratio(logprobs, ref_logprobs).square()


def kl_k3(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """exp(d) − d − 1 with d = log π_ref − log π: unbiased and never negative (GRPO, arXiv 2402.03300, eq. 4).

    Any shape.
    """
    d = log_ratio(ref_logprobs, logprobs)
    return d.expm1() - d


class KL(ABC):
    """An estimate of KL(policy ‖ reference) for each token, as a term of a loss.

    Args:
        bound: Estimates are clamped to ±``bound``, without gradient beyond it; None is off. verl and SpaceR clamp k3
            to ±10. The log-ratio is bounded by :data:`LOG_RATIO_BOUND` in any case.
    """

    def __init__(self, bound: float | None = None) -> None:
        if bound is not None and not bound > 0:
            msg = f"the bound of a KL estimate is above 0, not {bound}; leave it out for none"
            raise ConfigError(msg)
        self.bound = bound

    @abstractmethod
    def estimate(self, logprobs: Tensor, ref_logprobs: Tensor, old_logprobs: Tensor) -> Tensor:
        """The estimate before it is clamped; all tensors have one shape, and only ``logprobs`` has a gradient."""

    def __call__(self, logprobs: Tensor, ref_logprobs: Tensor, old_logprobs: Tensor) -> Tensor:
        """Estimates in the shape of ``logprobs``."""
        values = self.estimate(logprobs, ref_logprobs, old_logprobs)
        return values if self.bound is None else values.clamp(-self.bound, self.bound)


class K1(KL):
    """:func:`kl_k1`. As a term of a loss its gradient is ∇log π, whose expectation on-policy is 0: it does not pull."""

    def estimate(self, logprobs: Tensor, ref_logprobs: Tensor, old_logprobs: Tensor) -> Tensor:  # noqa: ARG002
        """The log-ratio."""
        return kl_k1(logprobs, ref_logprobs)


class K2(KL):
    """:func:`kl_k2`. Its gradient is the one of the KL itself when the tokens are the policy's own."""

    def estimate(self, logprobs: Tensor, ref_logprobs: Tensor, old_logprobs: Tensor) -> Tensor:  # noqa: ARG002
        """½ (log π − log π_ref)²."""
        return kl_k2(logprobs, ref_logprobs)


class K3(KL):
    """:func:`kl_k3`, the estimate of GRPO."""

    def estimate(self, logprobs: Tensor, ref_logprobs: Tensor, old_logprobs: Tensor) -> Tensor:  # noqa: ARG002
        """exp(d) − d − 1."""
        return kl_k3(logprobs, ref_logprobs)


class K3WithK2Gradient(KL):
    """The value of k3 with the gradient of k2: low variance to look at, the right direction to go (verl's ``k3+``)."""

    def estimate(self, logprobs: Tensor, ref_logprobs: Tensor, old_logprobs: Tensor) -> Tensor:  # noqa: ARG002
        """k2 + sg[k3 − k2]."""
        pulling = kl_k2(logprobs, ref_logprobs)
        return pulling + (kl_k3(logprobs, ref_logprobs) - pulling).detach()


class RatioCorrectedK3(KL):
    """ρ·k3 with ρ = π/π_old: unbiased, value and gradient, for tokens of the old policy (DeepSeek-V3.2, 2512.02556).

    The gradient runs through ρ as well, which makes it ρ·log(π/π_ref)·∇log π.
    """

    def estimate(self, logprobs: Tensor, ref_logprobs: Tensor, old_logprobs: Tensor) -> Tensor:
        """ρ (exp(d) − d − 1)."""
        return log_ratio(logprobs, old_logprobs).exp() * kl_k3(logprobs, ref_logprobs)
