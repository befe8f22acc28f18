import json
import re
from dataclasses import replace

import pytest

from remot.evaluation import (
    as_metrics,
    comparison_record,
    judge,
    render_comparison,
    render_scores,
    score_table,
    scores_record,
    table_text,
)
from remot.terminal import printable
from tests.evaluation.test_scores import judged
from tests.helpers import make_question


def tables():
    base = score_table([judged("a", 0.0), judged("b", 0.5), judged("b", 0.25)])
    final = score_table([judged("a", 0.5), judged("b", 1.0, overall=1.0), judged("b", 0.75)])
    return base, final


def test_metrics_are_flat_legal_and_between_zero_and_one():
    metrics = as_metrics(tables()[0], "eval/base", suffix="_greedy")
    assert metrics == {
        "eval/base/overall_greedy": 0.0,
        "eval/base/partial_greedy": 0.25,
        "eval/base/logic_greedy": 1.0,
        "eval/base/format_greedy": 1.0,
        "eval/base/attribute/camera_yaw/partial_greedy": 0.25,
    }


def test_odd_attribute_names_become_legal_keys():
    metrics = as_metrics(score_table([judged("a", 0.5, attribute="größe: x")]), "eval/base")
    assert all(re.fullmatch(r"[A-Za-z0-9_./ -]+", key) for key in metrics)
    assert len(metrics) == 5


def test_what_does_not_apply_is_no_metric():
    table = score_table([judge("", make_question("AB", pairs=((1, 2), (1, 3))))])
    assert "eval/final/logic" not in as_metrics(table, "eval/final")


def test_table_shows_means_intervals_and_change():
    text = table_text(render_comparison(*tables(), greedy=tables()))
    row = next(line for line in text.splitlines() if " partial " in line)
    assert re.search(r"0\.250 \[0\.00, 0\.38\].*0\.750 \[0\.50, 0\.88\].*\+0\.500 \[\+0\.50, \+0\.50\]", row)
    assert "partial (greedy)" in text
    assert "camera_yaw" in text
    assert "3 completions for 1 prompt from 2 scenes" in text
    assert "intervals over 2 scenes hold less than 95 %" in text
    assert "\x1b" not in text


def test_names_are_whole_on_a_narrow_terminal():
    table = score_table([judged("a", 0.5, attribute="effector_horizontal"), judged("b", 1.0, attribute="gripper")])
    text = table_text(render_comparison(table, table), width=80)
    cells = "".join(line.split("│")[1].strip() for line in text.splitlines() if line.startswith("│"))
    assert "effector_horizontal" in cells
    assert "…" not in text


def test_record_is_strict_json():
    record = json.loads(json.dumps(comparison_record(*tables(), greedy=tables()), allow_nan=False))
    assert record["sampled"]["partial"]["change"]["mean"] == 0.5
    assert record["greedy"]["overall"]["base"]["mean"] == 0
    assert record["num_scenes"] == 2


def test_one_scene_is_null_in_json():
    table = score_table([judged("a", 0.5)])
    record = comparison_record(table, table)
    assert record["sampled"]["partial"]["base"] == {"mean": 0.5, "low": None, "high": None, "num_scenes": 1}


def test_printable_keeps_lines_and_drops_escapes():
    assert printable("a\x1b[31m\n\tß\ud800\x07") == "a�[31m\n\tß��"


def scenes(count, *, cut_off=(False,)):
    """A completion of each scene, those that are cut off by turns."""
    return score_table([replace(judged(f"s{k}", k / 10), cut_off=cut_off[k % len(cut_off)]) for k in range(count)])


@pytest.mark.parametrize(
    ("count", "told", "untold"),
    [
        (1, "no intervals: 1 scene is too few", "95 % intervals"),
        (5, "intervals over 5 scenes hold less than 95 %", "no intervals"),
        (6, "95 % intervals over scenes", "less than 95 %"),
    ],
)
def test_few_scenes_are_noted_beside_scores(count, told, untold):
    """The span of S scenes holds the median with probability 1 - 2^(1 - S): 0.9375 of 5, 0.96875 of 6."""
    table = scenes(count)
    for text in (
        table_text(render_comparison(table, table)),
        table_text(render_scores(table, "test split")),
    ):
        assert told in " ".join(text.split())
        assert untold not in " ".join(text.split())
    if count < 6:
        assert told in comparison_record(table, table)["notes"][0]


def test_rows_of_few_scenes_are_noted_in_a_split_of_many():
    mixed = score_table([judged(f"s{k}", 0.5, attribute="gripper" if k < 2 else "camera_yaw") for k in range(9)])
    text = table_text(render_scores(mixed, "test split"))
    assert "rows with fewer than 6 scenes" in text
    assert re.search(r"gripper +│ 0\.500 \[0\.50, 0\.50\] +│ +2 │", text)


def test_truncated_share_is_beside_the_scores():
    """One of three completions, then none: 1/3 and 0, whose change is an improvement."""
    base, final = scenes(6, cut_off=(True, False, False)), scenes(6)
    text = table_text(render_comparison(base, final, greedy=(base, base), max_new_tokens=48))
    assert re.search(r"cut off +│ 0\.333 .*│ 0\.000 .*│ -0\.333", text)
    assert re.search(r"cut off \(greedy\) +│ 0\.333 ", text)
    assert "up to 33% of the completions were cut off; raise model.evaluation.max_new_tokens" in text
    assert "of at most 48 new tokens" in text
    assert as_metrics(base, "eval/base")["eval/base/cut_off"] == pytest.approx(1 / 3)
    record = comparison_record(base, final, max_new_tokens=48)
    assert (record["sampled"]["cut_off"]["base"]["mean"], record["max_new_tokens"]) == (pytest.approx(1 / 3), 48)


def test_no_truncated_share_where_it_is_unknown():
    assert "cut off" not in table_text(render_comparison(*tables()))
    assert "eval/base/cut_off" not in as_metrics(tables()[0], "eval/base")


def test_table_of_one_policy_has_the_rows_of_the_comparison():
    """The same numbers, so that a test can be held against the run it is of."""
    base, final = tables()
    both = table_text(render_comparison(base, final, greedy=(base, final)))
    alone = table_text(render_scores(final, "test split", greedy=final))
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in both.splitlines() if line.startswith("│")]
    wanted = [(name, trained) for name, _, trained, *_ in rows]
    told = [[cell.strip() for cell in line.split("│")[1:-1]] for line in alone.splitlines() if line.startswith("│")]
    assert [(name, score) for name, score, _ in told] == wanted
    assert scores_record(final, greedy=final)["greedy"]["partial"]["mean"] == 0.75
