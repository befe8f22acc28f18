"""Overlaps and distances: by hand, and against slow independent implementations."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remot.rewards import (
    BoxReward,
    ExactAnswerReward,
    IntervalSetReward,
    LocalisationReward,
    NumberReward,
    TemporalIoUReward,
    TemporalRLTReward,
    TrackingReward,
)
from remot.rewards.functional.boxes import box_iou, mean_overlap
from remot.rewards.functional.intervals import (
    count_agreement,
    hull_iou,
    matching_f1,
    merged,
    ordered_matching,
    paired_iou,
    set_iou,
    union_iou,
)
from remot.rewards.functional.numbers import mean_relative_accuracy, regression_score
from remot.structures import Reference
from tests.helpers import assert_close
from tests.rewards.samples import say, totals

many = settings(deadline=None, database=None, derandomize=True, max_examples=500)
whole = st.integers(0, 40)
span = st.tuples(whole, whole).map(sorted).map(tuple)
spans = st.lists(span, max_size=5)
box = st.tuples(span, span).map(lambda sides: (sides[0][0], sides[1][0], sides[0][1], sides[1][1]))


def seconds_of(intervals):
    """The unit cells that intervals with whole ends cover."""
    return {second for start, end in intervals for second in range(start, end)}


# -- stretches of time ---------------------------------------------------------------------------------------------


def test_intervals_by_hand():
    """10–20 and 15–25: 5 shared, 15 in hull and union. 0–5 and 10–20: nothing shared. 20–10 is empty."""
    assert hull_iou((10, 20), (15, 25)) == union_iou((10, 20), (15, 25)) == pytest.approx(1 / 3)
    assert hull_iou((0, 5), (10, 20)) == union_iou((0, 5), (10, 20)) == 0
    assert hull_iou((20, 10), (10, 20)) == union_iou((20, 10), (10, 20)) == 0
    assert hull_iou((5, 5), (5, 5)) == union_iou((5, 5), (5, 5)) == 0
    assert merged([(5, 7), (0, 2), (2, 3), (6, 6), (9, 8)]) == [(0, 3), (5, 7)]
    assert set_iou([(0, 10), (5, 15)], [(10, 20)]) == pytest.approx(5 / 20)
    assert set_iou([], []) == set_iou([(3, 3)], []) == 1
    assert set_iou([], [(1, 2)]) == 0


@given(first=span, second=span)
@many
def test_one_stretch_counts_cells(first, second):
    a, b = seconds_of([first]), seconds_of([second])
    expected = len(a & b) / len(a | b) if a | b else 0.0
    assert union_iou(first, second) == pytest.approx(expected)
    if a & b:
        assert hull_iou(first, second) == pytest.approx(expected)
    else:
        assert hull_iou(first, second) == 0


@given(first=spans, second=spans)
@many
def test_sets_of_stretches_count_cells(first, second):
    a, b = seconds_of(first), seconds_of(second)
    expected = len(a & b) / len(a | b) if a | b else 1.0
    assert set_iou(first, second) == pytest.approx(expected)
    assert set_iou(second, first) == pytest.approx(expected)


@given(first=spans, second=spans)
@many
def test_matching_is_the_best_of_all_order_preserving_ones(first, second):
    best = max(
        sum(union_iou(first[i], second[j]) for i, j in zip(left, right, strict=True))
        for size in range(min(len(first), len(second)) + 1)
        for left in itertools.combinations(range(len(first)), size)
        for right in itertools.combinations(range(len(second)), size)
    )
    assert ordered_matching(first, second) == pytest.approx(best)
    assert ordered_matching(second, first) == pytest.approx(best)
    assert 0 <= matching_f1(first, second) <= 1 + 1e-12


def test_tempr1_by_hand():
    """Predicted 0–10, 20–30, 50–60; right 0–10, 22–30. IoU 1 and 8/10: total 1.8, P = 0.6, R = 0.9, F = 0.72.

    One too many of two: exp(−1 / (2·1)) with σ = 1, exp(−1 / 4) with σ = 2. With 5 right ones the 3 bounds it.
    """
    predicted, gold = [(0, 10), (20, 30), (50, 60)], [(0, 10), (22, 30)]
    assert ordered_matching(predicted, gold) == pytest.approx(1.8)
    assert matching_f1(predicted, gold) == pytest.approx(2 * 0.6 * 0.9 / 1.5)
    assert count_agreement(3, 2) == pytest.approx(math.exp(-0.5))
    assert count_agreement(3, 2, sigma=2) == pytest.approx(math.exp(-0.25))
    assert count_agreement(4, 5) == pytest.approx(math.exp(-1 / 3))
    assert count_agreement(5, 5) == 1
    assert paired_iou(predicted, gold) == pytest.approx((1 + 0.8 + 0) / 3)
    assert paired_iou(gold, predicted) == paired_iou(predicted, gold)
    assert paired_iou([], []) == 1
    answer = say("[(0, 10), (20, 30), (50, 60)]")
    reference = Reference(intervals=((0, 10), (22, 30)))
    output = LocalisationReward("matching")([answer], [type("Q", (), {"reference": reference})()])
    assert_close(output.total, [0.72 + math.exp(-0.5)])
    assert_close(output.parts["overlap"], [0.72])
    assert_close(output.parts["count"], [math.exp(-0.5)])
    assert output.success.tolist() == [True]


def test_tempr1_swapped_order_does_not_match():
    """Right 0–10 then 20–30, told the other way round: only one of the pairs can count, P = R = F = 1/2."""
    assert matching_f1([(20, 30), (0, 10)], [(0, 10), (20, 30)]) == pytest.approx(0.5)
    assert matching_f1([], []) == 1
    assert matching_f1([], [(1, 2)]) == matching_f1([(1, 2)], []) == matching_f1([(1, 2)], [(3, 4)]) == 0


def test_unreadable_localisation_is_worth_nothing():
    reference = Reference(intervals=((0, 10),))
    assert totals(LocalisationReward("matching"), say("none"), "", reference=reference) == [0, 0]
    # An empty list is an answer: exp(−1 / 1) for the number, nothing for the overlap.
    assert_close(totals(LocalisationReward("matching"), say("[]"), reference=reference), [math.exp(-1)])


# -- boxes ---------------------------------------------------------------------------------------------------------


def cells_of(one):
    left, top, right, bottom = one
    return {(x, y) for x in range(left, right) for y in range(top, bottom)}


@given(first=box, second=box)
@many
def test_boxes_count_cells(first, second):
    a, b = cells_of(first), cells_of(second)
    expected = len(a & b) / len(a | b) if a | b else 0.0
    assert box_iou(first, second) == box_iou(second, first) == pytest.approx(expected)


def test_boxes_by_hand():
    """2×2 boxes that share a 1×1 corner: 1 / 7. A box with its sides swapped is empty."""
    assert box_iou((0, 0, 2, 2), (1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert box_iou((2, 2, 0, 0), (0, 0, 2, 2)) == 0
    assert box_iou((0, 0, 1e308, 1e308), (0, 0, 1, 1)) == box_iou((-1e308, 0, 1e308, 0), (0, 0, 1, 1)) == 0
    assert mean_overlap([(0, 0, 2, 2), (0, 0, 1, 1)], [(1, 1, 3, 3), (0, 0, 1, 1)]) == pytest.approx(4 / 7)
    assert mean_overlap([(0, 0, 1, 1)], []) == mean_overlap([], []) == 0


def test_tracking_needs_exactly_eight():
    boxes = [[0, 0, 1, 1]] * 8
    reference = Reference(boxes=((0.0, 0.0, 1.0, 0.5),) * 8)
    found = totals(
        TrackingReward(8), say(str(boxes)), say(str(boxes[:7])), say(str([*boxes, boxes[0]])), reference=reference
    )
    assert found == [0.5, 0, 0]
    assert totals(TrackingReward(), say(str(boxes)), reference=reference) == [0.5]
    assert totals(TrackingReward(), say(str(boxes)), reference=Reference(boxes=((0, 0, 1, 1),))) == [0]


def test_box_in_an_element():
    reference = Reference(boxes=((1.0, 1.0, 3.0, 3.0),))
    assert_close(
        totals(BoxReward("glue"), "<glue>[0, 0, 2, 2]</glue>", "<glue>x</glue>", reference=reference), [1 / 7, 0]
    )


# -- numbers -------------------------------------------------------------------------------------------------------


def published_mra(predicted, gold):
    """With the sampling points of VSI-Bench's code."""
    points = np.linspace(0.5, 0.95, int((0.95 - 0.5) / 0.05 + 2))
    return float((abs(predicted - gold) / gold <= 1 - points).mean())


def test_mra_by_hand():
    """Off by 8 %: 1 − θ of 0.5 to 0.1 hold, 0.05 does not: 9 of 10. Off by 50 %: 1 of 10. By 51 %: none."""
    assert mean_relative_accuracy(10.8, 10) == mean_relative_accuracy(9.2, 10) == 0.9
    assert mean_relative_accuracy(15, 10) == 0.1
    assert mean_relative_accuracy(15.1, 10) == 0
    assert mean_relative_accuracy(10, 10) == 1
    assert mean_relative_accuracy(-10.8, -10) == 0.9
    assert (mean_relative_accuracy(0, 0), mean_relative_accuracy(0.2, 0), mean_relative_accuracy(1, 0)) == (1, 0.7, 0)


@given(predicted=st.floats(0, 50), gold=st.floats(0.1, 20))
@many
def test_mra_is_the_published_one(predicted, gold):
    error = abs(predicted - gold) / gold
    near_a_step = min(abs(error - step / 20) for step in range(1, 11)) < 1e-6
    assert near_a_step or mean_relative_accuracy(predicted, gold) == pytest.approx(published_mra(predicted, gold))


@given(gold=st.floats(0.1, 20), near=st.floats(0, 1), further=st.floats(0, 1))
@many
def test_nearer_is_never_worth_less(gold, near, further):
    near, further = sorted((near, near + further))
    assert mean_relative_accuracy(gold + near, gold) >= mean_relative_accuracy(gold + further, gold)
    assert regression_score(gold + near, gold) >= regression_score(gold + further, gold) - 1e-12


def test_regression_by_hand():
    """|3 − 4| / 4 = 0.25; twice as much is worth nothing; 0 for 0 has error 1e-9 / 1e-9."""
    assert regression_score(3, 4) == pytest.approx(0.75)
    assert regression_score(8, 4) == pytest.approx(0, abs=1e-9)
    assert regression_score(0, 0) == 0
    assert regression_score(-1e308, 1e308) == regression_score(float("inf"), 1) == 0


def test_numbers_in_answers():
    reference = Reference(number=10.0)
    found = totals(NumberReward(), say("about 10.8"), say("none"), say(""), "10", reference=reference)
    assert_close(found, [0.9, 0, 0, 0])
    assert_close(totals(NumberReward("regression"), say("9"), say("9 m"), reference=reference), [0.9, 0], rtol=1e-5)
    output = NumberReward(success_at=0.9)([say("10.8"), say("11.2")], [type("Q", (), {"reference": reference})()] * 2)
    assert output.success.tolist() == [True, False]


# -- answers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("comparison", "answer", "gold", "worth"),
    [
        ("exact", " B ", "B", 1), ("exact", "b", "B", 0), ("exact", "B.", "B", 0), ("exact", "", "", 0),
        ("case_insensitive", "High  Quality.", "high quality", 1), ("case_insensitive", "high", "low", 0),
        ("letter", "The answer is B", "B", 1), ("letter", "The best answer is: (C) up", "C", 1),
        ("letter", "b", "B", 0),
                ("letter", "Best option: B", "B", 1),
        ("letter", "Green", "G", 1), ("letter", "H", "H", 0), ("letter", "", "", 0),
    ],
)  # fmt: skip
def test_answers(comparison, answer, gold, worth):
    assert totals(ExactAnswerReward(comparison), say(answer), reference=Reference(answer=gold)) == [worth]


def test_the_first_answer_counts():
    reward = ExactAnswerReward("letter")
    assert totals(reward, "<answer>B</answer><answer>C</answer>", reference=Reference(answer="B")) == [1]
    assert totals(reward, "<answer>C</answer><answer>B</answer>", "B", reference=Reference(answer="B")) == [0, 0]


def test_temporal_iou_reads_the_last_answer():
    reference = Reference(intervals=((5.0, 10.0),))
    reward = TemporalIoUReward(success_at=0.7)
    completions = ["<answer>5 to 10</answer><answer>9 to 10</answer>", "<answer>6 to 10</answer>", say("")]
    assert_close(totals(reward, *completions, reference=reference), [0.2, 0.8, 0])
    output = reward(completions, [type("Q", (), {"reference": reference})()] * 3)
    assert output.success.tolist() == [False, True, False]


def test_glue():
    reference = Reference(intervals=((0.0, 10.0),))
    completions = ["<glue>[(5, 10), (5, 10), (20, 25)]</glue>", "<glue>[]</glue>", "<glue>[(5, 4)]</glue>", ""]
    assert_close(totals(IntervalSetReward(), *completions, reference=reference), [1 / 3, 0, 0, 0])
    assert totals(IntervalSetReward(2), completions[0], reference=reference) == [0]


def test_temporal_rlt():
    """0.5·IoU + 0.5·format; 5–10 of 5–15 is 0.5; the letter and the stretch are averaged."""
    span = '{"start_time": "5", "end_time": "10"}'
    reference = Reference(answer="B", intervals=((5.0, 15.0),))
    continuous = totals(TemporalRLTReward(), say(span), f"<answer>{span}</answer>", say("5 to 10"), reference=reference)
    assert_close(continuous, [0.75, 0.25, 0])
    discrete = totals(TemporalRLTReward("discrete"), say("B"), say("C"), "<answer>B</answer>", reference=reference)
    assert discrete == [1, 0.5, 0.5]
    both = say("B", more=f"<glue>{span}</glue>")
    assert_close(totals(TemporalRLTReward("grounded"), both, say("B"), reference=reference), [0.5 * 0.75 + 0.5, 0.25])
    only_interval = Reference(intervals=((5.0, 15.0),))
    assert np.isnan(totals(TemporalRLTReward("grounded"), both, reference=only_interval)).all()


def test_temporal_rlt_succeeds_by_accuracy_alone():
    """Wrong in the right form has the total 0.5, more than 0.3 for an IoU of 0.6 without the form."""
    far, near = '{"start_time": "20", "end_time": "30"}', '{"start_time": "0", "end_time": "6"}'
    question = type("Q", (), {"reference": Reference(intervals=((0.0, 10.0),))})()
    output = TemporalRLTReward()([say(far), f"<answer>{near}</answer>", say(near)], [question] * 3)
    assert_close(output.total, [0.5, 0.3, 0.8])
    assert output.success.tolist() == [False, True, True]
    assert TemporalRLTReward(success_at=0.7)([say(near)], [question]).success.tolist() == [False]
