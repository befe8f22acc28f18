"""Rewards as TRL's GRPOTrainer calls them; it is not needed here."""

import json

import pytest

from remot.errors import AnnotationError
from remot.rewards import (
    AnswerReward,
    CompositeReward,
    ConcisenessReward,
    FormatReward,
    LogicReward,
    PerTaskReward,
    SoftOverlongReward,
    trl_reward,
)

LABELS = [
    {"pair": pair, "attribute": "camera_yaw", "value": value, "magnitude": 9.0, "unit": "degrees", "subject": ""}
    for pair, value in (([1, 2], "left"), ([1, 3], "right"), ([2, 3], "right"))
]
OPTIONS = ["left", "right", "none"]
SLOTS = [
    {"pair": label["pair"], "options": OPTIONS, "gold": "ABC"[OPTIONS.index(label["value"])], "letters": "ABC"}
    for label in LABELS
]
#: As Arrow gives it: each row has the keys of all rows.
REMOT = {
    "task": "motion_contrast",
    "format": "multiple_choice",
    "labels": LABELS,
    "slots": [slot | {"tolerance": None} for slot in SLOTS],
    "reference": {"answer": None, "boxes": None},
}


def said(*texts):
    return [[{"role": "assistant", "content": text}] for text in texts]


def test_a_built_line():
    """ABB is right. BBB turns right from 1 to 2, 1 to 3 and 2 to 3, which can be; ABA cannot, as A then A is A."""
    function = trl_reward(LogicReward())
    texts = ["<answer>ABB</answer>", "<answer>BBB</answer>", "<answer>ABA</answer>"]
    found = function(prompts=[None] * 3, completions=said(*texts), completion_ids=[[1]] * 3, remot=[REMOT] * 3)
    assert (function.__name__, found) == ("logic", [1, 1, -1])


def test_a_line_that_asks_for_the_answer_alone():
    """By its own column, and by that of a reference; without either reasoning is asked for."""
    texts = said("<answer>ABB</answer>", "<think>x</think><answer>ABB</answer>")
    function = trl_reward(FormatReward())
    assert function(texts, remot=[REMOT | {"thinks": False}] * 2) == [1, 0]
    assert function(texts, remot=[REMOT | {"thinks": None}] * 2) == function(texts, remot=[REMOT] * 2) == [0, 1]
    slots = [slot | {"attribute": "camera_yaw"} for slot in SLOTS]
    assert function(texts, reference=[json.dumps({"slots": slots, "thinks": False})] * 2) == [1, 0]
    with pytest.raises(AnnotationError, match="thinks must be true or false"):
        function(texts, reference=[json.dumps({"slots": slots, "thinks": "no"})] * 2)


def test_a_reference_as_text():
    references = [{"number": 10.0, "answer_type": "number"}, {"answer": "red ball", "answer_type": "text"}]
    columns = {"reference": [json.dumps(one) for one in references], "solution": ["", ""]}
    parts = [[{"type": "text", "text": "<answer>a red"}, {"type": "text", "text": " ball</answer>"}]]
    completions = [*said("<answer>9</answer>"), [{"role": "assistant", "content": parts[0]}]]
    assert trl_reward(AnswerReward())(completions, **columns) == pytest.approx([0.9, 1.0])


def test_letters_alone_and_what_is_not_applicable():
    columns = {"solution": ["<answer>AB</answer>"], "task": ["side"], "trainer_state": object()}
    reward = PerTaskReward({"side": AnswerReward()})
    assert trl_reward(reward)(["<answer>AB</answer>"], **columns) == [None]  # no type of answer
    exact = CompositeReward([LogicReward(), ConcisenessReward(10, scale=10)], [1.0, 0.0])
    assert trl_reward(exact)(["<answer>AB</answer>"], **columns) == [0]


def test_lengths_in_tokens():
    """No penalty up to 4 of 6 tokens, then linear to -1 at 6."""
    function = trl_reward(SoftOverlongReward(6, 2))
    ids = [[0] * count for count in (4, 5, 6)]
    found = function(["x"] * 3, completion_ids=ids, solution=["A"] * 3)
    assert found == pytest.approx([0, -0.5, -1])


def test_without_a_column_that_says_what_is_right():
    with pytest.raises(AnnotationError, match=r"row 1.*solution"):
        trl_reward(AnswerReward())(["x", "y"], solution=["A", ""])


@pytest.mark.parametrize(
    ("reference", "fact"), [("{", "JSON"), ('{"number": "x"}', "number"), ('{"nummer": 1}', "'number'")]
)
def test_a_reference_that_is_none(reference, fact):
    with pytest.raises(AnnotationError, match=rf"row 0.*{fact}"):
        trl_reward(AnswerReward())(["x"], reference=[reference])
