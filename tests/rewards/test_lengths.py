"""The soft overlong penalty of DAPO, alone and in a sum."""

import pytest
import torch
from hypothesis import given, settings

from remot.errors import ConfigError
from remot.rewards import AccuracyReward, CompositeReward, SoftOverlongReward
from remot.rewards.lengths import soft_overlong
from tests.helpers import assert_close, hostile_text, make_question, respond


@pytest.mark.parametrize(
    ("length", "expected"),
    [(0, 0), (16384, 0), (16385, -1 / 4096), (18432, -0.5), (20480, -1), (20481, -1), (10**9, -1)],
)
def test_published_numbers_by_hand(length, expected):
    """L_max 20480 and L_cache 4096: free up to 16384, half way at 18432."""
    assert_close(soft_overlong(length, 20480, 4096), expected)


def test_agrees_with_the_three_cases_of_the_paper():
    for length in range(40):
        if length <= 30 - 12:
            expected = 0
        elif length <= 30:
            expected = ((30 - 12) - length) / 12
        else:
            expected = -1
        assert_close(soft_overlong(length, 30, 12), expected)


def rate(reward, num_tokens, letters="ABB"):
    completions = [respond(letters)] * len(num_tokens)
    return reward.rate(completions, [make_question("ABB")] * len(num_tokens), num_tokens)


def test_token_counts_are_required():
    output = rate(SoftOverlongReward(10, 4), [6, 7, 10, 99])
    assert_close(output.total, [0, -0.25, -1, -1])
    assert output.total.dtype == torch.float32
    assert torch.equal(output.parts["overlong"], output.total)
    assert output.success.all()
    assert not rate(SoftOverlongReward(10, 4), [3], "CCC").success.any()


def test_texts_without_token_counts_are_refused():
    with pytest.raises(ValueError, match="texts do not tell"):
        SoftOverlongReward(10, 4)(["a"], [make_question()])


def test_words_and_characters():
    """`moved moved` and both elements are 2 words, as nothing but the one space parts them."""
    text = respond("ABB")
    assert len(text.split()) == 2
    by_words = SoftOverlongReward(3, 2, "words")([text], [make_question()])
    assert_close(by_words.total, [-0.5])
    by_characters = SoftOverlongReward(len(text) + 1, 4, "characters").rate([text], [make_question()], [10**6])
    assert_close(by_characters.total, [-0.75])


def test_in_a_sum_the_lengths_reach_the_term():
    reward = CompositeReward([AccuracyReward(), SoftOverlongReward(10, 4)], [2.0, 0.5])
    output = rate(reward, [6, 8, 20])
    assert_close(output.total, [2, 1.75, 1.5])
    assert [weight for weight, _ in output.weighted_terms] == [2.0, 0.5]
    assert_close(output.weighted_terms[0][1], [1, 1, 1])
    assert_close(output.weighted_terms[1][1], [0, -0.5, -1])


def test_rewards_that_do_not_look_at_lengths_are_unchanged():
    completions, questions = [respond("ABB"), respond("ABA")], [make_question("ABB")] * 2
    reward = CompositeReward([AccuracyReward()], [3.0])
    assert torch.equal(reward.rate(completions, questions, [1, 10**6]).total, reward(completions, questions).total)


@given(completion=hostile_text)
@settings(deadline=None, database=None, derandomize=True, max_examples=50)
def test_hostile_completions_get_a_finite_score(completion):
    for unit in ("tokens", "words", "characters"):
        output = SoftOverlongReward(8, 4, unit).rate([completion], [make_question("ABB")], [6])
        assert -1 <= output.total.item() <= 0


def test_everything_has_to_have_one_length():
    with pytest.raises(ValueError, match=r"2 .*, 2 .* 1 lengths"):
        SoftOverlongReward(10, 4).rate(["", ""], [make_question()] * 2, [1])
    assert SoftOverlongReward(10, 4).rate([], [], []).total.shape == (0,)


@pytest.mark.parametrize(
    "build",
    [
        lambda: SoftOverlongReward(10, 0),
        lambda: SoftOverlongReward(10, 11),
        lambda: SoftOverlongReward(0, 0),
        lambda: SoftOverlongReward(10, 4, "lines"),
    ],
)
def test_impossible_settings_are_refused(build):
    with pytest.raises(ConfigError):
        build()
