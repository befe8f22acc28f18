"""One's own questions as JSON lines."""

import json

import pytest

from remot.data.records.qa_jsonl import parse_qa, read_qa
from remot.errors import AnnotationError


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
