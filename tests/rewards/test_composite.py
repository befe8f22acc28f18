import warnings

import pytest
import torch
from jsonargparse import ArgumentParser

from remot.errors import ConfigError
from remot.rewards import AccuracyReward, CompositeReward, FormatReward, LogicReward, ReMoTReward, Reward
from remot.structures import RewardOutput
from tests.helpers import assert_close, make_question, respond


class NotAlwaysApplicable(Reward):
    """1 for completions with text, NaN for empty ones."""

    name = "sometimes"

    def __call__(self, completions, questions):
        total = torch.tensor([1.0 if text else torch.nan for text in completions])
        return RewardOutput(total, {self.name: total}, torch.ones(len(questions), dtype=torch.bool))


def test_the_papers_sum_by_hand():
    """Gold ABB, target 2 words, scale 4.

    ABB, 2 words: 3.5·1 + 3.5·1       + 1.3·0       + 1.7·1  = 8.7
    ABA, 5 words: 3.5·1 + 3.5·0.5·2/3 + 1.3·(−0.75) + 1.7·−1 = 1.99166…
    AB,  0 words: 0     + 0           + 0           + 0      = 0
    """
    completions = [respond("ABB"), respond("ABA", 5), respond("AB", 0)]
    output = ReMoTReward(target_length=2, scale=4)(completions, [make_question("ABB")] * 3)
    assert_close(output.total, [8.7, 3.5 + 3.5 / 3 - 0.975 - 1.7, 0], atol=1e-6)
    assert output.success.tolist() == [True, False, False]
    assert set(output.parts) == {"format", "accuracy", "partial", "exact", "conciseness", "logic"}
    assert_close(output.parts["conciseness"], [0, -0.75, 0])  # parts are unweighted


def test_paper_weights_can_be_changed_one_by_one():
    reward = ReMoTReward(format_weight=1, accuracy_weight=0, conciseness_weight=0, logic_weight=0)
    assert reward([respond("CCC")], [make_question("ABB")]).total.tolist() == [1]


def test_what_is_not_applicable_is_left_out_of_the_total():
    composite = CompositeReward([FormatReward(), NotAlwaysApplicable()], [2.0, 3.0])
    output = composite([respond("ABB"), ""], [make_question("ABB")] * 2)
    assert output.total.tolist() == [5, 0]
    assert output.parts["sometimes"].isnan().tolist() == [False, True]


def test_sums_can_be_nested():
    inner = CompositeReward([FormatReward(), LogicReward()], [1.0, 1.0])
    outer = CompositeReward([inner, AccuracyReward()], [2.0, 1.0])
    assert outer([respond("ABB")], [make_question("ABB")]).total.tolist() == [5]


@pytest.mark.parametrize(
    ("rewards", "weights", "message"),
    [
        ([FormatReward()], [1.0, 2.0], "1 rewards, 2 weights"),
        ([], [], "0 rewards"),
        ([FormatReward(), FormatReward()], [1.0, 2.0], "share a name"),
    ],
)
def test_sums_that_make_no_sense_are_refused(rewards, weights, message):
    with pytest.raises(ConfigError, match=message):
        CompositeReward(rewards, weights)


def test_a_configuration_file_builds_the_sum():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--reward", type=Reward)
    terms = [
        {"class_path": "remot.rewards.FormatReward"},
        {"class_path": "remot.rewards.ConcisenessReward", "init_args": {"target_length": 50, "unit": "characters"}},
    ]
    tree = {"class_path": "remot.rewards.CompositeReward", "init_args": {"rewards": terms, "weights": [3.5, 1]}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reward = parser.instantiate_classes(parser.parse_object({"reward": tree})).reward
    assert [term.name for term in reward.rewards] == ["format", "conciseness"]
    assert reward.rewards[1].unit == "characters"
    assert reward.weights == [3.5, 1]
