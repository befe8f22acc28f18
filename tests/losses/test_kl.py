import math

import pytest
import torch

from remot.losses import kl_k1, kl_k2, kl_k3
from tests.helpers import assert_close

LN2 = math.log(2)


def logs(*probabilities):
    return torch.tensor(probabilities, dtype=torch.float64).log()


def test_estimators_by_hand():
    """Policy ½ and ¼, reference ¼ and ½: d = ∓ln 2; k3 = ½ + ln 2 − 1 and 2 − ln 2 − 1."""
    policy, ref = logs(0.5, 0.25), logs(0.25, 0.5)
    assert_close(kl_k1(policy, ref), [LN2, -LN2])
    assert_close(kl_k2(policy, ref), [LN2**2 / 2, LN2**2 / 2])
    assert_close(kl_k3(policy, ref), [LN2 - 0.5, 1 - LN2])


@pytest.mark.parametrize("estimator", [kl_k1, kl_k2, kl_k3])
def test_equal_policies_are_at_distance_zero(estimator):
    assert estimator(logs(0.3, 0.7), logs(0.3, 0.7)).tolist() == [0, 0]


@pytest.mark.parametrize(("estimator", "unbiased"), [(kl_k1, True), (kl_k3, True), (kl_k2, False)])
def test_expectation_under_the_policy_is_the_divergence(estimator, unbiased):
    policy, ref = logs(0.7, 0.2, 0.1), logs(0.2, 0.3, 0.5)
    divergence = (policy.exp() * (policy - ref)).sum().item()
    expectation = (policy.exp() * estimator(policy, ref)).sum().item()
    assert (abs(expectation - divergence) < 1e-12) is unbiased


def test_k3_is_never_negative_even_where_it_is_tiny():
    d = torch.linspace(-1e-3, 1e-3, 2001)
    assert (kl_k3(torch.zeros_like(d), d) >= 0).all()
    assert_close(kl_k3(torch.zeros(1), torch.tensor([1e-3])), [0.5e-6 + 1e-9 / 6], rtol=1e-3, atol=0)


def test_absurd_ratios_stay_finite():
    """log-ratios are clamped to ±20: e²⁰ − 21 and e⁻²⁰ + 19."""
    policy, ref = torch.tensor([-500.0, 0.0], dtype=torch.float64), torch.tensor([0.0, -500.0], dtype=torch.float64)
    assert_close(kl_k3(policy, ref), [math.exp(20) - 21, math.exp(-20) + 19])
    assert kl_k1(policy, ref).tolist() == [-20, 20]


def test_gradient_of_k3_pulls_towards_the_reference():
    """d k3 / d log π = 1 − exp(d): ½ where the policy is twice the reference, −1 where it is half."""
    policy = logs(0.5, 0.25).requires_grad_()
    kl_k3(policy, logs(0.25, 0.5)).sum().backward()
    assert_close(policy.grad, [0.5, -1])
