import pytest
import torch
from hypothesis import given, settings

from remot.errors import ConfigError
from remot.rewards import AccuracyReward, ConcisenessReward, FormatReward, LogicReward, PointwiseReward, ReMoTReward
from tests.helpers import assert_close, hostile_text, join_questions, make_question, respond

TERMS = [FormatReward(), AccuracyReward(), ConcisenessReward(), LogicReward()]


def score(reward, *completions, question=None):
    return reward(completions, [question or make_question("ABB")] * len(completions))


def test_format_reward():
    output = score(FormatReward(), respond("ABB"), respond("CCC"), respond("AB"), "ABB")
    assert output.total.tolist() == output.parts["format"].tolist() == [1, 1, 0, 0]
    assert output.success.tolist() == [True, False, False, False]


def test_accuracy_reward_by_hand():
    """Gold ABB. ABB: 0.5 + 0.5. ABA: 0.5·2/3. ABBB has the wrong length. CCC has nothing right."""
    output = score(AccuracyReward(), *map(respond, ("ABB", "ABA", "ABBB", "CCC")))
    assert_close(output.total, [1, 1 / 3, 0, 0])
    assert_close(output.parts["accuracy"], output.total)
    assert_close(output.parts["partial"], [1, 2 / 3, 0, 0])
    assert output.parts["exact"].tolist() == [1, 0, 0, 0]
    assert output.success.tolist() == [True, False, False, False]


def test_accuracy_weights_and_lenient_length():
    """0.25·1 for the three right letters of ABBB when surplus letters are forgiven; still no exact match."""
    output = score(AccuracyReward(0.25, 0.75, strict_length=False), respond("ABBB"), respond("ABB"))
    assert_close(output.total, [0.25, 1])
    assert output.success.tolist() == [False, True]


@pytest.mark.parametrize(("num_words", "expected"), [(0, 0), (10, 0), (11, -0.05), (20, -0.5), (30, -1), (99, -1)])
def test_conciseness_by_hand(num_words, expected):
    """Target 10, scale 20, floor −1: word 11 costs 1/20, 30 words cost 1 and no more."""
    output = score(ConcisenessReward(10, scale=20), respond("A", num_words))
    assert_close(output.total, [expected])


def test_conciseness_floor_and_unit():
    """ "moved moved" has 11 characters, 5 over the target of 6: −5/10; floor −0.25 stops it there."""
    assert_close(score(ConcisenessReward(6, "characters", 10), respond("A")).total, [-0.5])
    assert_close(score(ConcisenessReward(6, "characters", 10, -0.25), respond("A")).total, [-0.25])


def test_conciseness_of_missing_reasoning_is_free():
    assert score(ConcisenessReward(0), "<answer>ABB</answer>", "", "<think>never closed").total.tolist() == [0, 0, 0]


def test_logic_reward():
    """ABB: frame 3, 1, 2 from one side to the other. ABA: 2→3 contradicts. AB: undetermined."""
    output = score(LogicReward(), *map(respond, ("ABB", "ABA", "AB", "CCC")))
    assert output.total.tolist() == output.parts["logic"].tolist() == [1, -1, 0, 1]


@pytest.mark.parametrize(
    "build",
    [
        lambda: AccuracyReward(-1, 1),
        lambda: AccuracyReward(0, 0),
        lambda: ConcisenessReward(-1),
        lambda: ConcisenessReward(scale=0),
        lambda: ConcisenessReward(scale=float("nan")),
        lambda: ConcisenessReward(floor=0.5),
        lambda: ConcisenessReward(unit="tokens"),
    ],
)
def test_impossible_settings_are_refused(build):
    with pytest.raises(ConfigError):
        build()


@pytest.mark.parametrize("reward", [*TERMS, ReMoTReward()], ids=lambda reward: reward.name)
class TestEveryReward:
    def test_output_is_flat_float32(self, reward):
        output = score(reward, respond("ABB"), "")
        assert output.total.shape == (2,)
        assert output.total.dtype == torch.float32
        assert output.success.dtype == torch.bool
        assert {part.dtype for part in output.parts.values()} == {torch.float32}

    def test_no_completions(self, reward):
        assert reward([], []).total.shape == (0,)

    def test_questions_are_repeated_per_completion(self, reward):
        with pytest.raises(ValueError, match="2 completions but 1 questions"):
            reward(["", ""], [make_question()])

    def test_each_completion_is_judged_by_its_own_question(self, reward):
        questions = [make_question("ABB"), make_question("BAA")]
        together = reward([respond("ABB"), respond("ABB")], questions)
        assert together.success.tolist() == [True, False]
        apart = [reward([respond("ABB")], [question]).total.item() for question in questions]
        assert together.total.tolist() == apart

    def test_order_of_completions_does_not_matter(self, reward):
        completions = [respond("ABB"), respond("ABA", 300), "", respond("CC")]
        forward, backward = score(reward, *completions), score(reward, *completions[::-1])
        assert forward.total.tolist() == backward.total.flip(0).tolist()

    @given(completion=hostile_text)
    @settings(deadline=None, database=None, derandomize=True, max_examples=100)
    def test_hostile_completions_get_a_finite_score(self, reward, completion):
        question = join_questions(make_question("ABB"), make_question("CAA", "gripper", "left"))
        assert score(reward, completion, question=question).total.isfinite().all()

    @pytest.mark.timeout(20)
    def test_huge_completions_take_no_time(self, reward):
        output = score(reward, "<answer>" * 200_000, "<think>" + "a " * 500_000 + "</think>" + "A" * 500_000)
        assert output.total.isfinite().all()


def test_a_reward_of_ones_own_only_scores_one_completion():
    class Shouting(PointwiseReward):
        name = "shouting"

        def score(self, parsed, question):  # noqa: ARG002
            return {self.name: float(parsed.reasoning.isupper())}

    output = score(Shouting(), "<think>UP</think><answer>ABB</answer>", respond("ABB"))
    assert output.total.tolist() == [1, 0]
    assert output.success.tolist() == [True, True]
