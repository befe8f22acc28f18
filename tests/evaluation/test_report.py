import json
import re

from remot.evaluation import as_metrics, comparison_record, judge, render_comparison, score_table, table_text
from remot.evaluation.report import printable
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
    assert "3 completions of 1 prompts from 2 scenes" in text
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
    assert record["sampled"]["partial"]["base"] == {"mean": 0.5, "low": None, "high": None}


def test_printable_keeps_lines_and_drops_escapes():
    assert printable("a\x1b[31m\n\tß\ud800\x07") == "a�[31m\n\tß��"
