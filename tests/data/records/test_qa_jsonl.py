"""One's own questions as JSON lines."""

import json

import pytest

from remot.data.records.qa_jsonl import parse_qa, read_qa
from remot.errors import AnnotationError
from remot.rewards import AnswerReward
from remot.structures import Question


def parsed(**record):
    return parse_qa("f: line 1", {"images": ["a.png"], "question": "?", "answer": "x"} | record, "f:1")


@pytest.mark.parametrize(
    ("record", "kind", "answer"),
    [
        ({"options": ["left", "right"], "answer": "B"}, "letter", "B"),
        ({"answer": 3}, "number", 3.0),
        ({"answer": "ball"}, "word", "ball"),
        ({"answer": "a red ball"}, "text", "a red ball"),
        ({"answer": "ball", "answer_type": "text"}, "text", "ball"),
        ({"answer": [[1, 2.5], [4, 5]]}, "intervals", ((1.0, 2.5), (4.0, 5.0))),
        ({"answer": [[0, 0, 10, 20]]}, "boxes", ((0.0, 0.0, 10.0, 20.0),)),
    ],
)
def test_types_of_answers(record, kind, answer):
    found = parsed(**record)
    assert (found.answer_type, found.answer) == (kind, answer)


def test_names_scenes_and_videos():
    found = parsed(images=None, video="v.mp4", start=1, end=2.5, task="t")
    assert (found.record_id, found.scene, found.task) == ("f:1", "v.mp4", "t")
    assert (found.video, found.start_seconds, found.end_seconds, found.images) == ("v.mp4", 1.0, 2.5, ())
    named = parsed(id="q7", scene="kitchen", images="a.png")
    assert (named.record_id, named.scene, named.images) == ("q7", "kitchen", ("a.png",))


@pytest.mark.parametrize(
    ("record", "fact"),
    [
        ({"images": None}, "images or a video"),
        ({"video": "v.mp4"}, "images or a video"),
        ({"start": 1}, "start"),
        ({"images": None, "video": "v.mp4", "start": 3, "end": 2}, "3 to 2"),
        ({"options": ["left", "right"], "answer": "C"}, "'C'"),
        ({"options": ["left", "right"], "answer": "left"}, "'left'"),
        ({"options": ["left"]}, "options"),
        ({"options": ["left", "right", "left"], "answer": "A"}, "'left' is there twice"),
        ({"answer": 1e15}, "1e"),
        ({"answer_type": "letter", "answer": "A"}, "no options"),
        ({"answer_type": "colour"}, "colour"),
        ({"answer": [[2, 1]]}, "intervals"),
        ({"answer": [[0, 5, 10, 4]]}, "boxes"),
        ({"answer": []}, "answer"),
        ({"answer": float("inf")}, "answer"),
        ({"answer": True}, "answer"),
        ({"images": []}, "images"),
        ({"images": [3]}, "images"),
        ({"question": ""}, "question"),
        ({"id": 3}, "id"),
        ({"answr": "x"}, "answr"),
        ({"answer": "</answer>B"}, "answer"),
        ({"reasoning": "<think>It turned.</think>"}, "reasoning"),
        ({"reasoning": 3}, "reasoning"),
    ],
)
def test_faults_are_named_with_their_line(record, fact):
    with pytest.raises(AnnotationError) as error:
        parsed(**record)
    assert "f: line 1" in str(error.value)
    assert fact in str(error.value)


def test_a_file(tmp_path):
    file = tmp_path / "q.jsonl"
    rows = [{"images": ["a.png"], "question": "?", "answer": n} for n in (1, 2)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [(one.record_id, one.answer) for one in read_qa(file)] == [("q.jsonl:1", 1.0), ("q.jsonl:2", 2.0)]


def test_a_json_list_is_the_same(tmp_path):
    """Pretty-printed, with white space before it; rows are named by their number."""
    rows = [{"images": ["a.png"], "question": "?", "answer": n} for n in (1, 2)]
    (tmp_path / "q.json").write_text("\n" * 5000 + json.dumps(rows, indent=2))
    found = list(read_qa(tmp_path / "q.json"))
    assert [(one.record_id, one.answer) for one in found] == [("q.json:1", 1.0), ("q.json:2", 2.0)]
    assert found[1].where.endswith("q.json: row 2")


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        ("[]", ("q.json", "no question")),
        ("[3]", ("row 1",)),
        ("[{}]", ("row 1", "'answer'")),
        ('[{"question": NaN}]', ("q.json", "NaN")),
        ('[{"question": ', ("q.json",)),
        ("[" * 100_000, ("q.json",)),
        ("", ("q.json", "no question")),
        ('{"images": ["a"], "question": "?",\n"answer": 3}', ("line 1",)),
    ],
)
def test_what_is_no_list_of_questions(tmp_path, content, facts):
    (tmp_path / "q.json").write_text(content)
    with pytest.raises(AnnotationError) as error:
        list(read_qa(tmp_path / "q.json"))
    assert all(fact in str(error.value) for fact in facts)


def test_an_id_stands_once(tmp_path):
    rows = [{"id": name, "images": ["a.png"], "question": "?", "answer": 1} for name in "aba"]
    (tmp_path / "q.json").write_text(json.dumps(rows))
    with pytest.raises(AnnotationError, match=r"row 3.*'a'.*row 1") as error:
        list(read_qa(tmp_path / "q.json"))
    assert error.value.reason == "duplicate id"


ANSWERS = {
    "letter": ({"options": ["left", "right"], "answer": "B"}, "<answer>B</answer>"),
    "number": ({"answer": 1234567.25}, "<answer>1234567.25</answer>"),
    "small": ({"answer": -0.0001}, "<answer>-0.0001</answer>"),
    "word": ({"answer": "ball"}, "<answer>ball</answer>"),
    "text": ({"answer": "a red ball"}, "<answer>a red ball</answer>"),
    "intervals": ({"answer": [[1, 2.5], [4, 5]]}, "<answer>[(1.0, 2.5), (4.0, 5.0)]</answer>"),
    "boxes": ({"answer": [[0, 0, 10, 20.5]]}, "<answer>[[0, 0, 10, 20.5]]</answer>"),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_the_response_to_learn_is_right(kind):
    """By the reward, which reads it as a reply; another answer is not, and nothing is said about other references."""
    record, response = ANSWERS[kind]
    found = parsed(**record)
    assert found.response == response
    question = Question("p", found.text, (), "d", "s", target=found.response, reference=found.reference)
    output = AnswerReward()([response, "<think>B</think>" + response, "<answer>none</answer>"], [question] * 3)
    assert output.total.tolist() == [1, 1, 0]
    assert output.success.tolist() == [True, True, False]
    assert output.verdicts.all()


def test_reasoning_is_part_of_the_response():
    assert parsed(reasoning="It rose.").response == "<think>It rose.</think><answer>x</answer>"


def test_what_is_asked():
    lines = parsed(options=["left", "right"], answer="A").text.splitlines()
    assert lines[:3] == ["?", "A. left", "B. right"]
    assert "<answer></answer>" in lines[3]
