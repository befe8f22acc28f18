import pytest
import torch

from remot.losses import sft_loss
from tests.helpers import assert_close

LOGPROBS = torch.tensor([[[-1.0, -2.0, float("nan")]], [[-6.0, -7.0, -8.0]]], dtype=torch.float64)
MASK = torch.tensor([[[True, True, False]], [[True, False, False]]])


def test_loss_and_gradient_by_hand():
    """Three target tokens: (1 + 2 + 6)/3 = 3; each gets a gradient of −1/3, the others none."""
    logprobs = LOGPROBS.clone().requires_grad_()
    output = sft_loss(logprobs, MASK)
    output.loss.backward()
    assert output.loss.item() == 3
    assert output.metrics == {"nll": 3.0}
    assert_close(logprobs.grad, [[[-1 / 3, -1 / 3, 0]], [[-1 / 3, 0, 0]]])


def test_micro_batches_add_up():
    parts = [sft_loss(LOGPROBS[p : p + 1], MASK[p : p + 1], normalizer=3).loss for p in range(2)]
    assert sum(parts).item() == 3
    locally = [sft_loss(LOGPROBS[p : p + 1], MASK[p : p + 1]).loss for p in range(2)]
    assert sum(locally).item() != 3  # negative control


def test_a_micro_batch_may_have_no_target_but_a_batch_may_not():
    nothing = torch.zeros_like(MASK)
    assert sft_loss(LOGPROBS, nothing, normalizer=3).loss.item() == 0
    with pytest.raises(ValueError, match="no target token"):
        sft_loss(LOGPROBS, nothing)
    with pytest.raises(ValueError, match="no target token"):
        sft_loss(LOGPROBS, nothing, normalizer=0)


def test_shapes_that_would_broadcast_are_refused():
    with pytest.raises(ValueError, match="target_mask"):
        sft_loss(LOGPROBS, MASK[:1])


def test_weighted_by_probability_is_the_gradient_of_the_likelihood():
    """d(−sg[p] log p) = −dp: the gradient of minus the mean probability of the target tokens."""
    logprobs = LOGPROBS.clone().requires_grad_()
    output = sft_loss(logprobs, MASK, weigh_by_probability=True)
    output.loss.backward()
    plain = LOGPROBS.clone().requires_grad_()
    (-plain.exp()[MASK].mean()).backward()
    assert_close(logprobs.grad, plain.grad)
    assert output.metrics["nll"] == pytest.approx(-LOGPROBS[MASK].mean().item())
