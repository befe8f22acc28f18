"""Estimates, token by token, of how far the policy has moved from the reference.

For tokens drawn from the policy, each is an estimate of KL(policy ‖ reference) (Schulman, "Approximating KL
Divergence", 2020). Log-ratios are clamped to ±20 so that one absurd token cannot turn a batch into infinity.
"""

from torch import Tensor

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
