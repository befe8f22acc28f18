"""Ways to compare completions: by hand, against literal formulas, and where they agree with each other."""

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from remot.errors import ConfigError
from remot.losses import (
    BatchStdAdvantages,
    GDPOAdvantages,
    GlobalAdvantages,
    GroupAdvantages,
    LeaveOneOutAdvantages,
    MeanOnlyAdvantages,
    RunningStdAdvantages,
    group_advantages,
)
from remot.losses.advantages import (
    batch_std_advantages,
    gdpo_advantages,
    global_advantages,
    leave_one_out_advantages,
    mean_only_advantages,
    running_std_advantages,
)
from tests.helpers import assert_close
from tests.reference import advantages as reference

NAN = math.nan
fast = settings(deadline=None, database=None, derandomize=True, max_examples=40)

#: Two groups: of 0, 1, 2, 3 and of 4, 4, 8, 8. Means 1.5 and 6; the batch has mean 3.75 and Σ(r − 3.75)² = 61.5.
REWARDS = torch.tensor([[0.0, 1, 2, 3], [4, 4, 8, 8]], dtype=torch.float64)

PLAIN = {
    "group": (group_advantages, None),
    "batch_std": (partial(batch_std_advantages, eps=0.1), partial(reference.batch_std, eps=0.1)),
    "mean_only": (mean_only_advantages, reference.mean_only),
    "leave_one_out": (leave_one_out_advantages, reference.leave_one_out),
    "global": (partial(global_advantages, eps=0.1), partial(reference.whole_batch, eps=0.1)),
    "global_baseline": (
        partial(global_advantages, eps=0.1, group_baseline=True),
        partial(reference.group_baseline, eps=0.1),
    ),
}


def rewards_of(seed, num_prompts=4, num_completions=5):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_prompts, num_completions, dtype=torch.float64, generator=generator)


def test_batch_std_by_hand():
    """Group means off, then one deviation for both: sqrt(61.5/7)."""
    centred = torch.tensor([[-1.5, -0.5, 0.5, 1.5], [-2, -2, 2, 2]], dtype=torch.float64)
    assert_close(batch_std_advantages(REWARDS, eps=0.5).advantages, centred / ((61.5 / 7) ** 0.5 + 0.5))
    assert_close(batch_std_advantages(REWARDS, eps=0.5, unbiased=False).advantages, centred / ((61.5 / 8) ** 0.5 + 0.5))


def test_mean_only_by_hand():
    assert mean_only_advantages(REWARDS).advantages.tolist() == [[-1.5, -0.5, 0.5, 1.5], [-2, -2, 2, 2]]


def test_leave_one_out_by_hand():
    """0 against (1 + 2 + 3)/3 = 2; 1 against 5/3; 2 against 4/3; 3 against 1. 4 against 20/3; 8 against 16/3."""
    expected = [[-2, -2 / 3, 2 / 3, 2], [-8 / 3, -8 / 3, 8 / 3, 8 / 3]]
    assert_close(leave_one_out_advantages(REWARDS).advantages, expected)


def test_global_by_hand():
    """Everything minus 3.75, over sqrt(61.5/7): in the easy group even the worse ones are better than the batch."""
    output = global_advantages(REWARDS, eps=0.5)
    assert_close(output.advantages, (REWARDS - 3.75) / ((61.5 / 7) ** 0.5 + 0.5))
    assert (output.advantages[1] > 0).all()


def test_global_with_a_group_baseline_by_hand():
    """Group means off: squares sum to 5 + 16 = 21; sqrt(21/7) = sqrt(3)."""
    centred = torch.tensor([[-1.5, -0.5, 0.5, 1.5], [-2, -2, 2, 2]], dtype=torch.float64)
    assert_close(global_advantages(REWARDS, eps=0.5, group_baseline=True).advantages, centred / (3**0.5 + 0.5))


def test_gdpo_by_hand():
    """One prompt, rewards (0, 1, 1) and (0, 0, 3).

    First: mean ⅔, deviation sqrt(⅓): (−2, 1, 1)/sqrt(3). Second: mean 1, deviation sqrt(3): (−1, −1, 2)/sqrt(3). With
    weights 1 and 2 the sum is (−4, −1, 5)/sqrt(3), of mean 0 and deviation sqrt(42/3/2) = sqrt(7). The scale of the
    second reward, three times that of the first, has gone.
    """
    terms = torch.tensor([[[0.0, 1, 1]], [[0, 0, 3]]], dtype=torch.float64)
    total = terms[0] + 2 * terms[1]
    output = gdpo_advantages(total, terms, [1.0, 2.0], eps=1e-12)
    assert_close(output.advantages, [[-4 / 21**0.5, -1 / 21**0.5, 5 / 21**0.5]])
    scaled = gdpo_advantages(total, terms * torch.tensor([1.0, 100.0])[:, None, None], [1.0, 2.0], eps=1e-12)
    assert_close(scaled.advantages, output.advantages)


def test_gdpo_distinguishes_what_a_sum_hides():
    """One completion alone has the first reward, half of the group has the second: in the sum they tie.

    Standardised one by one, the rarer reward is worth more.
    """
    terms = torch.tensor([[[1.0, 0, 0, 0]], [[0, 1, 1, 1]]], dtype=torch.float64)
    assert group_advantages(terms.sum(0)).advantages.tolist() == [[0, 0, 0, 0]]
    assert_close(gdpo_advantages(terms.sum(0), terms, [1.0, 1.0]).advantages, [[0, 0, 0, 0]], atol=1e-9)
    rare = torch.tensor([[[1.0, 0, 0, 0]], [[0, 1, 1, 0]]], dtype=torch.float64)
    sums = group_advantages(rare.sum(0)).advantages[0]
    assert sums[0] == sums[1]
    decoupled = gdpo_advantages(rare.sum(0), rare, [1.0, 1.0]).advantages[0]
    assert decoupled[0] > decoupled[1] + 0.1


def test_gdpo_leaves_out_what_does_not_apply():
    """NaN is in no mean and adds nothing: (NaN, 0, 1) is (0, −1, 1)/sqrt(2). A reward known once teaches nothing."""
    terms = torch.tensor([[[NAN, 0, 1]], [[NAN, NAN, 5]]], dtype=torch.float64)
    output = gdpo_advantages(torch.zeros(1, 3, dtype=torch.float64), terms, [1.0, 1.0], eps=1e-12)
    assert_close(output.advantages, [[0, -1, 1]])  # of (0, −1, 1)/sqrt(2), deviation sqrt(½)


@pytest.mark.parametrize("name", [name for name, (_, literal) in PLAIN.items() if literal])
@given(seed=st.integers(0, 10_000))
@fast
def test_agrees_with_the_literal_formula(name, seed):
    function, literal = PLAIN[name]
    rewards = rewards_of(seed)
    assert_close(function(rewards).advantages, literal(rewards.tolist()))


@given(seed=st.integers(0, 10_000), holes=st.sets(st.integers(0, 39), max_size=12))
@fast
def test_gdpo_agrees_with_the_literal_formula(seed, holes):
    terms = rewards_of(seed, 8).reshape(2, 4, 5)
    terms[1, 2] = 0.1  # a group whose second reward is the same for all
    terms.view(-1)[list(holes)] = NAN
    output = gdpo_advantages(terms.nansum(0), terms, [0.7, -1.3], eps=0.1)
    assert_close(output.advantages, reference.gdpo(terms.tolist(), [0.7, -1.3], 0.1))


@given(seed=st.integers(0, 10_000))
@fast
def test_identities(seed):
    """RLOO is G/(G − 1) of the mean-only one; with one prompt the group is the batch.

    GDPO of one reward is the z-score over the batch of z-scores within groups, whatever its weight.
    """
    rewards = rewards_of(seed)
    assert_close(leave_one_out_advantages(rewards).advantages, 5 / 4 * mean_only_advantages(rewards).advantages)
    one = rewards[:1]
    assert_close(batch_std_advantages(one).advantages, group_advantages(one).advantages)
    assert_close(global_advantages(one, eps=1e-4).advantages, group_advantages(one).advantages)
    grouped = group_advantages(rewards).advantages
    plain = gdpo_advantages(rewards, rewards[None], [1.0]).advantages
    assert_close(plain, grouped / (grouped.std() + 1e-4))
    assert_close(gdpo_advantages(rewards, rewards[None], [5.0], eps=1e-12).advantages, plain, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", PLAIN)
def test_a_group_can_be_permuted_and_the_rewards_shifted(name):
    function, _ = PLAIN[name]
    rewards, order = rewards_of(3), torch.tensor([3, 0, 4, 1, 2])
    plain = function(rewards).advantages
    assert_close(function(rewards[:, order]).advantages, plain[:, order])
    assert_close(function(rewards + 10).advantages, plain)


@pytest.mark.parametrize("name", PLAIN)
@pytest.mark.parametrize("value", [0.1, -1e6, 8.7])
def test_equal_rewards_teach_exactly_nothing(name, value):
    """A batch of them for all; one group of them for all that look at groups."""
    function, _ = PLAIN[name]
    whole = function(torch.full((2, 7), value))
    assert whole.advantages.abs().sum() == 0
    assert whole.frac_zero_std == 1
    mixed = function(torch.stack([torch.full((7,), value), torch.arange(7.0)]))
    assert (mixed.advantages[0].abs().sum().item() == 0) is (name != "global")
    assert mixed.frac_zero_std == 0.5
    assert mixed.std[0] == 0
    assert mixed.advantages[1].abs().sum() > 0


@pytest.mark.parametrize("value", [0.1, -1e6, 8.7, 1 / 3])
def test_gdpo_of_equal_rewards_is_exactly_zero(value):
    """Alone, and beside groups with a difference; 1/3 and the like do not average to themselves."""
    terms = torch.full((2, 3, 7), value)
    output = gdpo_advantages(terms.sum(0), terms, [1.0, 1.0])
    assert output.advantages.abs().sum() == 0
    assert output.frac_zero_std == 1
    terms[:, 1:] = torch.rand(2, 2, 7, generator=torch.Generator().manual_seed(3))
    mixed = gdpo_advantages(terms.sum(0), terms, [1.0, 1.0]).advantages
    assert mixed[0].abs().sum() == 0
    assert (mixed[1:].abs().sum(-1) > 0).all()


@pytest.mark.parametrize("name", PLAIN)
def test_what_cannot_be_compared_is_refused(name):
    function, _ = PLAIN[name]
    with pytest.raises(ConfigError, match="at least 2 completions"):
        function(torch.zeros(3, 1))
    with pytest.raises(ValueError, match="prompt 1"):
        function(torch.tensor([[0.0, 1.0], [0.0, float("inf")]]))
    assert function(torch.tensor([[0.0, 1.0], [0.0, NAN]])).advantages[1, 1] == 0  # what does not apply teaches nothing
    assert function(torch.zeros(0, 4)).advantages.shape == (0, 4)


@pytest.mark.parametrize(("shape", "weights"), [((2, 4), [1.0, 1.0]), ((2, 4, 4), [1.0, 1.0]), ((2, 4, 5), [1.0])])
def test_terms_have_to_fit(shape, weights):
    with pytest.raises(ValueError, match="do not fit"):
        gdpo_advantages(rewards_of(0), torch.zeros(shape), weights)


@pytest.mark.parametrize(
    ("configured", "function"),
    [
        (GroupAdvantages(0.3, unbiased=False), partial(group_advantages, eps=0.3, unbiased=False)),
        (GroupAdvantages(), group_advantages),
        (BatchStdAdvantages(0.3), partial(batch_std_advantages, eps=0.3)),
        (MeanOnlyAdvantages(), mean_only_advantages),
        (LeaveOneOutAdvantages(), leave_one_out_advantages),
        (GlobalAdvantages(0.3), partial(global_advantages, eps=0.3)),
        (GlobalAdvantages(group_baseline=True), partial(global_advantages, group_baseline=True)),
    ],
)
def test_classes_are_the_functions_with_their_settings(configured, function):
    rewards = rewards_of(1)
    terms = torch.full((2, *rewards.shape), NAN)  # looked at by GDPO alone
    assert torch.equal(configured(rewards, terms, [1.0, 1.0]).advantages, function(rewards).advantages)


def test_gdpo_class():
    terms = rewards_of(1, 8).reshape(2, 4, 5)
    given_terms = terms.sum(0), terms, [1.0, 2.0]
    assert torch.equal(GDPOAdvantages(0.3)(*given_terms).advantages, gdpo_advantages(*given_terms, eps=0.3).advantages)


@pytest.mark.parametrize("build", [GroupAdvantages, BatchStdAdvantages, GlobalAdvantages, GDPOAdvantages])
@pytest.mark.parametrize("eps", [0.0, -1.0, NAN])
def test_eps_is_above_zero(build, eps):
    with pytest.raises(ConfigError, match="eps"):
        build(eps)


# -- running deviations of tasks -----------------------------------------------------------------------------------


def test_running_deviation_by_hand():
    """Two tasks over two batches; the deviation of a task is that of all its rewards, with the batch in it already."""
    compare = RunningStdAdvantages(decay=0.75, eps=0.0, largest=100.0)
    first = torch.tensor([[0.0, 2.0], [0.0, 10.0], [2.0, 4.0]], dtype=torch.float64)
    output = compare(first, first[None], (1.0,), ("near", "far", "near"))
    near = (6 - 2**2) ** 0.5  # mean of 0, 2, 2, 4 is 2, of their squares 6
    assert_close(output.advantages, [[-1 / near, 1 / near], [-1.0, 1.0], [-1 / near, 1 / near]])
    second = torch.tensor([[4.0, 8.0]], dtype=torch.float64)  # mean 6, of squares 40
    moved = (0.75 * 6 + 0.25 * 40 - (0.75 * 2 + 0.25 * 6) ** 2) ** 0.5
    assert_close(compare(second, second[None], (1.0,), ("near",)).advantages, [[-2 / moved, 2 / moved]])
    assert compare.moments["far"].square == 50


def test_a_large_advantage_is_divided_by_the_deviation_of_its_group():
    rewards = torch.tensor([[0.0, 1.0], [0.0, 0.04]], dtype=torch.float64)
    output = running_std_advantages(rewards, torch.tensor([0.05, 0.05], dtype=torch.float64), eps=0.0)
    assert_close(output.advantages, [[-1.0, 1.0], [-0.4, 0.4]])  # 0.5/0.05 is above 5: its own deviation is 0.5


def test_running_deviations_continue_from_their_state():
    batches = [rewards_of(seed) for seed in range(4)]
    tasks = ("a", "b", "a", "b")
    whole, begun = RunningStdAdvantages(), RunningStdAdvantages()
    expected = [whole(batch, batch[None], (1.0,), tasks).advantages for batch in batches]
    for batch in batches[:2]:
        begun(batch, batch[None], (1.0,), tasks)
    resumed = RunningStdAdvantages()
    resumed.load_state_dict(begun.state_dict())
    for batch, right in zip(batches[2:], expected[2:], strict=True):
        assert torch.equal(resumed(batch, batch[None], (1.0,), tasks).advantages, right)


def test_rewards_that_do_not_apply_do_not_move_the_deviation():
    rewards = torch.tensor([[0.0, 2.0, NAN], [NAN, NAN, NAN]], dtype=torch.float64)
    compare = RunningStdAdvantages(eps=0.0)
    assert_close(compare(rewards, rewards[None], (1.0,), ("a", "b")).advantages, [[-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert set(compare.moments) == {"a"}


def test_equal_rewards_of_a_task_have_advantage_zero():
    rewards = torch.ones(2, 3, dtype=torch.float64)
    assert RunningStdAdvantages()(rewards, rewards[None], (1.0,), ("a", "a")).advantages.abs().max() == 0


@pytest.mark.parametrize("wrong", [{"decay": 1.0}, {"least_std": 0.0}, {"largest": 0.0}, {"eps": -1.0}])
def test_running_deviations_refuse(wrong):
    with pytest.raises(ConfigError):
        RunningStdAdvantages(**wrong)
