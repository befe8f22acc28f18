"""Answers to tasks are scored by the reward of their task, beside the letters' scores and apart from them."""

import math
from dataclasses import asdict, replace

import pytest

from remot.errors import ConfigError
from remot.evaluation.benchmark import BenchmarkScores
from remot.evaluation.report import as_metrics, comparison_record, render_comparison, table_text
from remot.evaluation.scores import JudgedCompletion, judge, score_table
from remot.evaluation.task_scores import with_rewards
from remot.evaluation.viewer import SampleRecord, completions_html
from remot.rewards import CompositeReward, ExactAnswerReward, PerTaskReward, TaggedFormatReward, TemporalIoUReward
from remot.strategies.grpo.metrics import reward_metrics
from remot.structures import Question, Reference
from tests.helpers import assert_close, make_question, respond

REWARD = PerTaskReward(
    {
        "grounding": CompositeReward([TaggedFormatReward(), TemporalIoUReward()], [1.0, 2.0]),
        "choice": ExactAnswerReward(),
    }
)
TARGET = "<think>so</think><answer>10.00 to 20.00</answer>"


def question(task="grounding", scene="s", **more):
    reference = Reference(intervals=((10, 20),), answer="B")
    return Question(f"{task}-{scene}", "?", (), "d", scene, target=TARGET, task=task, reference=reference, **more)


def judged_of(rows, reward=REWARD):
    """Rows of (question, its completions), all with as many."""
    flat = [judge(text, one, num_tokens=3) for one, texts in rows for text in texts]
    return with_rewards(flat, [one for one, _ in rows], reward)


def test_each_completion_has_the_reward_of_its_own_question():
    """10 to 15 of 10 to 20 is a half, twice that and the format 2; the letter is worth 1."""
    rows = [
        (question(), [respond("10 to 15"), "nothing"]),
        (make_question("ABB"), [respond("ABB"), respond("CCC")]),
        (question("choice"), [respond("B"), respond("A")]),
    ]
    judged = judged_of(rows)
    assert_close([one.total for one in judged], [2, 0, math.nan, math.nan, 1, 0])
    assert [one.success for one in judged][:2] == [1.0, 0.0]
    assert judged[0].rewards == {"total": 2.0, "format": 1.0, "temporal_iou": 0.5}
    assert judged[2].rewards == {}
    assert [one.task for one in judged] == ["grounding"] * 2 + [""] * 2 + ["choice"] * 2


def test_a_form_alone_is_no_success():
    """The format is kept, but nothing says whether the answer is right."""
    (one,) = judged_of([(question(), [respond("10 to 20")])], TaggedFormatReward())
    assert (one.total, one.success) == (1.0, 0.0)
    output = TaggedFormatReward()([respond("10 to 20")], [question()])
    assert reward_metrics(output)["reward/success"] == 0
    assert reward_metrics(TemporalIoUReward()([TARGET], [question()]))["reward/success"] == 1


def test_letters_are_not_judged_where_there_are_none():
    (one,) = judged_of([(question(), [respond("10 to 15")])])
    assert all(math.isnan(number) for number in (one.partial, one.overall, one.logic, one.format))
    assert (one.attribute, one.solution, one.answer) == ("", TARGET, "10 TO 15")


def test_a_table_holds_both_and_keeps_them_apart():
    rows = [
        (question(scene="a"), [respond("10 to 20")]),
        (question(scene="b"), [respond("10 to 14")]),
        (question("choice", scene="b"), [respond("A")]),
        (make_question("ABB"), [respond("ABA")]),
    ]
    means = as_metrics(score_table(judged_of(rows)), "eval/base")
    assert_close(means["eval/base/task/grounding/total"], (3 + 1.8) / 2)
    assert_close(means["eval/base/task/grounding/success"], 0.5)
    assert means["eval/base/task/choice/total"] == 0
    assert_close(means["eval/base/partial"], 2 / 3)
    assert_close(means["eval/base/attribute/camera_yaw/partial"], 2 / 3)
    assert_close(means["eval/base/task/success"], 1 / 3)
    assert len(means) == 4 + 5 + 1


def test_a_table_of_tasks_alone_has_no_rows_of_letters():
    table = score_table(judged_of([(question(scene=scene), [respond("10 to 20")]) for scene in "ab"]))
    assert set(table.estimates()) == {"task/grounding/total", "task/grounding/success", "task/success"}
    assert table.estimates()["task/grounding/total"].mean == 3
    assert (table.num_completions, table.mean_num_tokens, table.scenes) == (2, 3, ("a", "b"))


def test_triplets_alone_have_no_rows_of_a_task():
    """``overall`` is their success already; beside another task both have rows."""
    triplets = [
        replace(one, task="motion_contrast", total=1.0, success=1.0)
        for one in judged_of([(make_question("ABB"), [respond("ABB")])])
    ]
    assert score_table(triplets).tasks == {}
    assert score_table(triplets).overall.mean == 1
    both = score_table([*triplets, *judged_of([(question(), [respond("10 to 15")])])])
    assert both.tasks.keys() == {
        "success",
        *(f"{task}/{name}" for task in ("grounding", "motion_contrast") for name in ("total", "success")),
    }


def test_the_comparison_shows_each_task():
    before = score_table(judged_of([(question(scene=scene), ["?"]) for scene in "ab"]))
    after = score_table(judged_of([(question(scene=scene), [respond("10 to 15")]) for scene in "ab"]))
    text = table_text(render_comparison(before, after, greedy=(before, after)))
    lines = {line.split("│")[1].strip(): line.split("│")[2:5] for line in text.splitlines() if "grounding" in line}
    assert set(lines) == {
        *("grounding total", "grounding success"),
        *("grounding total (greedy)", "grounding success (greedy)"),
    }
    assert [cell.split()[0] for cell in lines["grounding total"]] == ["0.000", "2.000", "+2.000"]
    assert "partial" not in text
    assert "success of all tasks (greedy)" in text
    record = comparison_record(before, after)["sampled"]
    assert record["task/grounding/total"]["change"]["mean"] == 2


def test_a_task_without_a_reward_is_refused():
    with pytest.raises(ConfigError, match="no reward for the task 'caption'"):
        judged_of([(question("caption"), ["?"])])
    (one,) = judged_of([(question("caption"), ["?"])], reward=None)
    assert math.isnan(one.total)


def test_a_checkpoint_keeps_the_scores_and_older_ones_can_be_read():
    judged = judged_of([(question(scene=scene), [respond("10 to 15")]) for scene in "ab"])
    scores = BenchmarkScores(judged, judged)
    again = BenchmarkScores.from_record(scores.as_record())
    assert again.sampled.estimates()["task/grounding/total"].mean == 2
    old = {key: value for key, value in asdict(judge("", make_question())).items() if key not in NEW_FIELDS}
    assert JudgedCompletion(**old).task == ""


NEW_FIELDS = {"task", "total", "success", "rewards"}


def test_a_page_shows_what_would_have_been_right_and_what_was_earned():
    (one,) = judged_of([(question(), [respond("10 to 15")])])
    page = completions_html([SampleRecord([], question(), [one.completion], [one.rewards])], "t")
    assert "&lt;answer&gt;10.00 to 20.00&lt;/answer&gt;" in page
    assert "temporal_iou 0.5" in page
    assert "more:" not in page
