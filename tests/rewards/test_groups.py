"""Rewards that look at other completions: of the group, of shuffled frames, of a mirrored or changed input."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonargparse import ArgumentParser

import remot.rewards as r
from remot.errors import ConfigError
from remot.rewards import (
    DualityReward,
    ExactAnswerReward,
    FunctionReward,
    LengthBonusReward,
    NumberReward,
    OperationPool,
    Reward,
    ShuffledFramesReward,
    ViewConsistencyReward,
)
from remot.rewards.counterfactual.operation_pool import ANSWER_MAPS
from remot.rewards.functional.numbers import cosine_scaled
from remot.rewards.functional.text import agrees, mapped_answer
from remot.rewards.group_bonuses import length_bonus, temporal_bonus
from remot.structures import Reference
from tests.helpers import assert_close, make_question
from tests.rewards.samples import question, say, totals

many = settings(deadline=None, database=None, derandomize=True, max_examples=300)
accuracies = st.lists(st.floats(0, 2), max_size=8)


def tensor(numbers):
    return torch.tensor(numbers, dtype=torch.float32)


# -- T-GRPO and length control -------------------------------------------------------------------------------------


def test_temporal_bonus_by_hand():
    """Mean 0.4 against 0.8·0.5 = 0.4: reached. Against 0.8·0.6 = 0.48: not. 0.1 itself does not exceed 0.1."""
    assert_close(temporal_bonus(tensor([1, 0.1, 0.2, 0.3]), tensor([0.5, 0.5])), [0.3, 0, 0.3, 0.3])
    assert_close(temporal_bonus(tensor([1, 0.1, 0.2, 0.3]), tensor([0.6, 0.6])), [0, 0, 0, 0])
    assert_close(temporal_bonus(tensor([1, 1]), tensor([])), [0, 0])
    assert temporal_bonus(tensor([]), tensor([1])).shape == (0,)
    assert_close(temporal_bonus(tensor([0, 0]), tensor([0])), [0, 0])


@given(first=accuracies, shuffled=accuracies)
@many
def test_bonuses_do_not_depend_on_the_order(first, shuffled):
    one, other = (temporal_bonus(tensor(a), tensor(b)) for a, b in ((first, shuffled), (first[::-1], shuffled[::-1])))
    at_the_edge = abs(sum(first) * len(shuffled) - 0.8 * sum(shuffled) * len(first)) < 1e-4  # sums round by their order
    assert at_the_edge or torch.equal(one, other.flip(0))
    assert set(one.tolist()) <= {0.0, *tensor([0.3]).tolist()}


def test_length_bonus_by_hand():
    """320 and 512 are in, 319 and 513 are not; one good answer alone gets nothing; a bad one never does."""
    assert_close(length_bonus(tensor([1, 1, 1, 1, 0]), [319, 320, 512, 513, 400]), [0, 0.2, 0.2, 0, 0])
    assert_close(length_bonus(tensor([1, 0, 0.1]), [400, 400, 400]), [0, 0, 0])
    assert length_bonus(tensor([]), []).shape == (0,)


def test_an_accuracy_of_exactly_a_tenth_earns_no_bonus():
    """5.4 for 10 is within one tolerance of ten: 0.1, not above it. 5.6 is within two: 0.2."""
    at_a_tenth, above = say("5.4"), say("5.6")
    held = Reference(number=10, counterfactuals=(say("0.1"),))
    questions = [question(held, prompt_id="a")] * 3
    for reward, bonus in ((ShuffledFramesReward(NumberReward()), 0.3), (LengthBonusReward(NumberReward(), 1, 9), 0.2)):
        assert_close(reward([at_a_tenth, above, above], questions).total, [0, bonus, bonus])
        assert_close(NumberReward()([at_a_tenth, above], questions[:2]).total, [0.1, 0.2])


def test_a_map_gate_is_compared_as_the_accuracies_are():
    """An accuracy of exactly the gate, 0.1 or 0.7, does not open it, and the map does not count."""
    held = Reference(number=10, map_centres={"chair": ((1.0, 2.0),)})
    for answer, gate in (("5.4", 0.1), ("8.3", 0.7), ("9", 0.9)):
        text = say(answer, '<map>{"chair": [[1, 2]]}</map>')
        accuracy = r.CognitiveMapReward(NumberReward(), gate=gate)([text], [question(held)])
        assert accuracy.parts["map"].isnan().all()
        assert_close(accuracy.total, [gate])
        assert_close(r.CognitiveMapReward(NumberReward(), gate=gate - 0.01)([text], [question(held)]).total, [gate + 1])


def test_a_success_starts_at_the_threshold_itself():
    """0.7 is a success from 0.7 on, as float32 too; a regression of 0.6999995 is none."""
    assert NumberReward(success_at=0.7)([say("8.3")], [question(Reference(number=10))]).success.tolist() == [True]
    regression = NumberReward("regression", success_at=0.7)
    texts = [say("7"), say("6.999995")]
    assert regression(texts, [question(Reference(number=10))] * 2).success.tolist() == [True, False]


def test_shuffled_frames_by_prompt():
    """Prompt a: 1 of 2 right, 0.5 ≥ 0.8·0.5: + 0.3 for the right one. Prompt b: 0.5 < 0.8·1. Prompt c is an image."""
    right, wrong = say("B"), say("A")
    a = Reference(answer="B", counterfactuals=(right, wrong))
    b = Reference(answer="B", counterfactuals=(right, right))
    questions = [question(a, prompt_id="a"), question(b, prompt_id="b"), question(a, prompt_id="a")]
    questions += [question(b, prompt_id="b"), question(Reference(answer="B"), prompt_id="c")]
    output = ShuffledFramesReward(ExactAnswerReward())([right, right, wrong, wrong, right], questions)
    assert_close(output.total, [0.3, 0, 0, 0, float("nan")])
    assert output.success.tolist() == [True, True, True, True, False]


def test_length_bonus_by_prompt():
    """Words of "<think>it moved</think><answer>B</answer>": 2. Prompt b has one right answer only."""
    questions = [question(Reference(answer="B"), prompt_id=name) for name in "aabb"]
    reward = LengthBonusReward(ExactAnswerReward(), 1, 2)
    completions = [say("B"), say("B", "it moved a lot"), say("B"), say("A")]
    assert_close(reward(completions, questions).total, [0.2, 0, 0, 0])


def test_tokens_count_where_they_are_known():
    """Through a sum and tasks: 400 and 40 tokens of two right answers; as texts, words stand for tokens."""
    inner = LengthBonusReward(ExactAnswerReward(), 320, 512)
    reward = r.PerTaskReward({"any": r.CompositeReward([ExactAnswerReward(), inner], [1, 2])})
    questions = [question(Reference(answer="B"))] * 2
    assert_close(reward.rate([say("B")] * 2, questions, [400, 40]).total, [1.4, 1])
    assert_close(reward([say("B")] * 2, questions).total, [1, 1])
    by_words = LengthBonusReward(ExactAnswerReward(), 1, 2, unit="words")
    assert_close(by_words.rate([say("B")] * 2, questions, [400, 40]).total, [0.2, 0.2])
    cosine = r.CosineLengthReward(ExactAnswerReward(), 100, unit="tokens")
    assert_close(cosine.rate([say("B")] * 2, questions, [50, 100]).total, [0.75, 0.5])
    gated = r.GatedReward(inner, r.CognitiveMapReward(ExactAnswerReward()), at_least=1)
    assert_close(gated.rate([say("B")] * 2, questions, [400, 40]).total, [0.2, 0])


def test_overlong_in_a_sum_of_references():
    """DAPO's penalty does not determine whether a question without letters is answered right."""
    reward = r.CompositeReward([ExactAnswerReward(), r.SoftOverlongReward(10, 5, "words")], [1, 1])
    output = reward([say("B")], [question(Reference(answer="B"))])
    assert (output.total.tolist(), output.success.tolist()) == ([1], [True])


@given(length=st.floats(0, 2000), longer=st.floats(0, 500))
@many
def test_cosine_falls_from_one_end_to_the_other(length, longer):
    assert -1 <= cosine_scaled(length + longer, 1000, 1, -1) <= cosine_scaled(length, 1000, 1, -1) + 1e-12 <= 1 + 1e-9
    assert cosine_scaled(0, 1000, 1, -1) == 1
    assert cosine_scaled(5000, 1000, 1, -1) == -1


# -- duality -------------------------------------------------------------------------------------------------------


def test_mapped_answers():
    mirror = ANSWER_MAPS["mirror"]
    assert mapped_answer("Left.", mirror) == "right"
    assert mapped_answer(" up ", mirror) == "up"
    assert mapped_answer("upper  left", mirror) == "upper right"
    assert mapped_answer("CAB", {"A": "B", "B": "A"}) == "cba"
    assert mapped_answer("TF", ANSWER_MAPS["negation"]) == "tf"  # words among the keys: only whole answers are mapped
    assert agrees("left", "RIGHT", mirror)
    assert not agrees("left", "left", mirror)
    assert not agrees("", "", mirror)


@pytest.mark.parametrize("name", ANSWER_MAPS)
def test_operations_are_their_own_inverse(name):
    table = ANSWER_MAPS[name]
    assert all(table[table[word]] == word != table[word] for word in table)


def test_reversed_time_covers_every_value_of_an_order():
    """The answer maps hold what the attributes of the library call opposite."""
    from remot.motion import ATTRIBUTES

    for attribute in ATTRIBUTES.values():
        if attribute.name in {"mask_frame", "effector_composite"}:
            continue
        positive, negative = attribute.values[0], attribute.values[1]
        assert ANSWER_MAPS["reversed_time"][positive] == negative, attribute.name


def test_duality_by_hand():
    """Right after a mirror: left agrees, right does not, an unreadable one does not: 1 of 3."""
    told = tuple(f"<think>x</think><answer>{answer}</answer>" for answer in ("left", "right", ""))
    reference = Reference(counterfactuals=told, answer_map=ANSWER_MAPS["mirror"])
    assert_close(totals(DualityReward(), say("right"), say(""), reference=reference), [1 / 3, 0])


def test_pool_promotes_what_is_inconsistent_and_retires_what_is_mastered():
    """After 4 observations of 1 and 0: chances (0.1 + 0) and (0.1 + 1) of 1.2, and the first one is retired."""
    pool = OperationPool(["mirror", "negation"], min_seen=4, floor=0.1)
    assert pool.chances() == {"mirror": 0.5, "negation": 0.5}
    for _ in range(3):
        pool.observe("mirror", 1.0)
        pool.observe("negation", 0.0)
    assert pool.chances() == pytest.approx({"mirror": 0.1 / 1.2, "negation": 1.1 / 1.2})
    pool.observe("mirror", 1.0)
    assert pool.active == ["negation"]
    assert {pool.draw(np.random.default_rng(k)) for k in range(20)} == {"negation"}
    for _ in range(200):
        pool.observe("negation", 1.0)
    assert pool.active == ["mirror", "negation"]


def test_pool_forgets_slowly():
    """0, then 1 with decay 0.75: 0.25; then 0: 0.1875."""
    pool = OperationPool(["a"], decay=0.75)
    found = []
    for seen in (0.0, 1.0, 0.0):
        pool.observe("a", seen)
        found.append(pool.consistency["a"])
    assert found == [0, 0.25, 0.1875]


def test_pool_draws_by_chance_and_can_be_repeated():
    pool = OperationPool(["a", "b"], floor=0.25)
    pool.observe("a", 1.0)  # chances 0.25 and 1.25 of 1.5
    drawn = [pool.draw(np.random.default_rng(seed)) for seed in range(600)]
    assert drawn == [pool.draw(np.random.default_rng(seed)) for seed in range(600)]
    assert 600 / 6 - 40 < drawn.count("a") < 600 / 6 + 40


def test_pool_continues_where_it_was():
    pool = OperationPool(["a", "b"])
    pool.observe("a", 0.5)
    again = OperationPool(["b", "a", "c"])
    again.load_state_dict(pool.state_dict())
    assert again.consistency == {"a": 0.5, "b": 0, "c": 0}
    assert again.num_seen == {"a": 1, "b": 0, "c": 0}


def test_pools_that_make_no_sense():
    for build in (
        lambda: OperationPool([]), lambda: OperationPool(["a", "a"]), lambda: OperationPool(["a"], decay=1),
        lambda: OperationPool(["a"], floor=0), lambda: OperationPool(["a"], min_seen=0),
    ):  # fmt: skip
        with pytest.raises(ConfigError):
            build()


# -- views ---------------------------------------------------------------------------------------------------------


def test_view_consistency():
    """To the left becomes to the right; a right and consistent answer counts, a wrong one only if that is not asked."""
    reference = Reference(answer="to the left", counterfactuals=(say("To the right."), say("to the left")))
    completions = [say("To the left"), say("to the right"), say("nowhere"), ""]
    assert totals(ViewConsistencyReward(), *completions, reference=reference) == [0.5, 0, 0, 0]
    assert totals(ViewConsistencyReward(require_right=False), *completions, reference=reference) == [0.5, 0.5, 0, 0]
    without = Reference(counterfactuals=reference.counterfactuals)
    assert totals(ViewConsistencyReward(), *completions, reference=without) == [0.5, 0.5, 0, 0]
    with pytest.raises(ConfigError, match="all be different"):
        ViewConsistencyReward((("left", "right"), ("right", "up")))


# -- a function of one's own ---------------------------------------------------------------------------------------


def brevity(completion, question):
    """Worth less the longer it is; not applicable to nothing."""
    return 1 / len(completion) if completion and question is not None else None


def test_a_plain_function():
    reward = FunctionReward(brevity)
    output = reward(["ab", ""], [make_question("A" * 3)] * 2)
    assert reward.name == "brevity"
    assert_close(output.total, [0.5, float("nan")])
    assert output.success.tolist() == [True, False]
    assert FunctionReward(brevity, "short", 0.6)(["ab", "a"], [make_question("AAA")] * 2).success.tolist() == [
        False,
        True,
    ]


def test_configuration_names_a_function_and_rewards_by_task():
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--reward", type=Reward)
    own = {"class_path": "remot.rewards.FunctionReward", "init_args": {"function": "tests.rewards.test_groups.brevity"}}
    exact = {"class_path": "remot.rewards.ExactAnswerReward", "init_args": {"comparison": "exact"}}
    tree = {"class_path": "remot.rewards.PerTaskReward", "init_args": {"tasks": {"any": own, "other": exact}}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reward = parser.instantiate_classes(parser.parse_object({"reward": tree})).reward
    assert totals(reward, "ab") == [0.5]
    assert reward.tasks["other"].comparison == "exact"


def test_a_question_with_letters_is_a_reference_too():
    """A question without a reference is compared by its letters, and its way of asking is its task."""
    asked = make_question("CAB")
    assert ExactAnswerReward("exact")([say("CAB"), say("CAA")], [asked] * 2).total.tolist() == [1, 0]
    per_task = r.PerTaskReward({"multiple_choice": ExactAnswerReward("exact")})
    assert per_task([say("CAB")], [asked]).total.tolist() == [1]


@pytest.mark.parametrize(
    "build",
    [
        lambda: r.TaggedFormatReward(()),
        lambda: r.TaggedFormatReward(("a b",)),
        lambda: r.TaggedFormatReward(content="poems"),
        lambda: ExactAnswerReward("nearly"),
        lambda: r.NumberReward("roughly"),
        lambda: r.TextOverlapReward("feeling"),
        lambda: r.TemporalIoUReward(form="circle"),
        lambda: r.TemporalIoUReward("song"),
        lambda: r.LocalisationReward("all"),
        lambda: r.LocalisationReward(sigma=0),
        lambda: r.SceneGraphReward(extent=0),
        lambda: r.SceneGraphReward(edges="guessed"),
        lambda: r.TemporalRLTReward("else"),
        lambda: LengthBonusReward(ExactAnswerReward(), 5, 4),
        lambda: LengthBonusReward(ExactAnswerReward(), unit="pages"),
        lambda: r.CosineLengthReward(ExactAnswerReward(), 0),
        lambda: r.RepetitionReward(0),
        lambda: r.RepetitionReward(penalty=-1),
    ],
)
def test_impossible_settings_are_refused(build):
    with pytest.raises(ConfigError):
        build()
