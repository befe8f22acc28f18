import pytest
import torch

from remot.errors import ConfigError
from remot.losses import group_advantages
from remot.losses.advantages import (
    all_equal,
    batch_std_advantages,
    global_advantages,
    leave_one_out_advantages,
    mean_only_advantages,
)
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


@pytest.mark.parametrize("bad", [float("-inf"), float("inf")])
def test_rewards_must_be_finite(bad):
    with pytest.raises(ValueError, match="prompt 1"):
        group_advantages(torch.tensor([[0.0, 1.0], [0.0, bad]]))


NAN = float("nan")


@pytest.mark.parametrize("unbiased", [True, False])
def test_what_does_not_apply_is_left_out_of_its_group(unbiased):
    """The others are compared as a group without it; it teaches nothing, and nor does what is alone."""
    rewards = torch.randn(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    applies = torch.rand(6, 5, generator=torch.Generator().manual_seed(3)) > 0.3
    applies[:4, :2], applies[4], applies[5] = True, False, torch.tensor([False, True, False, False, False])
    held = torch.where(applies, rewards, NAN)
    for compare in (
        lambda one: group_advantages(one, unbiased=unbiased),
        mean_only_advantages,
        leave_one_out_advantages,
    ):
        output = compare(held)
        assert output.advantages[~applies].abs().sum() == output.advantages[4:].abs().sum() == 0
        for row in range(4):
            alone = compare(rewards[row : row + 1, applies[row]])
            assert_close(output.advantages[row, applies[row]], alone.advantages[0])
            assert_close(output.mean[row : row + 1], alone.mean)
            assert_close(output.std[row : row + 1], alone.std)
        assert output.frac_zero_std.item() == pytest.approx(2 / 6)


def test_what_does_not_apply_is_left_out_of_the_batch():
    """Rewards 1, 3 and 5, 5, 8 that apply: batch mean 22/5, squares around it 27.2, deviation sqrt(6.8)."""
    held = torch.tensor([[1.0, NAN, 3.0], [5.0, 5.0, 8.0], [NAN, NAN, NAN]], dtype=torch.float64)
    everywhere = global_advantages(held, eps=0.0).advantages
    assert_close(everywhere, torch.tensor([[-3.4, 0, -1.4], [0.6, 0.6, 3.6], [0, 0, 0]]) / 6.8**0.5)
    assert_close(
        batch_std_advantages(held, eps=0.0).advantages,
        torch.tensor([[-1.0, 0, 1], [-1, -1, 2], [0, 0, 0]]) / 6.8**0.5,
    )
    # Differences to the group means -1, 1, -1, -1, 2: their squares add up to 8.
    based = global_advantages(held, eps=0.0, group_baseline=True).advantages
    assert_close(based, torch.tensor([[-1.0, 0, 1], [-1, -1, 2], [0, 0, 0]]) / 2**0.5)


def test_who_is_equal():
    held = torch.tensor([[1.0, NAN, 1.0], [NAN, NAN, 2.0], [NAN] * 3, [1.0, NAN, 2.0], [0.0, 0.0, 0.1]])
    assert all_equal(held).tolist() == [True, True, True, False, False]


def test_rewards_must_be_grouped():
    with pytest.raises(ValueError, match=r"\[P, G\]"):
        group_advantages(torch.zeros(4))
