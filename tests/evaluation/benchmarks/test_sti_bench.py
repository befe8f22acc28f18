"""STI-Bench on rows written by hand."""

import json

import pytest

from remot.errors import AnnotationError
from remot.evaluation.benchmarks.sti_bench import STIBench, scene_kind
from tests.evaluation.benchmarks.stub import values_of, verdicts_of

ROW = {
    "ID": 12,
    "Video": "scene0011.mp4",
    "Task": "Displacement & Path Length",
    "Scene": "indoor",
    "Question": "How far does it go?",
    "Candidates": {"A": "1.2 m", "B": "2.5 m", "E": "4 m"},
    "Answer": "B",
    "time_start": 0.0,
    "time_end": 8.5,
}


def read(tmp_path, *rows):
    (tmp_path / "qa.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows or [ROW]))
    return STIBench().read(tmp_path)


def test_the_prompt(tmp_path):
    for candidates in (ROW["Candidates"], json.dumps(ROW["Candidates"])):
        (prompt,) = read(tmp_path, ROW | {"Candidates": candidates})
        assert prompt.text.splitlines() == [
            "From 0 s to 8.5 s. How far does it go?",
            "(A) 1.2 m",
            "(B) 2.5 m",
            "(E) 4 m",
            "Please output only the option letter!",
        ]
    assert prompt.prompt_id == "scene0011.mp4/12"
    assert (prompt.video.file, prompt.video.num_frames) == (tmp_path / "scene0011.mp4", 30)


@pytest.mark.parametrize(
    ("reply", "parsed", "right"),
    [
        ("(b)", "B", 1),
        ("Ans='B'", "B", 1),
        ("Answer: B, not A.", "B", 1),
        ("answer= b", "B", 1),
        ("Option B", "B", 1),
        ("b is correct", "B", 1),
        ("I say\nB.\nfor sure", "B", 1),
        ("B)", "B", 1),
        ("B", "B", 1),
        ("It is B", "It is B", 1),  # the last character
        ("b", "b", 0),
        ("not (A) but (B)", "A", 0),
        ("Answer: A (B)", "B", 1),  # brackets come first
        ("2.5 m", "2.5 m", 0),
        ("", None, 0),
    ],
)
def test_forms_of_answers(tmp_path, reply, parsed, right):
    (one,) = verdicts_of(STIBench(), read(tmp_path), [reply])
    assert (one.parsed, one.scores["right"]) == (parsed, right)


def test_kinds_of_scenes():
    assert [scene_kind(name) for name in ("a_camera_1.mp4", "v/scene0011.mp4", "000123.mp4", "00012.mp4")] == [
        "outdoor",
        "indoor",
        "desktop",
        "unknown",
    ]


def test_accuracy_by_row_task_and_scene(tmp_path):
    rows = [ROW | {"ID": k, "Video": name} for k, name in enumerate(["scene1.mp4", "camera.mp4", "camera.mp4"])]
    rows[2]["Task"] = "Pose Estimation"
    benchmark = STIBench()
    values = values_of(benchmark, verdicts_of(benchmark, read(tmp_path, *rows), ["B", "A", "B"]))
    assert values["accuracy"] == pytest.approx(2 / 3)
    assert values["task/Displacement & Path Length"] == 0.5
    assert values["scene/outdoor"] == 0.5
    assert values["scene/indoor"] == 1


@pytest.mark.parametrize(
    "change", [{"Answer": "F"}, {"Candidates": "x"}, {"time_end": None}, {"time_end": 10**400}, {"Video": None}]
)
def test_malformed_rows(tmp_path, change):
    with pytest.raises(AnnotationError, match="line 1"):
        read(tmp_path, ROW | change)
