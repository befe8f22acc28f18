"""SPAR-Bench on rows written by hand, swapped arguments and empty answers included."""

import json

import pytest

from remot.errors import AnnotationError
from remot.evaluation.benchmarks.spar_bench import HIGH, MIDDLE, NUMERIC, TASKS, SPARBench
from tests.evaluation.benchmarks.stub import prompt_of, values_of, verdicts_of


def scored(task, gold, reply):
    (one,) = verdicts_of(SPARBench(), [prompt_of("p", gold=gold, row=task)], [reply])
    return one.scores


def test_there_are_twenty_tasks():
    assert (len(NUMERIC), len(MIDDLE), len(HIGH), len(set(TASKS))) == (8, 3, 9, 20)


@pytest.mark.parametrize(
    ("task", "gold", "reply", "score"),
    [
        ("depth_prediction_oc", "2.0", "about 2.0 or 9", 1.0),
        ("depth_prediction_oc_mv", "2.0", "9 or 2.0", 1.0),
        ("depth_prediction_oc", "10", "8 m", 0.6),
        ("distance_prediction_oo", "2", "10^2 is far", 0.0),  # 10 is read; ^2 is not
        ("distance_prediction_oo", "0", "0.2", 0.6),  # the error itself; 1 - 0.8 is less than 0.2
        ("distance_prediction_oo", "2", "far", 0.0),
        ("distance_prediction_oo_mv", "2", "far", 0.0),
    ],
)
def test_numbers(task, gold, reply, score):
    assert scored(task, gold, reply)["score"] == pytest.approx(score)


@pytest.mark.parametrize(
    ("reply", "score", "strict"),
    [("B", 1, 1), ("b. left", 1, 1), ("", 1, 0), ("A", 0, 0), ("the b", 0, 0)],
)
def test_choices_of_a_letter(reply, score, strict):
    assert scored("position_matching", "B", reply) == {"score": score, "strict": strict}


def test_a_part_of_the_answer_is_right():
    assert scored("camera_motion_infer", "turn left", "left")["score"] == 1
    assert scored("camera_motion_infer", "turn left", "turn left now")["score"] == 0


def test_a_change_of_view_by_hand():
    """The error is divided by the prediction: axes .7, 1, 1, 1, 1."""
    gold = "move_right:0.8,rotate_left:30"
    assert scored("view_change_infer", gold, "move_right:1.0,rotate_left:30")["score"] == pytest.approx(0.94)
    assert scored("view_change_infer", "move_right:1.0,rotate_left:30", gold)["score"] == pytest.approx(0.92)
    assert scored("view_change_infer", "move_left:1", "move_left: 1.0")["score"] == 1
    # the second move is lost, and 30 itself is the error
    spaced = scored("view_change_infer", gold, "move_right:0.8, rotate_left:30")
    assert spaced["score"] == pytest.approx(0.8)
    for reply in ("?", "It is: move_right:0.8", "move_right", "move_right:far", ""):
        assert scored("view_change_infer", gold, reply) == {"score": 0, "strict": 0}


def test_a_reply_without_a_number_fails_for_one_view_and_is_minus_one_for_several():
    assert scored("depth_prediction_oc", "0", "far")["score"] == 0
    assert scored("depth_prediction_oc_mv", "-1", "far") == {"score": 1, "strict": 0}


def test_instructions_by_kind(tmp_path):
    tasks = {
        "depth_prediction_oc": "1",
        "position_matching": "A",
        "spatial_imagination_oo": "A",
        "view_change_infer": "move_up:1",
    }
    rows = [{"task": task, "image": ["a.png"], "question": "?", "answer": gold} for task, gold in tasks.items()]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    texts = [prompt.text.splitlines() for prompt in SPARBench().read(tmp_path)]
    assert [len(lines) for lines in texts] == [2, 3, 2, 1]
    assert "word or phrase" in texts[0][1]
    assert "0-1000" in texts[1][1]
    assert "letter" in texts[1][2]


def test_the_overall_is_a_mean_of_tasks(tmp_path):
    def row(task, answer, number):
        return {"id": number, "task": task, "image": ["a.png"], "question": "?", "answer": answer}

    rows = [
        row("depth_prediction_oc", "10", 1),
        row("position_matching", "B", 2),
        row("position_matching", "B", 3),
        row("spatial_imagination_oo", "A", 4),
    ]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    benchmark = SPARBench()
    prompts = benchmark.read(tmp_path)
    values = values_of(benchmark, verdicts_of(benchmark, prompts, ["9", "B", "A", ""]))
    assert values["overall"] == pytest.approx((0.9 + 0.5 + 1) / 3)
    assert values["overall/strict"] == pytest.approx((0.9 + 0.5 + 0) / 3)
    assert values["level/low"] == pytest.approx(0.9)
    assert (values["level/middle"], values["level/high"]) == (0.5, 1)


@pytest.mark.parametrize(
    "change", [{"task": "colour"}, {"answer": "far"}, {"image": None}, {"task": "view_change_infer", "answer": "up"}]
)
def test_malformed_rows(tmp_path, change):
    row = {"task": "depth_prediction_oc", "image": ["a.png"], "question": "?", "answer": "1"} | change
    (tmp_path / "test.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(AnnotationError, match="line 1"):
        SPARBench().read(tmp_path)
