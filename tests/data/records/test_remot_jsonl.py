"""Records in the layouts of the published test files, written by hand."""

import contextlib
import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remot.data.records import remot_jsonl
from remot.data.records.remot_jsonl import parse_record
from remot.errors import AnnotationError

HAND = (
    "The pictures show what a robot sees.\n"
    "Did the left hand open or close from Image 1 to Image 2? A: Opened, B: Closed, C: No movement.\n"
    "Did the left hand open or close from Image 1 to Image 3? A: No movement, B: Opened, C: Closed.\n"
    "Only return the correct option A, B,or C for each question inside <answer></answer>, e.g., <answer>CAB</answer>"
)
TURN = (
    "Ignore translation. Select the direction from Image 1 to Image 2 among the following options, "
    "A: No rotation, B: Left, C: Right.\n"
    "Select the angle from Image 1 to Image 2 among the following options, "
    "A: 42 degrees, B: No rotation, C: 14 degrees, D: 82 degrees.\n"
    "Only return A, B, C, or D in <answer></answer>, for example <answer>AD</answer>."
)
MASK = (
    "Image 3 is a mask.\nWhich picture does it belong to?\nA: Image 1\nB: Image 2\nC: Neither\n"
    "Reply with the correct letter inside <answer></answer>."
)
COUNT = "How many cups are there? Answer with a number inside <answer></answer>."


def line(text=HAND, solution="<answer>AC</answer>", **changes):
    content = {
        "images": ["/far/a.png", "/far/p.png", "/far/n.png"],
        "messages": [{"role": "user", "content": text}],
        "solution": solution,
        "id": "idx_0",
        **changes,
    }
    return json.dumps({key: value for key, value in content.items() if value is not None})


def test_options_at_the_end_of_a_line():
    prompt = parse_record(line())
    assert (prompt.prompt_id, prompt.solution, prompt.text) == ("idx_0", "AC", HAND)
    assert prompt.images == ("/far/a.png", "/far/p.png", "/far/n.png")
    assert [slot.options for slot in prompt.slots] == [
        (("A", "Opened"), ("B", "Closed"), ("C", "No movement")),
        (("A", "No movement"), ("B", "Opened"), ("C", "Closed")),
    ]
    assert prompt.slots[0].text == "Did the left hand open or close from Image 1 to Image 2?"


def test_three_or_four_options():
    prompt = parse_record(line(TURN, "<answer>BD</answer>"))
    assert dict(prompt.slots[0].options)["B"] == "Left"
    assert dict(prompt.slots[1].options) == {
        "A": "42 degrees",
        "B": "No rotation",
        "C": "14 degrees",
        "D": "82 degrees",
    }


def test_options_in_lines_of_their_own():
    prompt = parse_record(line(MASK, "<answer>C</answer>"))
    (slot,) = prompt.slots
    assert slot.text == "Which picture does it belong to?"
    assert slot.options == (("A", "Image 1"), ("B", "Image 2"), ("C", "Neither"))


@pytest.mark.parametrize(("solution", "read"), [("3", "3"), ("t", "T"), (" TRUE ", "TRUE")])
def test_without_options_there_are_no_slots(solution, read):
    prompt = parse_record(line(COUNT, f"<answer>{solution}</answer>"))
    assert (prompt.solution, prompt.slots) == (read, ())


def test_a_record_may_have_no_name():
    assert parse_record(line(id=None)).prompt_id == ""


@pytest.mark.parametrize(
    ("text", "message", "reason"),
    [
        ("{", "line 3: not valid JSON", "malformed"),
        ("[" * 50_000, "line 3: not valid JSON", "malformed"),
        ("[1]", "line 3: expected an object", "malformed"),
        (line(answer="A"), "line 3: unknown key 'answer'", "malformed"),
        (line(solution=None), "line 3: key 'solution' is missing", "malformed"),
        (line(solution="AC"), "solution has no text between", "missing"),
        (line(solution="<answer> </answer>"), "solution has no text between", "missing"),
        (line(solution="<answer>ACA</answer>"), "line 3: 2 questions but the solution 'ACA'", "unsynchronised"),
        (line(solution="<answer>AD</answer>"), "has 'D' for question 2, which has no such option", "malformed"),
        (line(messages=[]), "messages must hold one message", "shape"),
        (line(messages=[{"role": "system", "content": "x"}]), "the message is from 'system'", "malformed"),
        (line(messages=[{"role": "user", "content": ["x"]}]), "content must be a non-empty text", "malformed"),
        (line(images=[]), "images must be a list of 1 to 32 paths", "shape"),
        (line(images=["a"] * 33), "images must be a list of 1 to 32 paths", "shape"),
        (line(images=["a", 7]), "images must hold paths only", "malformed"),
        (line(id=7), "id must be a non-empty text", "malformed"),
        (line("x" * 100_001), "longer than 100000 characters", "too large"),
    ],
)
def test_malformed_records_are_named(text, message, reason):
    with pytest.raises(AnnotationError) as caught:
        parse_record(text, "test.jsonl: line 3")
    assert message in str(caught.value)
    assert "test.jsonl: line 3" in str(caught.value)
    assert caught.value.reason == reason


PIECES = (" A: ", ", B: ", ", C: ", "A: x\n", "B: y\n", "\n", "A:", ":", ",", " ", "<answer>", "Image 1")


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=60).map("".join))
def test_any_text_is_read_or_refused(text):
    """Options found in hostile text are at least two, lettered from A on."""
    try:
        prompt = parse_record(line(text, "<answer>A</answer>"))
    except AnnotationError:
        return
    for slot in prompt.slots:
        assert [letter for letter, _ in slot.options] == list("ABCDEFGH"[: len(slot.options)])
        assert len(slot.options) > 1


@pytest.mark.parametrize("piece", [" A: ", ", B: ", " A: x, B: y", "\n", "A: x\n", "A:\n"])
def test_long_hostile_text_is_read_quickly(piece, monkeypatch):
    """Quadratic reading of a million characters would take minutes."""
    monkeypatch.setattr(remot_jsonl, "MAX_LINE_CHARS", 10**7)
    text = line("x" + piece * (10**6 // len(piece)), "<answer>A</answer>")
    start = time.monotonic()
    with contextlib.suppress(AnnotationError):
        parse_record(text)
    assert time.monotonic() - start < 20


def test_nothing_is_opened(monkeypatch):
    """The paths of a record are words of another machine."""
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("a path of the record was opened"))
    assert parse_record(line(images=["/etc/passwd", "../../secret"])).images == ("/etc/passwd", "../../secret")
