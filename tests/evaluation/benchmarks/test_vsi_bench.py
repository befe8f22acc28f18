"""VSI-Bench on rows written by hand, with the hand numbers of its floating-point expression."""

import json

import pyarrow
import pyarrow.parquet
import pytest

from remot.errors import AnnotationError, ConfigError
from remot.evaluation.benchmarks.published import first_spoken_number, relative_accuracy, relative_error
from remot.evaluation.benchmarks.vsi_bench import VSIBench
from tests.evaluation.benchmarks.stub import counts_of, values_of, verdicts_of


def row(number, kind, gold, options=None, scene="scene0000_00"):
    return {
        "id": number,
        "dataset": "scannet",
        "scene_name": scene,
        "question_type": kind,
        "question": "How many chairs are there?",
        "ground_truth": gold,
        "options": options,
    }


OPTIONS = ["A. left", "B. right", "C. back"]
ROWS = [
    row(1, "object_rel_direction_easy", "B", OPTIONS),
    row(2, "object_rel_direction_medium", "A", OPTIONS, "scene0001_00"),
    row(3, "object_rel_direction_medium", "A", OPTIONS),
    row(4, "object_counting", "10"),
    row(5, "route_planning", "C", OPTIONS),
]


def read(tmp_path, rows=ROWS):
    file = tmp_path / "test.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in rows))
    return VSIBench().read(tmp_path)


@pytest.mark.parametrize(
    ("predicted", "gold", "score"),
    [(9, 10, 0.9), (8, 10, 0.6), (4, 3, 0.4), (10.5, 10, 1.0), (9.5, 10, 1.0), (20, 10, 0.0)],
)
def test_mean_relative_accuracy_by_hand(predicted, gold, score):
    assert relative_accuracy(relative_error(predicted, gold)) == pytest.approx(score)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("twenty-one", 21),
        ("three hundred and twenty-one chairs", 321),
        ("about 4.5 m", 4.5),
        ("two or 3", 2),
        ("3 or two", 3),
        ("-2", -2),
        ("two thousand five", 2005),
        ("one and a half", 1),
        ("a hundred", 100),
        ("none", None),
        ("", None),
    ],
)
def test_the_number_that_stands_first(text, number):
    assert first_spoken_number(text) == number


def test_prompts(tmp_path):
    lettered, *_, planned = read(tmp_path)
    assert lettered.text.splitlines() == [
        "These are frames of a video.",
        "How many chairs are there?",
        "Options:",
        *OPTIONS,
        "Answer with the option's letter from the given choices directly.",
    ]
    assert (lettered.video.file, lettered.video.num_frames) == (tmp_path / "scannet/scene0000_00.mp4", 32)
    assert lettered.scene == planned.scene == "scannet/scene0000_00"
    number = read(tmp_path)[3]
    assert number.text.endswith("Please answer the question using a single word or phrase.")
    assert "Options" not in number.text


def test_from_replies_to_the_overall(tmp_path):
    """Directions: easy 1, medium 1/2, so 0.75; counting 0.6; route 0. Overall (0.75 + 0.6 + 0) / 3."""
    benchmark = VSIBench()
    replies = ["b.", "A left", "B. right", "eight chairs", "<think>C</think>A"]
    verdicts = verdicts_of(benchmark, read(tmp_path), replies)
    values = values_of(benchmark, verdicts)
    assert values["task/object_rel_direction"] == 0.75
    assert values["type/object_rel_direction_medium"] == 0.5
    assert values["task/object_counting"] == pytest.approx(0.6)
    assert values["overall"] == pytest.approx(1.35 / 3)
    assert values["overall/original"] == pytest.approx(0.75 / 3)  # the first word, "eight", is no float
    assert values["all_rows"] == pytest.approx((1 + 1 + 0 + 0.6 + 0) / 5)
    assert counts_of(benchmark, verdicts)["overall"] == 5
    assert [one.parsed for one in verdicts[:3]] == ["b", "A", "B"]


@pytest.mark.parametrize(
    ("reply", "score", "original"), [("10", 1, 1), ("10 chairs", 1, 1), ("10.", 1, 1), ("many", 0, 0)]
)
def test_numbers_in_both_readings(tmp_path, reply, score, original):
    benchmark = VSIBench()
    (one,) = verdicts_of(benchmark, read(tmp_path)[3:4], [reply])
    assert one.scores == {"score": score, "original": original}
    assert (one.parsed is None) == (reply == "many")


def test_a_table_of_the_hub(tmp_path):
    texts = [one | {"options": json.dumps(one["options"]) if one["options"] else None} for one in ROWS]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(texts), tmp_path / "test-00000.parquet")
    prompts = VSIBench().read(tmp_path)
    assert [prompt.prompt_id for prompt in prompts] == ["1", "2", "3", "4", "5"]
    assert "B. right" in prompts[0].text


def test_the_parts_of_a_table_are_read_in_order(tmp_path):
    for number in (1, 0):
        rows = [row(k, "object_counting", "1") | {"options": None} for k in (2 * number, 2 * number + 1)]
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / f"test-0000{number}-of-00002.parquet")
    assert [prompt.prompt_id for prompt in VSIBench().read(tmp_path)] == ["0", "1", "2", "3"]
    (tmp_path / "test-00001-of-00002.parquet").rename(tmp_path / "test-00001-of-00003.parquet")
    with pytest.raises(ConfigError, match="2 files"):
        VSIBench().read(tmp_path)


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        ({"question_type": "colour"}, "colour"),
        ({"options": None}, "options"),
        ({"scene_name": "../../etc"}, "outside"),
        ({"question": None}, "question"),
    ],
)
def test_malformed_rows_are_named(tmp_path, change, fact):
    with pytest.raises(AnnotationError, match=fact):
        read(tmp_path, [ROWS[0] | change])


def test_a_number_that_is_none_is_refused(tmp_path):
    with pytest.raises(AnnotationError, match="ground_truth"):
        read(tmp_path, [row(1, "object_counting", "many")])
