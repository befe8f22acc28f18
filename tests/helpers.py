"""What several tests need: a question factory, hostile text, and a comparison that cannot be made vacuous."""

from pathlib import Path

import torch
from hypothesis import strategies as st

from remot.answers import render_response
from remot.motion import ATTRIBUTES, PAIRS
from remot.structures import MotionLabel, Question, Slot

#: The project's folder.
PROJECT = Path(__file__).parents[1]

MAX_RTOL = 1e-2


def assert_close(actual, expected, *, rtol=1e-6, atol=1e-9):
    """Numbers or tensors are equal up to a tolerance that still means something."""
    if rtol > MAX_RTOL:
        msg = f"rtol {rtol} is so wide that the test would hardly fail"
        raise ValueError(msg)
    actual = torch.as_tensor(actual)
    expected = torch.as_tensor(expected, dtype=actual.dtype)
    torch.testing.assert_close(actual, expected, rtol=rtol, atol=atol, equal_nan=True)


def make_slot(gold, pair, attribute="camera_yaw", subject="", options=None):
    """A slot whose options are (positive, negative, none) unless told, so that A, B, C mean the signs +1, -1, 0."""
    values = ATTRIBUTES[attribute].values if options is None else options
    value = values["ABCDEFGH".index(gold)]
    label = MotionLabel(pair, attribute, value, magnitude=1.0, unit=ATTRIBUTES[attribute].unit, subject=subject)
    return Slot(label=label, options=tuple(values), gold=gold)


def make_question(solution="ABB", attribute="camera_yaw", subject="", pairs=PAIRS, prompt_id="q"):
    """A question about one attribute of one subject; by default 1→2 positive, 1→3 and 2→3 negative."""
    slots = tuple(make_slot(gold, pair, attribute, subject) for gold, pair in zip(solution, pairs, strict=True))
    return Question(prompt_id=prompt_id, text="?", slots=slots, domain="test", scene_id="s")


def join_questions(*questions):
    """One prompt that asks everything the ``questions`` ask, in order."""
    slots = tuple(slot for question in questions for slot in question.slots)
    return Question(prompt_id="joined", text="?", slots=slots, domain="test", scene_id="s")


def respond(letters, num_words=2):
    """A well-formed completion with ``num_words`` words of reasoning."""
    return render_response(" ".join(["moved"] * num_words), letters)


#: Completions made to break parsers: nested, repeated, upper-case and torn tags, letters, white space, odd Unicode.
HOSTILE_PIECES = (
    *("<think>", "</think>", "<answer>", "</answer>", "<THINK>", "</Think>", "<Answer>", "</ANSWER>"),
    *("<answer", "answer>", "</", "<", ">", "A", "B", "C", "abb", "ABB", " ", "\n", "\u00a0", "ß", "İ", "ſ", "\ud800"),
    *("\x00", "reason", "D"),
)
hostile_text = st.one_of(st.lists(st.sampled_from(HOSTILE_PIECES), max_size=25).map("".join), st.text(max_size=60))
