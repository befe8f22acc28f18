import pytest
import torch

from remot.errors import ConfigError
from remot.losses import group_advantages
from tests.helpers import assert_close
from tests.reference import grpo as reference


def test_advantages_by_hand():
    """Rewards 0, 1, 2, 3: mean 1.5, squares sum to 5, sample deviation sqrt(5/3), population deviation sqrt(5/4)."""
    rewards = torch.tensor([[0.0, 1.0, 2.0, 3.0]], dtype=torch.float64)
    centred = torch.tensor([[-1.5, -0.5, 0.5, 1.5]], dtype=torch.float64)
    output = group_advantages(rewards, eps=0.5)
    assert_close(output.advantages, centred / ((5 / 3) ** 0.5 + 0.5))
    assert_close(output.mean, [1.5])
    assert_close(output.std, [(5 / 3) ** 0.5])
    assert output.frac_zero_std.item() == 0
    assert_close(group_advantages(rewards, eps=0.5, unbiased=False).advantages, centred / ((5 / 4) ** 0.5 + 0.5))


@pytest.mark.parametrize("unbiased", [True, False])
def test_advantages_agree_with_the_literal_formula(unbiased):
    rewards = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = reference.advantages(rewards.tolist(), 1e-4, unbiased=unbiased)
    assert_close(group_advantages(rewards, unbiased=unbiased).advantages, expected)


@pytest.mark.parametrize("reward", [0.0, 0.1, 8.7, -1e6])
def test_equal_rewards_teach_exactly_nothing(reward):
    rewards = torch.tensor([[reward] * 7, [0.0, 1, 2, 3, 4, 5, 6]])
    output = group_advantages(rewards)
    assert output.advantages[0].tolist() == [0] * 7
    assert output.std[0].item() == 0
    assert output.frac_zero_std.item() == 0.5
    assert output.advantages[1].abs().sum() > 0


def test_a_group_can_be_permuted_and_shifted():
    rewards = torch.randn(3, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    plain = group_advantages(rewards).advantages
    assert_close(group_advantages(rewards[:, order]).advantages, plain[:, order])
    assert_close(group_advantages(rewards + 10).advantages, plain)
    assert_close(plain.sum(-1), [0, 0, 0])


def test_groups_do_not_see_each_other():
    rewards = torch.tensor([[0.0, 1.0], [0.0, 100.0]])
    alone = group_advantages(rewards[:1]).advantages
    assert_close(group_advantages(rewards).advantages[:1], alone)


def test_a_group_of_one_is_refused():
    with pytest.raises(ConfigError, match="at least 2 completions"):
        group_advantages(torch.zeros(3, 1))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_rewards_must_be_finite(bad):
    with pytest.raises(ValueError, match="prompt 1"):
        group_advantages(torch.tensor([[0.0, 1.0], [0.0, bad]]))


def test_rewards_must_be_grouped():
    with pytest.raises(ValueError, match=r"\[P, G\]"):
        group_advantages(torch.zeros(4))
