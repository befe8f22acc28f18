"""V-STaR on rows written by hand, with the hand numbers of AM and LGM."""

import json
from dataclasses import replace

import numpy as np
import pytest

from remot.errors import AnnotationError
from remot.evaluation.benchmarks.base import BenchmarkOptions
from remot.evaluation.benchmarks.judging import CachedGrader
from remot.evaluation.benchmarks.vstar import PARTS, VSTaR, _log_mean
from remot.evaluation.benchmarks.vstar.parsing import boxes_by_second, judge_rating, two_times
from tests.evaluation.benchmarks.stub import counts_of, values_of, verdicts_of


def row(video, frame_count=900, domain="Sports"):
    box = {"timestamp": 4, "frame_index": 120, "xmin": 10, "ymin": 20, "xmax": 50, "ymax": 80}
    return {
        "vid": video,
        "domain": domain,
        "fps": 30,
        "width": 640,
        "height": 360,
        "frame_count": frame_count,
        "question": "What falls?",
        "answer": "a ball",
        "temporal_question": "When does it fall?",
        "timestamps": [4.0, 9.0],
        "spatial_question": "Where is it then?",
        "spatial_question_2": "Where is it?",
        "bboxes": [box, box | {"timestamp": 5, "xmin": 30}],
    }


def read(tmp_path, *rows, **options):
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(list(rows) or [row("x1")]))
    benchmark = VSTaR(BenchmarkOptions(**options))
    return benchmark, benchmark.read(file)


#: What, when and where with overlaps of 0.4 and 0.5 over time, and 1 and 0 in the two frames.
REPLIES = [
    "The ball.",
    "4 to 6",
    '{"4": [10, 20, 50, 80]}',
    "4.0 - 6.5",
    '```json\n[{"4": [[0, 0, 1, 1], [10, 20, 50, 80]]}]\n```',
]


def test_five_questions_a_row(tmp_path):
    _, prompts = read(tmp_path)
    assert [prompt.prompt_id for prompt in prompts] == [f"0/x1/{part}" for part in PARTS]
    vqa, temporal, spatial, temporal_2, spatial_2 = (prompt.text for prompt in prompts)
    assert "4" not in vqa + temporal.partition("Answer")[0]
    assert "from 4 to 9 s" in spatial
    assert "from 4" not in spatial_2
    assert "[10.0, 20.0, 50.0, 80.0]" in temporal_2
    assert "640 x 360" in spatial_2
    assert {prompt.scene for prompt in prompts} == {"x1"}
    assert prompts[0].video.file == tmp_path / "x1.mp4"


def test_scores_of_a_row_by_hand(tmp_path):
    benchmark, prompts = read(tmp_path)
    verdicts = verdicts_of(benchmark, prompts, REPLIES)
    values = values_of(benchmark, verdicts)
    assert values["Acc"] == 1
    assert values["m_tIoU"] == pytest.approx(0.4)
    assert values["m_tIoU_2"] == pytest.approx(0.5)
    assert values["m_vIoU"] == values["m_vIoU_2"] == 0.5
    assert values["AM/chain1"] == pytest.approx(1.9 / 3)
    assert values["mAM"] == pytest.approx((1.9 / 3 + 2.0 / 3) / 2)
    assert values["R1@0.3"] == 1
    assert values["R1@0.5"] == 0
    assert values["R1@0.5_2"] == 1
    assert values["AP@0.9"] == 0.5
    assert values["all_three/chain1"] == 1
    assert values["duration/short/Acc"] == values["domain/Sports/m_vIoU"] * 2 == 1


def test_the_two_means_by_hand():
    """Acc .6 with (.4, .2) and (.5, .3)."""
    first, second = (np.array([[0.6], [t], [v]]) for t, v in ((0.4, 0.2), (0.5, 0.3)))
    assert first.mean(0)[0] == pytest.approx(0.4, abs=1e-4)
    assert second.mean(0)[0] == pytest.approx(0.4667, abs=1e-4)
    assert _log_mean(first)[0] == pytest.approx(0.5501, abs=1e-4)
    assert _log_mean(second)[0] == pytest.approx(0.6554, abs=1e-4)
    assert (_log_mean(first)[0] + _log_mean(second)[0]) / 2 == pytest.approx(0.6027, abs=1e-4)
    assert np.isfinite(_log_mean(np.ones((3, 1))))[0]


def test_a_row_without_an_answer_to_what_has_no_other_scores_as_published(tmp_path):
    """Acc and the joint count divide by both rows, overlaps by the one that was answered."""
    benchmark, prompts = read(tmp_path, row("x1"), row("x2", frame_count=30 * 60, domain="Home"))
    verdicts = verdicts_of(benchmark, prompts, [*REPLIES, "", "4 to 9", *REPLIES[2:]])
    values, counts = values_of(benchmark, verdicts), counts_of(benchmark, verdicts)
    assert (values["Acc"], counts["Acc"]) == (0.5, 2)
    assert (values["m_tIoU"], counts["m_tIoU"]) == (pytest.approx(0.4), 1)
    assert (values["all_answers/m_tIoU"], counts["all_answers/m_tIoU"]) == (pytest.approx(0.7), 2)
    assert values["AM/chain1"] == pytest.approx((0.5 + 0.4 + 0.5) / 3)
    assert values["all_answers/AM/chain1"] == pytest.approx((0.5 + 0.7 + 0.5) / 3)
    assert counts["AM/chain1"] == counts["mLGM"] == 2  # rows, which three questions of two chains are about
    assert (values["all_three/chain1"], counts["all_three/chain1"]) == (0.5, 2)
    assert counts["judged"] == 1
    assert counts["duration/medium/Acc"] == 0  # 60 s are medium, and nothing of it was answered
    assert counts["duration/short/Acc"] == 1


def test_two_right_boxes_of_one_second_are_two_frames(tmp_path):
    twice = row("x1")
    twice["bboxes"][1]["timestamp"] = 4
    benchmark, prompts = read(tmp_path, twice)
    (one,) = verdicts_of(benchmark, prompts[2:3], [REPLIES[2]])
    assert one.scores["viou"] == pytest.approx((1 + 0.5) / 2)  # 10 to 50 against 30 to 50: half of it


def test_durations(tmp_path):
    lengths = {59: "short", 60: "medium", 179: "medium", 180: "long"}
    for seconds, name in lengths.items():
        _, prompts = read(tmp_path, row("x", frame_count=30 * seconds))
        assert prompts[0].row["duration"] == name


def test_a_judge_decides_what_is_right(tmp_path):
    asked = []

    def judge(prompt):
        asked.append(prompt)
        return {"a sphere": "2", "a cube": "1", "?": "no idea"}[prompt.rpartition(": ")[2]]

    benchmark, prompts = read(tmp_path, row("x1"), row("x2"), row("x3"))
    benchmark.options = replace(benchmark.options, grader=judge)
    verdicts = verdicts_of(benchmark, [prompts[k] for k in (0, 5, 10)], ["a sphere", "a cube", "?"])
    values = values_of(benchmark, verdicts)
    assert values["Acc"] == pytest.approx(1 / 3)
    assert values["judged"] == pytest.approx(2 / 3)
    assert "What falls?" in asked[0]


def test_without_a_judge_only_the_same_words_are_known_to_be_right(tmp_path):
    benchmark, prompts = read(tmp_path, row("x1"), row("x2"))
    verdicts = verdicts_of(benchmark, prompts[::5], ["A ball!", "a sphere"])
    values = values_of(benchmark, verdicts)
    assert values["Acc"] == values["judged"] == 0.5
    assert any("without a judge" in metric.note for metric in benchmark.metrics(verdicts))


@pytest.mark.parametrize(
    ("text", "times"),
    [("from 4 to 9.5 s", (4, 9.5)), ("4", None), ("1, 2 and 3", None), ("never", None)],
)
def test_times(text, times):
    assert two_times(text) == times


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        ('{"4": [1, 2, 3, 4]}', {"4": [(1, 2, 3, 4)]}),
        ('Sure: {"4": [1, 2, 3, 4], "5": "x"} done', {"4": [(1, 2, 3, 4)]}),
        ('```json\n{"4.0": [1, 2, 3, 4]}\n```', {"4.0": [(1, 2, 3, 4)]}),
        ('[{"4": [1, 2, 3, 4]}, {"5": [1, 2, 3, 4]}]', {"4": [(1, 2, 3, 4)], "5": [(1, 2, 3, 4)]}),
        ('{"4": [[1, 2, 3, 4], [5, 6, 7, 8]]}', {"4": [(1, 2, 3, 4), (5, 6, 7, 8)]}),
        ('{"4": [1, 2, 3]}', None),
        ("[1, 2, 3, 4]", None),
        ("nowhere", None),
        ("}{", None),
    ],
)
def test_boxes(text, boxes):
    assert boxes_by_second(text) == boxes


@pytest.mark.parametrize(
    ("reply", "rating"), [(" 3\n", 3), ("0", 0), ("Score: 2", -1), ("2.", -1), ("9", -1), ("2.5", -1), ("", -1)]
)
def test_ratings(reply, rating):
    assert judge_rating(reply) == rating


def test_a_judge_is_asked_once_for_each_prompt(tmp_path):
    asked = []
    file = tmp_path / "judgements.jsonl"
    first = CachedGrader(file, "j", lambda prompt: asked.append(prompt) or "2")
    assert [first("a"), first("a"), first("b")] == ["2"] * 3
    file.write_text(file.read_text() + "nonsense\n[]\n")
    assert CachedGrader(file, "j", lambda _: "0")("a") == "2"
    assert CachedGrader(file, "another", lambda _: "0")("a") == "0"
    assert asked == ["a", "b"]


@pytest.mark.parametrize(
    "change", [{"bboxes": []}, {"timestamps": [1]}, {"bboxes": [{"timestamp": 1}]}, {"fps": "x"}, {"bboxes": [3]}]
)
def test_malformed_rows(tmp_path, change):
    with pytest.raises(AnnotationError, match="row 1"):
        read(tmp_path, row("x1") | change)
