"""Generalised Jensen-Shannon divergences by hand, their gradients, and settings that cannot work."""

import math

import pytest
import torch

from remot.errors import ConfigError
from remot.losses import Distillation, NoPolicyLoss, distillation_loss, generalised_jsd
from tests.helpers import assert_close

POLICY = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64)
TEACHER = torch.tensor([0.25, 0.75, 0.0], dtype=torch.float64)
LOG = math.log


@pytest.mark.parametrize(
    ("beta", "expected"),
    [
        # KL(T ‖ S) = ¼ log ½ + ¾ log 3
        (0.0, 0.25 * LOG(0.5) + 0.75 * LOG(3)),
        # the policy says what the teacher never would
        (1.0, math.inf),
        # m = (⅜, ½, ⅛)
        (0.5, 0.5 * (0.25 * LOG(2 / 3) + 0.75 * LOG(1.5)) + 0.5 * (0.5 * LOG(4 / 3) + 0.25 * LOG(0.5) + 0.25 * LOG(2))),
        # m = ¼ T + ¾ S = (7/16, 6/16, 3/16)
        (
            0.25,
            0.25 * (0.25 * LOG(4 / 7) + 0.75 * LOG(2))
            + 0.75 * (0.5 * LOG(8 / 7) + 0.25 * LOG(2 / 3) + 0.25 * LOG(4 / 3)),
        ),
    ],
)
def test_by_hand(beta, expected):
    assert_close(generalised_jsd(POLICY.log(), TEACHER.log(), beta), expected)


def test_it_is_0_for_equal_distributions_and_at_most_log_2():
    disjoint = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).log()
    assert_close(generalised_jsd(disjoint[0], disjoint[1], 0.5), LOG(2))
    for beta in (0.0, 0.3, 1.0):
        assert_close(generalised_jsd(POLICY.log(), POLICY.log(), beta), 0.0, atol=1e-12)


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.5, 1.0])
def test_gradient_is_that_of_the_plain_formula_and_tokens_that_are_never_sampled_stay_out(beta):
    """Against probabilities written out over the tokens that may be sampled; the last token may not."""
    generator = torch.Generator().manual_seed(0)
    logits, taught = torch.randn(2, 4, 5, generator=generator, dtype=torch.float64)
    logits.requires_grad_()
    banned = torch.zeros(6, dtype=torch.float64)
    banned[5] = -math.inf
    policy, teacher = (torch.log_softmax(torch.nn.functional.pad(one, (0, 1)) + banned, -1) for one in (logits, taught))
    values = generalised_jsd(policy, teacher, beta)
    (gradient,) = torch.autograd.grad(values.sum(), logits)

    p, q = torch.softmax(logits, -1), torch.softmax(taught, -1)
    m = beta * q + (1 - beta) * p
    plain = {0.0: q * (q / p).log(), 1.0: p * (p / q).log()}.get(
        beta, beta * q * (q / m).log() + (1 - beta) * p * (p / m).log()
    )
    (wanted,) = torch.autograd.grad(plain.sum(), logits)
    assert_close(values.detach(), plain.sum(-1).detach(), rtol=1e-9)
    assert_close(gradient, wanted, rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize(("aggregation", "expected"), [("token_mean", 0.3), ("sequence_mean", (0.15 + 0.6) / 2)])
def test_the_mean_counts_what_is_not_masked(aggregation, expected):
    values = torch.tensor([[[0.1, 0.2], [0.6, math.nan]]])
    mask = torch.tensor([[[True, True], [True, False]]])
    assert_close(distillation_loss(values, mask, 2.0, aggregation), 2 * expected, rtol=1e-6)


def test_without_a_policy_loss_only_the_kl_term_is_left():
    """Advantages do not matter; k3 of a reference half as probable is e^(-log 2) - 1 + log 2."""
    logprobs = torch.tensor([[[0.5], [0.5]]]).log().requires_grad_()
    mask = torch.ones(1, 2, 1, dtype=torch.bool)
    tensors = (logprobs, logprobs.detach(), logprobs.detach() - LOG(2), torch.tensor([[1.0, -1.0]]), mask)
    nothing = NoPolicyLoss()(tensors[0], tensors[1], None, *tensors[3:])
    assert nothing.loss.item() == 0
    assert not torch.autograd.grad(nothing.loss, logprobs)[0].any()
    assert_close(NoPolicyLoss(beta=0.5)(*tensors).loss.detach(), 0.5 * (0.5 - 1 + LOG(2)), rtol=1e-6)


@pytest.mark.parametrize("wrong", [{"beta": -0.1}, {"beta": 1.1}, {"weight": 0.0}, {"weight": math.inf}])
def test_settings_that_cannot_work(wrong):
    with pytest.raises(ConfigError, match="distillation"):
        Distillation(**wrong)
