"""DPO by hand, its gradient, and micro-batches."""

import math

import pytest
import torch

from remot.losses import dpo_loss
from tests.helpers import assert_close

NAN = math.nan
#: Two prompts: sums of the policy −1 and −4, −2 and −2; of the reference −2 and −3, −3 and −1. Masked tokens are NaN.
LOGPROBS = torch.tensor([[[-0.5, -0.5], [-4.0, NAN]], [[-2.0, NAN], [-1.0, -1.0]]], dtype=torch.float64)
REFERENCE = torch.tensor([[[-1.0, -1.0], [-3.0, NAN]], [[-3.0, NAN], [-0.5, -0.5]]], dtype=torch.float64)
MASK = ~LOGPROBS.isnan()
BOTH = torch.tensor([True, True])


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_loss_metrics_and_gradient_by_hand():
    """β 0.5: ratios of prompt 0 are 0.5·1 and 0.5·(−1), of prompt 1 0.5·1 and 0.5·(−1): margin 1 each."""
    logprobs = LOGPROBS.clone().requires_grad_()
    output = dpo_loss(logprobs, REFERENCE, MASK, BOTH, beta=0.5)
    output.loss.backward()
    assert output.loss.item() == pytest.approx(-math.log(sigmoid(1)))
    assert output.metrics == pytest.approx({"margin": 1.0, "accuracy": 1.0, "chosen": 0.5, "rejected": -0.5})
    slope = 0.5 * (1 - sigmoid(1)) / 2  # β (1 − σ(margin)) / P, down for the chosen tokens and up for the rejected
    assert_close(logprobs.grad, [[[-slope, -slope], [slope, 0]], [[-slope, 0], [slope, slope]]])


def test_smoothing_takes_a_share_the_other_way_round():
    output = dpo_loss(LOGPROBS, REFERENCE, MASK, BOTH, beta=0.5, label_smoothing=0.2)
    assert output.loss.item() == pytest.approx(-0.8 * math.log(sigmoid(1)) - 0.2 * math.log(sigmoid(-1)))


def test_prompts_without_a_pair_add_nothing():
    spoilt = LOGPROBS.clone()
    spoilt[1] = math.inf
    spoilt.requires_grad_()
    output = dpo_loss(spoilt, REFERENCE, MASK, torch.tensor([True, False]), beta=0.5)
    output.loss.backward()
    assert output.loss.item() == pytest.approx(-math.log(sigmoid(1)))
    assert not spoilt.grad[1].any()
    nothing = dpo_loss(LOGPROBS, REFERENCE, MASK, torch.tensor([False, False]))
    assert (nothing.loss.item(), nothing.metrics["accuracy"]) == (0, 0)


def test_micro_batches_add_up():
    whole = dpo_loss(LOGPROBS, REFERENCE * 1.5, MASK, BOTH)
    rows = [slice(0, 1), slice(1, 2)]
    parts = [dpo_loss(LOGPROBS[r], REFERENCE[r] * 1.5, MASK[r], BOTH[r], normalizer=2) for r in rows]
    assert sum(part.loss for part in parts).item() == pytest.approx(whole.loss.item())
    assert sum(part.metrics["margin"] for part in parts) == pytest.approx(whole.metrics["margin"])


@pytest.mark.parametrize("shape", [(2, 3, 2), (2, 2, 3)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"\[P, 2, T\]"):
        dpo_loss(torch.zeros(shape), torch.zeros(2, 2, 2), MASK, BOTH)
