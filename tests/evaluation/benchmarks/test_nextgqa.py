"""NExT-GQA by its own and VideoChat-R1's rules, by hand."""

import csv
import json

import pytest

from remot.errors import AnnotationError, ConfigError
from remot.evaluation.benchmarks.nextgqa import NExTGQA
from tests.evaluation.benchmarks.stub import counts_of, values_of, verdicts_of

FIELDS = [
    "video_id",
    "frame_count",
    "width",
    "height",
    "question",
    "answer",
    "qid",
    "type",
    *(f"a{k}" for k in range(5)),
]


def row(qid, answer="run"):
    return ["100", 900, 640, 360, "what does it do", answer, qid, "CW", "sit", "run", "eat", "jump", "sleep"]


@pytest.fixture
def folder(tmp_path):
    with (tmp_path / "test.csv").open("w", newline="") as file:
        csv.writer(file).writerows([FIELDS, *(row(str(k)) for k in range(6)), row("9")])
    location = {str(k): [[10.0, 20.0], [30.0, 50.0]] for k in range(6)}
    (tmp_path / "gsub_test.json").write_text(json.dumps({"100": {"duration": 60, "fps": 30, "location": location}}))
    return tmp_path


def said(letter, glue):
    return f"<think>x</think><answer>{letter}</answer><glue>{glue}</glue>"


REPLIES = [
    said("B", "[(15, 25)]"),  # IoU 5/15, IoP 5/10
    said("A", "[(32, 40)]"),  # IoU 8/20, IoP 1
    said("B", "[(40, 40)]"),  # a moment inside: IoU 0, IoP 1
    said("B", "[15, 25]"),  # unreadable
    "<answer>B</answer>",  # no glue
    said("The answer is B", "[(10, 20), (30, 50)]"),  # all of it; the first stretch has IoU 1, IoP 1
]


def test_questions_without_a_location_are_no_part_of_it(folder):
    prompts = NExTGQA().read(folder)
    assert [prompt.prompt_id for prompt in prompts] == [f"100_{k}" for k in range(6)]
    assert prompts[0].gold == {"letter": "B", "spans": [[10.0, 20.0], [30.0, 50.0]]}
    assert prompts[0].text.splitlines()[:3] == ["what does it do?", "(A) sit", "(B) run"]
    assert prompts[0].video.file == folder / "100.mp4"


def test_videos_by_the_map_of_the_data_set(folder):
    (folder / "map_vid_vidorID.json").write_text(json.dumps({"100": "1164/323"}))
    assert NExTGQA().read(folder)[0].video.file == folder / "1164/323.mp4"


def test_numbers_by_hand(folder):
    benchmark = NExTGQA()
    verdicts = verdicts_of(benchmark, benchmark.read(folder), REPLIES)
    values, counts = values_of(benchmark, verdicts), counts_of(benchmark, verdicts)
    assert values["Acc@QA"] == pytest.approx(5 / 6)
    assert counts["mIoU"] == 4
    assert values["mIoU"] == pytest.approx((5 / 15 + 8 / 20 + 0 + 1) / 4)
    assert values["mIoP"] == pytest.approx((0.5 + 1 + 1 + 1) / 4)
    assert values["IoU@0.3"] == 0.75
    assert values["IoU@0.5"] == 0.25
    assert values["IoP@0.5"] == 1
    assert values["Acc@GQA"] == 0.75  # the second has the wrong letter
    assert counts["all_rows/Acc@GQA"] == 6
    assert values["all_rows/Acc@GQA"] == 0.5
    assert values["all_rows/mIoP"] == pytest.approx(3.5 / 6)


def test_the_set_overlap_keeps_the_last_value_where_the_list_cannot_be_read(folder):
    benchmark = NExTGQA()
    verdicts = verdicts_of(benchmark, benchmark.read(folder), REPLIES)
    values = values_of(benchmark, verdicts)
    first, second = 5 / 35, 8 / 30  # union of 10 to 25 and 30 to 50; of the gold alone
    assert [round(one.scores["set_iou"], 9) for one in verdicts] == [round(x, 9) for x in (first, second, 0, 0, 0, 1)]
    assert values["videochat_r1/all_rows/mIoU"] == pytest.approx((first + second + 1) / 6)
    in_order = [verdicts[k] for k in (0, 3, 1, 4, 2, 5)]  # the second is malformed, the fourth has no element
    carried = values_of(benchmark, in_order)["videochat_r1/mIoU"]
    assert carried == pytest.approx((first + first + second + 0 + 0 + 1) / 6)
    assert values_of(benchmark, verdicts[3:])["videochat_r1/mIoU"] == pytest.approx(1 / 3)  # nothing before: 0


def test_an_empty_list_is_no_prediction_and_a_written_range_is_one(folder):
    benchmark = NExTGQA()
    empty, ranged, nothing = verdicts_of(
        benchmark, benchmark.read(folder)[:3], [said("B", "[]"), "<answer>B</answer> from 10 to 20", "?"]
    )
    assert empty.scores["IoU"] != empty.scores["IoU"]
    assert ranged.scores["IoU"] == 1
    assert ranged.scores["set_iou"] == 0
    (bare,) = verdicts_of(benchmark, benchmark.read(folder)[:1], ["B"])
    assert (bare.scores["right"], bare.scores["right_in_answer"]) == (1, 0)
    assert nothing.parsed is None


def test_malformed_data(folder):
    with (folder / "test.csv").open("a", newline="") as file:
        csv.writer(file).writerow(row("3", answer="fly"))
    with pytest.raises(AnnotationError, match="fly"):
        NExTGQA().read(folder)
    for span in ([3, 1], [0, 10**400]):
        (folder / "gsub_test.json").write_text(json.dumps({"100": {"location": {"0": [span]}}}))
        with pytest.raises(AnnotationError, match="location of 0"):
            NExTGQA().read(folder)
    (folder / "gsub_test.json").unlink()
    with pytest.raises(ConfigError, match="gsub_test"):
        NExTGQA().read(folder)
