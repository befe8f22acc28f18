"""Means over scenes and functions of them, with the intervals of the score tables."""

import math
from dataclasses import replace

import numpy as np
import pytest

from remot.evaluation.benchmarks.base import Combined, Mean, Metric, plain_mean
from remot.evaluation.benchmarks.estimates import measured
from remot.evaluation.scores import judge, score_table
from tests.helpers import make_question, respond

NAN = float("nan")


def value(statistic, **settings):
    (one,) = measured([Metric("m", statistic)], **settings)
    return one.estimate


def test_a_mean_leaves_out_what_does_not_apply():
    mean = Mean([("a", 1.0), ("a", 0.0), ("b", NAN), ("b", 1.0)])
    assert mean.count == 3
    assert mean.scenes == {"a", "b"}
    assert value(mean).mean == pytest.approx(2 / 3)


def test_a_mean_of_nothing_has_no_value():
    assert math.isnan(value(Mean([])).mean)
    both = measured([Metric("x", Mean([])), Metric("y", Mean([("a", 1.0)]))])
    assert math.isnan(both[0].estimate.mean)
    assert both[1].estimate.mean == 1


def test_the_plain_mean_weighs_parts_alike_and_skips_empty_ones():
    parts = [Mean([("a", 1.0)]), Mean([("a", 0.0), ("b", 0.0), ("b", 0.0)]), Mean([])]
    assert value(plain_mean(parts)).mean == 0.5  # (1 + 0) / 2, not 1/4
    assert plain_mean(parts).count == 4


def test_units_that_several_parts_are_about_count_once():
    parts = [Mean([("a", 1.0), ("a", 0.0)]), Mean([("a", 1.0)])]
    assert plain_mean(parts, same_units=True).count == 2
    assert value(plain_mean(parts, same_units=True)).mean == 0.75


def test_a_function_of_several():
    product = Combined([Mean([("a", 0.5)]), Mean([("a", 0.25)])], lambda values: values.prod(0))
    assert value(product).mean == 0.125


def test_intervals_are_those_of_score_tables():
    """The same scenes and values give the same replicates as the table of a fit."""
    answers = ["ABB", "ABC", "AAA", "ABB", "CCC", "ABB", "BBB"]
    judged = [
        judge(respond(answer), replace(make_question("ABB", prompt_id=f"p{k}"), scene_id=f"s{k % 4}"))
        for k, answer in enumerate(answers)
    ]
    table = score_table(judged)
    found = value(Mean([(one.scene_id, one.partial) for one in judged]))
    assert found == table.partial
    assert np.array_equal(found.replicates, table.partial.replicates)


def test_one_scene_gives_no_interval():
    found = value(Mean([("a", 1.0), ("a", 0.0)]))
    assert found.mean == 0.5
    assert math.isnan(found.low)
    assert found.num_scenes == 1
