"""Weights of tokens by a teacher, by hand."""

import math

import pytest
import torch

from remot.losses import teacher_credit
from tests.helpers import assert_close

STUDENT = torch.tensor([[[0.5, 0.5, 0.5]]], dtype=torch.float64).log()
TEACHER = torch.tensor([[[0.55, 0.45, 0.9]]], dtype=torch.float64).log()
MASK = torch.ones(1, 1, 3, dtype=torch.bool)


@pytest.mark.parametrize(
    ("advantage", "ratios"),
    [(2.0, (1.1, 0.9, 1.2)), (-0.1, (1 / 1.1, 1 / 0.9, 0.8)), (0.0, (1.0, 1.0, 1.0))],
)
def test_by_hand(advantage, ratios):
    """The size of the advantage does not matter, its sign does; 1.8 and its inverse are clipped at 0.2."""
    advantages = torch.tensor([[advantage]], dtype=torch.float64)
    weights = teacher_credit(advantages, TEACHER, STUDENT, MASK, strength=0.25, clip=0.2)
    assert_close(weights, [[[0.75 + 0.25 * ratio for ratio in ratios]]])


def test_masked_tokens_weigh_one_whatever_stands_there():
    teacher = TEACHER.clone()
    teacher[..., 1] = math.nan
    mask = torch.tensor([[[True, False, True]]])
    weights = teacher_credit(torch.ones(1, 1, dtype=torch.float64), teacher, STUDENT, mask, strength=1.0, clip=0.2)
    assert_close(weights, [[[1.1, 1.0, 1.2]]])


def test_no_gradient_flows_through_the_weights():
    student = STUDENT.clone().requires_grad_()
    weights = teacher_credit(torch.ones(1, 1, dtype=torch.float64), TEACHER, student, MASK, strength=1.0, clip=0.2)
    assert not weights.requires_grad
