import math

import pytest
import torch

from remot.errors import ConfigError
from remot.losses import K1, K2, K3, K3WithK2Gradient, RatioCorrectedK3, kl_k1, kl_k2, kl_k3
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


def test_a_bound_of_the_log_ratio_is_not_a_bound_of_the_estimate():
    """SpaceR's: e¹⁰ − 11 for any log-ratio of 10 and more, far above 10, and without gradient there."""
    policy = torch.tensor([-3.0, -12.0, 0.0], dtype=torch.float64).requires_grad_()
    ref = torch.tensor([0.0, 0.0, -12.0], dtype=torch.float64)
    values = K3(log_ratio_bound=10)(policy, ref, policy.detach())
    assert_close(values, [math.exp(3) - 4, math.exp(10) - 11, math.exp(-10) + 9])
    values.sum().backward()
    assert_close(policy.grad, [1 - math.exp(3), 0, 0])
    bounded = [
        term(log_ratio_bound=10)(policy, ref, policy.detach()) for term in (K1, K2, K3WithK2Gradient, RatioCorrectedK3)
    ]
    wanted = [[-3, -10, 10], [4.5, 50, 50], values.tolist(), values.tolist()]
    assert_close(torch.stack(bounded), wanted)


def test_a_bound_of_k3_leaves_the_gradient_of_k2():
    """verl's k3+ at d = 5 and bound 10: the value is 10 of e⁵ − 6, the gradient log(π/π_ref) = −5."""
    policy, ref = torch.tensor([-5.0], dtype=torch.float64).requires_grad_(), torch.zeros(1, dtype=torch.float64)
    values = K3WithK2Gradient(bound=10)(policy, ref, policy.detach())
    assert_close(values, [10])
    values.sum().backward()
    assert_close(policy.grad, [-5])


@pytest.mark.parametrize("bound", [0.0, -1.0, 21.0, math.nan])
def test_bounds_of_the_log_ratio_that_are_none(bound):
    with pytest.raises(ConfigError, match="log_ratio_bound"):
        K3(log_ratio_bound=bound)


def test_gradient_of_k3_pulls_towards_the_reference():
    """d k3 / d log π = 1 − exp(d): ½ where the policy is twice the reference, −1 where it is half."""
    policy = logs(0.5, 0.25).requires_grad_()
    kl_k3(policy, logs(0.25, 0.5)).sum().backward()
    assert_close(policy.grad, [0.5, -1])


# -- as terms of a loss ----------------------------------------------------------------------------------------------


def test_terms_are_the_estimators():
    policy, ref, old = logs(0.5, 0.25), logs(0.25, 0.5), logs(0.25, 0.25)
    assert_close(K1()(policy, ref, old), kl_k1(policy, ref))
    assert_close(K2()(policy, ref, old), kl_k2(policy, ref))
    assert_close(K3()(policy, ref, old), kl_k3(policy, ref))
    assert_close(K3WithK2Gradient()(policy, ref, old), kl_k3(policy, ref))
    assert_close(RatioCorrectedK3()(policy, ref, old), [2 * (LN2 - 0.5), 1 - LN2])  # ρ = 2 and 1


@pytest.mark.parametrize(("term", "expected"), [(K1(), [1, 1]), (K2(), [LN2, -LN2]), (K3WithK2Gradient(), [LN2, -LN2])])
def test_gradients_by_hand(term, expected):
    """By log π: of k1 1, of k2 log(π/π_ref) = ±ln 2, and the same of k3 with the gradient of k2."""
    policy = logs(0.5, 0.25).requires_grad_()
    term(policy, logs(0.25, 0.5), policy.detach()).sum().backward()
    assert_close(policy.grad, expected)


def test_gradient_of_the_corrected_estimate():
    """ρ·log(π/π_ref) = 2·ln 2 and 1·(−ln 2): through the ratio and the estimate together."""
    policy = logs(0.5, 0.25).requires_grad_()
    RatioCorrectedK3()(policy, logs(0.25, 0.5), logs(0.25, 0.25)).sum().backward()
    assert_close(policy.grad, [2 * LN2, -LN2])


def test_the_corrected_estimate_is_unbiased_for_tokens_of_the_old_policy():
    """Value and gradient, summed over the vocabulary with the old probabilities; plain k3 is not."""
    logits = torch.tensor([0.3, -0.8, 1.1], dtype=torch.float64).requires_grad_()
    ref, old = logs(0.2, 0.3, 0.5), logs(0.6, 0.3, 0.1)
    policy = logits.log_softmax(0)
    divergence = (policy.exp() * (policy - ref)).sum()
    (true_gradient,) = torch.autograd.grad(divergence, logits, retain_graph=True)
    for term, is_unbiased in ((RatioCorrectedK3(), True), (K3(), False)):
        estimate = (old.exp() * term(policy, ref, old)).sum()
        (gradient,) = torch.autograd.grad(estimate, logits, retain_graph=True)
        assert torch.allclose(estimate, divergence) is is_unbiased
        assert torch.allclose(gradient, true_gradient) is is_unbiased


@pytest.mark.parametrize("term", [K1, K2, K3, K3WithK2Gradient, RatioCorrectedK3])
def test_bounds(term):
    """Estimates beyond the bound stop at it and pull no more, but for k2's gradient; those inside are as they were."""
    policy = torch.tensor([-5.0, -1.0], dtype=torch.float64).requires_grad_()
    ref, old = torch.tensor([0.0, -0.9], dtype=torch.float64), policy.detach()
    values = term(bound=2.0)(policy, ref, old)
    values.sum().backward()
    assert_close(values[0].abs(), 2.0)
    assert policy.grad[0].item() == (-5 if term is K3WithK2Gradient else 0)
    assert_close(values[1], term()(policy, ref, old)[1])
    assert policy.grad[1].item() != 0


@pytest.mark.parametrize("bound", [0.0, -1.0, math.nan])
def test_bounds_are_above_zero(bound):
    with pytest.raises(ConfigError, match="above 0"):
        K3(bound=bound)
