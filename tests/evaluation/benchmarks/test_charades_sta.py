"""Charades-STA in its three file formats and two readings, by hand."""

import json

import pytest

from remot.errors import AnnotationError
from remot.evaluation.benchmarks.charades_sta import CharadesSTA, lmms_eval_span
from tests.evaluation.benchmarks.stub import counts_of, values_of, verdicts_of

LINE = "AO8RW 0.0 6.9##a person is putting a book on a shelf."


def official(tmp_path, *lines):
    (tmp_path / "charades_sta_test.txt").write_text("\n".join(lines or [LINE]) + "\n")
    return CharadesSTA().read(tmp_path)


def test_three_formats_give_one_prompt(tmp_path):
    (prompt,) = official(tmp_path)
    assert prompt.gold == [0.0, 6.9]
    assert '"a person is putting a book on a shelf."' in prompt.text
    assert prompt.video.file == tmp_path / "AO8RW.mp4"
    by_video, rows = tmp_path / "r1.json", tmp_path / "rows.jsonl"
    sentence = "a person is putting a book on a shelf."
    by_video.write_text(json.dumps({"AO8RW": {"duration": 33.7, "sentences": [sentence], "timestamps": [[0.0, 6.9]]}}))
    rows.write_text(json.dumps({"video": "AO8RW.mp4", "caption": sentence, "timestamp": [0.0, 6.9]}) + "\n")
    for file in (by_video, rows):
        (same,) = CharadesSTA().read(file)
        assert (same.prompt_id, same.text, same.gold) == (prompt.prompt_id, prompt.text, prompt.gold)


def test_overlap_and_thresholds_by_hand(tmp_path):
    """Gold 0 to 10. 0 to 5: 0.5, reached by equality. 20 to 30: 0. Last of two counts: 5 to 10 is 0.5."""
    prompts = official(tmp_path, *["V 0 10##x"] * 4)
    replies = ["<answer>0 to 5</answer>", "20 to 30", "0 to 10 or rather 5.0 and 10", "never"]
    benchmark = CharadesSTA()
    verdicts = verdicts_of(benchmark, prompts, replies)
    values = values_of(benchmark, verdicts)
    assert values["mIoU"] == 0.25
    assert values["R1@0.3"] == values["R1@0.5"] == 0.5
    assert values["R1@0.7"] == 0
    assert verdicts[3].parsed is None
    assert values["lmms_eval/mIoU"] == pytest.approx((0.5 + 0 + 1 + 0) / 4)  # its first range counts


def test_a_division_by_zero_drops_the_row_as_published_and_counts_as_0_beside(tmp_path):
    prompts = official(tmp_path, "V 4 4##x", "V 0 10##y")
    benchmark = CharadesSTA()
    verdicts = verdicts_of(benchmark, prompts, ["4 to 4", "0 to 10"])
    values, counts = values_of(benchmark, verdicts), counts_of(benchmark, verdicts)
    assert (values["mIoU"], counts["mIoU"]) == (1, 1)
    assert (values["all_rows/mIoU"], counts["all_rows/mIoU"]) == (0.5, 2)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("From 12.5 to 20", (12.5, 20)),
        ("20 - 12.5 seconds, or 1 - 2", (12.5, 20)),
        ("00:10 - 01:05", (10, 65)),
        ("It starts at 00:00:18 and ends at 00:01:23.", (18, 83)),
        ("Start: 3 s\nEnd: 8.5 s", (3, 8.5)),
        ("There are 7 people.\nIt starts at 3\nIt ends at 9", (3, 9)),
        ("at 3", None),
        ("never", None),
        ("", None),
    ],
)
def test_the_reading_of_lmms_eval(text, span):
    assert lmms_eval_span(text) == span


@pytest.mark.parametrize("line", ["AO8RW 0.0##x", "AO8RW 9 3##x", "AO8RW a b##x"])
def test_malformed_lines(tmp_path, line):
    with pytest.raises(AnnotationError, match="line 2"):
        official(tmp_path, LINE, line)


def test_malformed_rows(tmp_path):
    file = tmp_path / "r.json"
    file.write_text(json.dumps({"V": {"sentences": ["x"], "timestamps": []}}))
    with pytest.raises(AnnotationError, match="V"):
        CharadesSTA().read(file)
    for times in ([1], [0, 10**400]):
        file.write_text(json.dumps([{"video": "V", "caption": "x", "timestamp": times}]))
        with pytest.raises(AnnotationError, match="times"):
            CharadesSTA().read(file)
    with pytest.raises(AnnotationError, match="times"):
        CharadesSTA().read(file)
