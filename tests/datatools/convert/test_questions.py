"""Rows of Video-R1, SpaceR-151k and LLaVA, by hand in their layouts: what becomes of each, or why nothing does."""

import json

import pytest

from remot.commands.dispatch import run
from remot.data.records.qa_jsonl import read_qa
from remot.datatools.convert.questions import convert_questions
from remot.errors import AnnotationError, ConfigError

VIDEO_R1 = {
    "problem_id": 2,
    "problem": "What falls from the table?",
    "data_type": "video",
    "problem_type": "multiple choice",
    "options": ["A. A cup", "B. A book", "C. Nothing"],
    "solution": "<answer>B</answer>",
    "path": "./LLaVA-Video-178K/academic/a1.mp4",
    "data_source": "LLaVA-Video-178K/0_30_s_academic_v0_1",
}
LLAVA = {
    "id": "a1",
    "video": "academic/a1.mp4",
    "conversations": [
        {
            "from": "human",
            "value": "<image>\nWhat falls from the table?\nA. A cup\nB. A book\n"
            "Please answer directly with only the letter of the correct option and nothing else.",
        },
        {"from": "gpt", "value": "B"},
    ],
}
SHORT = "Answer the question using a single word or phrase."


def say(*values):
    return [{"from": ("human", "gpt")[k % 2], "value": value} for k, value in enumerate(values)]


TWO_IMAGES = {"video": None, "image": ["a", "b"], "conversations": say("1: <image> 2: <image>\nQ", "A")}


def converted(tmp_path, *rows, turns="refuse"):
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    conversion = convert_questions(tmp_path / "rows.json", tmp_path / "out.jsonl", turns)
    return list(read_qa(tmp_path / "out.jsonl")), conversion


@pytest.mark.parametrize(
    ("change", "kind", "answer"),
    [
        ({}, "letter", "B"),
        ({"options": ["(A) A cup", "(B) A book"]}, "letter", "B"),
        ({"options": ["A cup", "A book"]}, "letter", "B"),
        ({"solution": "<answer>A book</answer>"}, "letter", "B"),
        ({"solution": "B"}, "letter", "B"),
        ({"solution": "<answer>B. A book</answer>"}, "letter", "B"),
        ({"problem_type": "numerical", "solution": "<answer>1,204.5</answer>", "options": []}, "number", 1204.5),
        ({"problem_type": "regression", "solution": "<answer>-3</answer>", "options": []}, "number", -3.0),
        ({"problem_type": "OCR", "solution": "<answer>EXIT 4</answer>", "options": []}, "text", "EXIT 4"),
        ({"problem_type": "free-form", "solution": "<answer>Red</answer>", "options": None}, "text", "Red"),
    ],
)
def test_video_r1(tmp_path, change, kind, answer):
    [found], conversion = converted(tmp_path, VIDEO_R1 | change)
    assert (found.answer_type, found.answer, found.record_id) == (kind, answer, "2")
    assert (found.video, found.question, found.task) == (VIDEO_R1["path"], VIDEO_R1["problem"], VIDEO_R1["data_source"])
    if kind == "letter":
        assert found.options[:2] == ("A cup", "A book")
    assert (conversion.left_out, conversion.keys) == ({}, {})
    assert not (tmp_path / "out.jsonl.left_out.jsonl").exists()


def test_images_and_reasoning_of_the_file_for_sft(tmp_path):
    row = VIDEO_R1 | {"data_type": "image", "path": "Chart/7.png", "process": "<think>It is low.</think>"}
    [found], _ = converted(tmp_path, row)
    assert (found.images, found.video, found.reasoning) == (("Chart/7.png",), "", "It is low.")


def test_scans_of_one_scene_are_one_scene(tmp_path):
    """SpaceR's part of ScanNet: scene0024_02 is the third scan of room 24. Other videos may be called as they like."""
    spacer = VIDEO_R1 | {"path": "/dataset/ScanNet/video/scene0024_02.mp4", "data_source": "SR_dataset"}
    found, _ = converted(tmp_path, spacer, VIDEO_R1 | {"problem_id": 3, "path": "scene0024_02.mp4"})
    assert [one.scene for one in found] == ["scene0024", "scene0024_02.mp4"]


def test_an_id_that_stands_twice_is_left_to_the_row_number(tmp_path):
    found, _ = converted(tmp_path, VIDEO_R1, VIDEO_R1)
    assert [one.record_id for one in found] == ["2", "out.jsonl:2"]


@pytest.mark.parametrize(
    ("change", "reason", "fact"),
    [
        ({"problem_type": "spatial map"}, "problem_type", "spatial map"),
        ({"data_type": "audio"}, "data_type", "audio"),
        ({"path": ""}, "path", "''"),
        ({"problem": None}, "problem", "None"),
        ({"solution": "<answer>D</answer>"}, "answer", "'D'"),
        ({"solution": "<answer>A</answer><answer>B</answer>"}, "tags", "<answer>A"),
        ({"solution": "It is <answer>B</answer>"}, "tags", "It is"),
        ({"options": ["A. A cup", "C. A book"]}, "options", "A, B"),
        ({"options": ["A. A cup", "A book"]}, "options", "A, B"),
        ({"options": ["A. A cup"]}, "options", "1 options"),
        ({"options": [f"{letter}. x" for letter in "ABCDEFGHI"]}, "options", "9 options"),
        ({"problem_type": "numerical", "solution": "<answer>3/4</answer>"}, "number", "3/4"),
        ({"problem_type": "numerical", "solution": "<answer>nan</answer>"}, "number", "nan"),
        ({"problem_type": "numerical", "solution": "<answer>1,5</answer>"}, "number", "1,5"),  # 1.5, or two numbers
        ({"problem_type": "numerical", "solution": "<answer>12,34,567</answer>"}, "number", "12,34,567"),
        ({"problem_type": "numerical", "solution": "<answer>1_5</answer>"}, "number", "1_5"),
        ({"process": "Hmm. <think>x</think>"}, "tags", "Hmm"),
    ],
)
def test_what_cannot_be_carried_of_video_r1(tmp_path, change, reason, fact):
    """The other row is carried; the one that is not stands in a file of its own, by its row and reason."""
    found, conversion = converted(tmp_path, VIDEO_R1 | change, VIDEO_R1 | {"problem_id": 9})
    assert [one.record_id for one in found] == ["9"]
    [sentence] = conversion.left_out[reason]
    assert "row 1" in sentence
    assert fact in sentence
    [line] = (tmp_path / "out.jsonl.left_out.jsonl").read_text().splitlines()
    assert json.loads(line)["reason"] == reason


@pytest.mark.parametrize(
    ("turns", "kind", "answer", "question"),
    [
        (LLAVA["conversations"], "letter", "B", "What falls from the table?"),
        (say("<video>\nWhat?\nA. A cup\nB. A book", "B. A book"), "letter", "B", "What?"),
        (say("<image>\nWhat?\n(A) A cup\n(B) A book\nThink.", "A book"), "letter", "B", "What?\nThink."),
        (say(f"What colour?\n{SHORT}\n<image>", "Red"), "word", "Red", "What colour?"),
        (say("<image>\nDescribe it.", "A cup falls."), "text", "A cup falls.", "Describe it."),
        (say("<image>\nA. Is this a list?", "No"), "word", "No", "A. Is this a list?"),
    ],
)
def test_llava(tmp_path, turns, kind, answer, question):
    [found], _ = converted(tmp_path, LLAVA | {"conversations": turns})
    assert (found.answer_type, found.answer, found.question) == (kind, answer, question)
    assert (found.video, found.record_id) == ("academic/a1.mp4", "a1")


def test_llava_with_images_and_keys_without_a_place(tmp_path):
    row = {"image": ["a.png", "b.png"], "conversations": say("<image><image>\nSame?", "Yes"), "model": "x"}
    single = {"image": "c.png", "conversations": say("Same?<image>", "No"), "model": "y"}
    found, conversion = converted(tmp_path, row, single)
    assert [one.images for one in found] == [("a.png", "b.png"), ("c.png",)]
    assert "model (2 rows)" in "\n".join(conversion.lines())


def test_turns_of_a_conversation(tmp_path):
    """Left out, or one question each if asked for: all about the same media, which only the first one mentions."""
    row = LLAVA | {"conversations": say("<image>\nWhat?", "A cup", "Where is it?", "On the floor")}
    found, conversion = converted(tmp_path, row, LLAVA)
    assert len(found) == 1
    assert "row 1" in conversion.left_out["several turns"][0]
    (tmp_path / "more").mkdir()
    found, _ = converted(tmp_path / "more", row, turns="separate")
    assert [(one.record_id, one.question, one.video) for one in found] == [
        ("a1/0", "What?", "academic/a1.mp4"),
        ("a1/1", "Where is it?", "academic/a1.mp4"),
    ]


@pytest.mark.parametrize(
    ("change", "reason", "fact"),
    [
        ({"video": None}, "no image or video", "shown"),
        ({"conversations": []}, "speakers", "[]"),
        ({"conversations": [{"from": "system", "value": "x"}, *say("<image>\nQ", "A")]}, "speakers", "system"),
        ({"conversations": say("<image>\nQ")}, "speakers", "human"),
        ({"conversations": say("<image>\nQ", "")}, "value", "''"),
        ({"conversations": say("Q", "A")}, "placeholders", "0 placeholders for 1"),
        ({"conversations": say("<image>\n<image>\nQ", "A")}, "placeholders", "2 placeholders for 1"),
        ({"conversations": say("<image>", "A")}, "question", "placeholders"),
        ({"video": ["a.mp4", "b.mp4"]}, "several media", "video"),
        ({"image": "a.png"}, "several media", "images"),
        ({"video": 3}, "video", "3"),
        (TWO_IMAGES, "images within the text", "before"),
        ({"conversations": say("<image>\nQ\nA. x\nB. y", "z")}, "answer", "'z'"),
        ({"conversations": say("<image>\nQ", "</think>A")}, "malformed", "answer"),
    ],
)
def test_what_cannot_be_carried_of_llava(tmp_path, change, reason, fact):
    found, conversion = converted(tmp_path, LLAVA | change, LLAVA | {"id": "other"})
    assert [one.record_id for one in found] == ["other"]
    [sentence] = conversion.left_out[reason]
    assert "row 1" in sentence
    assert fact in sentence


def test_the_command_reports_and_refuses(tmp_path, capsys):
    source, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    rows = [VIDEO_R1, VIDEO_R1 | {"data_type": "audio"}, {"question": "?"}]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run(["data", "convert", str(source), "--out", str(out)])
    told = capsys.readouterr().out
    for fact in (
        "1 questions of 3 rows, 2 left out",
        f"{out}\n{out}.left_out.jsonl\n",
        "1 for data_type",
        "line 2",
        "1 for layout",
        "line 3",
        str(out),
    ):
        assert fact in told
    with pytest.raises(ConfigError, match=r"out\.jsonl is there"):
        run(["data", "convert", str(source), "--out", str(out)])
    source.write_text(json.dumps(rows[1]))
    with pytest.raises(AnnotationError, match=r"none of the 1 rows.*audio") as error:
        run(["data", "convert", str(source), "--out", str(tmp_path / "other.jsonl")])
    assert error.value.reason == "data_type"
    assert list(tmp_path.glob("other*")) == []
