import math
import time
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remot.answers import parse_response
from remot.evaluation import judge
from remot.motion import CONSISTENT_TRIPLES, PAIRS
from remot.rewards import (
    AccuracyReward,
    FormatReward,
    LogicReward,
    exact_match,
    format_ok,
    logic_score,
    official_partial,
    option_of,
    partial_accuracy,
    predicted_codes,
)
from remot.rewards.functional import all_right, answers_of, is_right, share_right
from remot.rewards.functional.letters import share_of_directions
from remot.structures import MotionLabel, Question, Slot
from tests.helpers import hostile_text, join_questions, make_question, make_slot, respond

LETTER = {1: "A", -1: "B", 0: "C"}


@pytest.mark.parametrize(
    ("prediction", "gold", "strict", "official"),
    [
        ("ABB", "ABB", 1, 1),
        ("ABA", "ABB", 2 / 3, 2 / 3),
        ("BAA", "ABB", 0, 0),
        ("ABBC", "ABB", 0, 1),  # the public code's zip stops at the shorter text
        ("AB", "ABB", 0, 2 / 3),
        ("TRUE", "T", 0, 1),
        ("", "ABB", 0, 0),
        ("A", "", 0, 0),
        ("", "", 0, 0),
    ],
)
def test_partial_accuracy_by_hand(prediction, gold, strict, official):
    assert partial_accuracy(prediction, gold) == strict
    assert official_partial(prediction, gold) == partial_accuracy(prediction, gold, strict_length=False) == official


def test_exact_match_needs_the_whole_answer():
    assert exact_match("ABB", "ABB")
    assert not exact_match("ABB ", "ABB")
    assert not exact_match("AB", "ABB")
    assert not exact_match("", "")


def test_options_are_lettered_in_order():
    slot = make_slot("A", (1, 2), options=("left", "none"))
    assert [option_of(letter, slot) for letter in ("A", "B", "C", "a", "", "AB")] == ["left", "none"] + [None] * 4


@pytest.mark.parametrize(
    ("completion", "ok"),
    [
        (respond("ABC"), True),
        (respond("abc"), True),  # the contract upper-cases
        (respond("ABD"), False),  # no option D
        (respond("AB"), False),
        (respond("ABCA"), False),
        (respond("A B C"), False),
        (respond(""), False),
        ("<answer>ABC</answer>", False),
    ],
)
def test_format_by_hand(completion, ok):
    assert format_ok(parse_response(completion), make_question()) is ok


@pytest.mark.parametrize(
    ("completion", "ok"),
    [
        ("<answer>ABC</answer>", True),
        ("<answer>abc</answer>", True),
        ("<answer>ABD</answer>", False),
        ("<answer>AB</answer>", False),
        ("It is <answer>ABC</answer>", False),
        (respond("ABC"), False),  # reasoning was not asked for
    ],
)
def test_format_where_the_answer_alone_is_asked_for(completion, ok):
    question = replace(make_question(), thinks=False)
    assert format_ok(parse_response(completion), question) is ok
    assert judge(completion, question).format == float(ok)


def test_format_looks_at_each_slots_own_options():
    question = join_questions(make_question("A", pairs=((1, 2),)), make_question("A", pairs=((1, 3),)))
    narrow = type(question)("q", "?", (question.slots[0], make_slot("A", (1, 3), options=("up", "down"))), "d", "s")
    assert format_ok(parse_response(respond("CB")), narrow)
    assert not format_ok(parse_response(respond("BC")), narrow)


@pytest.mark.parametrize("signs", product((-1, 0, 1), repeat=3))
def test_logic_of_one_group_is_whether_the_order_exists(signs):
    prediction = "".join(LETTER[sign] for sign in signs)
    assert logic_score(prediction, make_question()) == (1 if signs in CONSISTENT_TRIPLES else -1)


def test_logic_does_not_depend_on_the_order_of_options_or_slots():
    """Shuffled slots (2,3), (1,2), (1,3) and shuffled options: 1→2 right, 1→3 left, so 2→3 must be left."""
    slots = (
        make_slot("A", (2, 3), options=("left", "none", "right")),
        make_slot("C", (1, 2), options=("none", "left", "right")),
        make_slot("B", (1, 3), options=("right", "left", "none")),
    )
    question = type(make_question())("q", "?", slots, "d", "s")
    assert predicted_codes("ACB", question) == {("camera_yaw", ""): (1, -1, -1)}
    assert logic_score("ACB", question) == 1
    assert logic_score("CCB", question) == -1  # 2→3 right


def test_logic_is_the_mean_over_attributes_and_subjects():
    """Left arm +,−,− is possible (+1); right arm +,−,+ is not (−1); camera none,none,none is (+1): mean 1/3."""
    left, right = (
        make_question(attribute="gripper", subject="left"),
        make_question(attribute="gripper", subject="right"),
    )
    question = join_questions(left, right, make_question())
    assert logic_score("ABB" + "ABA" + "CCC", question) == pytest.approx(1 / 3)
    assert len(predicted_codes("ABBABACCC", question)) == 3


@pytest.mark.parametrize("prediction", ["", "AB", "ABBB", "ABD", "A?B", "abb", " ABB"])
def test_logic_is_silent_about_missing_or_invalid_letters(prediction):
    assert logic_score(prediction, make_question()) == 0


@pytest.mark.parametrize("pairs", [((1, 2),), ((1, 2), (1, 3)), ((1, 2), (1, 3), (1, 3)), ((1, 2), (1, 3), (3, 2))])
def test_logic_needs_exactly_the_three_pairs(pairs):
    question = make_question("A" * len(pairs), pairs=pairs)
    assert logic_score("A" * len(pairs), question) == 0
    assert set(predicted_codes("A" * len(pairs), question).values()) == {()}


def test_logic_of_values_it_does_not_know_is_zero():
    slots = tuple(make_slot("A", pair, options=("sideways", "right", "left")) for pair in ((1, 2), (1, 3), (2, 3)))
    question = type(make_question())("q", "?", slots, "d", "s")
    assert logic_score("AAA", question) == 0
    assert logic_score("BBB", question) == 1


def test_logic_of_a_prompt_without_slots_is_zero():
    assert logic_score("", join_questions()) == logic_score("ABB", join_questions()) == 0


@given(prediction=st.one_of(hostile_text, st.text(alphabet="ABCD", max_size=7)))
@settings(deadline=None, database=None, derandomize=True, max_examples=300)
def test_scores_survive_any_prediction_and_stay_in_range(prediction):
    question = join_questions(make_question("ABB"), make_question("CAA", "gripper", "left"))
    strict, official = (f(prediction, question.solution) for f in (partial_accuracy, official_partial))
    assert 0 <= strict <= official <= 1
    assert -1 <= logic_score(prediction, question) <= 1
    assert exact_match(prediction, question.solution) == (strict == 1)


# -- numbers -----------------------------------------------------------------------------------------------------------


def numbers(*golds, tolerance=5.0):
    """A question for as many numbers, each right within 5 degrees."""
    slots = tuple(
        Slot(MotionLabel(pair, "camera_yaw", "right", abs(float(gold)), "degrees"), (), gold, "", tolerance)
        for pair, gold in zip(PAIRS, golds, strict=False)
    )
    return Question("q", "?", slots, "test", "s", format="fill_in")


def claims(solution="TFT"):
    slots = tuple(
        Slot(MotionLabel(pair, "camera_yaw", "right", 20.0, "degrees"), ("true", "false"), gold, "TF")
        for pair, gold in zip(PAIRS, solution, strict=False)
    )
    return Question("q", "?", slots, "test", "s", format="true_false")


@pytest.mark.parametrize(
    ("prediction", "share", "official"),
    [
        ("20, 0, -30", 1, 1),
        ("20,0,-30", 1, 1),
        ("25 DEGREES, -5, -25", 1, 1),  # at the edge of 5
        ("25.1, -5, -25", 2 / 3, 2 / 3),
        ("-20, 0, 30", 1 / 3, 1 / 3),
        ("20, 0", 0, 2 / 3),
        ("20, 0, -30, 7", 0, 1),
        ("20, 0, -30,", 0, 1),
        ("20; 0; -30", 0, 0),
        (",,", 0, 0),
        ("", 0, 0),
        ("ABC", 0, 0),
        ("1e1, NaN, inf", 0, 0),
    ],
)
def test_numbers_by_hand(prediction, share, official):
    question = numbers("20", "0", "-30")
    assert share_right(prediction, question) == pytest.approx(share)
    assert share_right(prediction, question, strict_length=False) == pytest.approx(official)
    assert all_right(prediction, question) == (share == 1)


def test_tolerances_are_not_spoilt_by_rounding():
    """0.8 - 0.7 is a hair more than 0.1 in binary."""
    slot = numbers("0.70", tolerance=0.1).slots[0]
    assert abs(0.8 - 0.7) > 0.1
    assert is_right("0.8", slot)
    assert not is_right("0.8001", slot)


@pytest.mark.parametrize(
    ("completion", "ok"),
    [
        (respond("20, 0, -30"), True),
        (respond("999999, .5, 3 degrees"), True),  # wrong, but well formed
        (respond("20, 0"), False),
        (respond("20, 0, -30, 1"), False),
        (respond("20, 0, x"), False),
        (respond("ABC"), False),
        (respond(""), False),
        ("20, 0, -30", False),
    ],
)
def test_format_of_numbers(completion, ok):
    assert format_ok(parse_response(completion), numbers("20", "0", "-30")) is ok


def test_a_single_number():
    assert all_right("20", numbers("20"))
    assert not all_right("20, 20", numbers("20"))
    assert share_right("20, 20", numbers("20"), strict_length=False) == 1


def test_no_more_answers_are_read_than_asked_and_one():
    """What follows the last answer is one rest, however much there is of it."""
    assert answers_of("1, 2, 3, 4, 5", numbers("1", "2", "3")) == ["1", " 2", " 3", " 4, 5"]
    assert answers_of("", numbers("1")) == []
    assert answers_of("TFX", claims()) == ["T", "F", "X"]


def test_rewards_of_numbers_and_claims():
    for question, right, half in (
        (numbers("20", "0", "-30"), "20, 0, -30", "20, 0, 30"),
        (claims(), "TFT", "TFF"),
    ):
        accuracy = AccuracyReward()
        assert accuracy.score(parse_response(respond(right)), question)["accuracy"] == 1
        assert accuracy.score(parse_response(respond(half)), question)["accuracy"] == pytest.approx(1 / 3)
        assert FormatReward().score(parse_response(respond(right)), question)["format"] == 1
        assert LogicReward().score(parse_response(respond(right)), question)["logic"] == 0


@pytest.mark.parametrize(
    ("letters", "ok"), [("TFT", True), ("tft", True), ("TFA", False), ("TF", False), ("TRUE", False), ("T,F,T", False)]
)
def test_format_of_claims(letters, ok):
    assert format_ok(parse_response(respond(letters)), claims()) is ok


def test_undetermined_answers_have_no_logic():
    """Claims, numbers and a comparison do not say a value of each pair: judged they have none, and letters do."""
    options = ("1 to 3", "1 to 2", "2 to 3")
    slot = Slot(make_slot("A", (1, 3)).label, options, "A")
    comparison = Question("q", "?", (slot,), "d", "s", format="comparative")
    for question, answer in ((claims(), "TFT"), (numbers("20", "0", "-30"), "20, 0, -30"), (comparison, "A")):
        assert predicted_codes(answer, question) == {("camera_yaw", ""): ()}
        judged = judge(respond(answer), question)
        assert judged.logic != judged.logic
        assert (judged.partial, judged.overall, judged.format) == (1, 1, 1)
    assert judge(respond("ABB"), make_question()).logic == 1
    assert judge(respond("ZZZ"), make_question()).logic == 0


def test_two_answers_that_occur_have_logic_too():
    """A data set without rest offers right and left only; right, left, right cannot be."""
    slots = tuple(make_slot("A", pair, options=("right", "left")) for pair in PAIRS)
    question = Question("q", "?", slots, "d", "s")
    assert logic_score("ABA", question) == -1
    assert logic_score("AAB", question) == 1


@given(prediction=st.one_of(hostile_text, st.text(alphabet="0123456789.,-+e TF", max_size=30)))
@settings(deadline=None, database=None, derandomize=True, max_examples=300)
def test_numbers_and_claims_survive_any_prediction(prediction):
    for question in (numbers("20", "0", "-30"), claims()):
        strict, official = share_right(prediction, question), share_right(prediction, question, strict_length=False)
        assert 0 <= strict <= official <= 1
        assert all_right(prediction, question) == (strict == 1)
        judged = judge(prediction, question)
        assert 0 <= judged.partial <= 1
        assert judged.logic != judged.logic
        assert math.isnan(share_of_directions(prediction, question))  # neither names a motion


@given(prediction=hostile_text)
@settings(deadline=None, database=None, derandomize=True, max_examples=300)
def test_directions_survive_any_prediction(prediction):
    share = share_of_directions(prediction, make_question("ACB"))
    assert math.isnan(share) or 0 <= share <= 1


def test_a_long_prediction_takes_no_time():
    started = time.perf_counter()
    for piece in ("1,", ",", "9", "T"):
        judge(respond(piece * 100_000), numbers("20", "0", "-30"))
    assert time.perf_counter() - started < 2
