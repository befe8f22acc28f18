import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remot.answers import MAX_COMPLETION_CHARS, answer_char_span, parse_response, render_response
from tests.helpers import hostile_text
from tests.reference.answers import extract


@given(reasoning=st.text(alphabet="abc \nß", max_size=30), letters=st.text(alphabet="ABCDEFGH", max_size=12))
@settings(deadline=None, database=None, derandomize=True)
def test_parse_reads_back_what_render_wrote(reasoning, letters):
    response = render_response(reasoning, letters)
    parsed = parse_response(response)
    assert (parsed.reasoning, parsed.answer, parsed.well_formed) == (reasoning, letters, True)
    start, end = answer_char_span(response)
    assert response[start:end] == letters


@pytest.mark.parametrize(
    ("completion", "answer"),
    [
        ("<think>x</think><answer>cab</answer>", "CAB"),
        ("<think>x</think><answer> cab\n</answer>", "CAB"),
        ("<answer>A</answer><answer>B</answer>", "A"),  # the first one counts
        ("<think><answer>A</answer></think><answer>B</answer>", "A"),
        ("<think>x</think> cab ", "CAB"),  # no element: what follows the reasoning
        ("<think>x</think><answer>CAB", "<ANSWER>CAB"),  # an element that is never closed is no element
        ("<THINK>x</THINK><Answer>CAB</ANSWER>", "CAB"),
        ("<think>x</Think>CAB", "CAB"),
        ("CAB", ""),
        ("", ""),
    ],
)
def test_answer_is_found_as_the_public_evaluation_finds_it(completion, answer):
    assert parse_response(completion).answer == extract(completion) == answer


@pytest.mark.parametrize(
    ("completion", "well_formed"),
    [
        (" <think>x</think>\n<answer>A</answer>\n", True),
        ("<think></think><answer></answer>", True),
        ("<think>x</think>so<answer>A</answer>", False),
        ("<think>x</think><answer>A</answer>!", False),
        ("x<think>x</think><answer>A</answer>", False),
        ("<answer>A</answer><think>x</think>", False),
        ("<think>x<answer>A</answer>", False),
        ("<think>x</think><answer>A", False),
        ("<think>x</think><answer>A</answer><answer>A</answer>", False),
        ("<think><think>x</think><answer>A</answer>", False),
        ("<think><ANSWER>B</ANSWER></think><answer>A</answer>", False),  # the answer read would be B
        ("<THINK>x</THINK><ANSWER>A</ANSWER>", False),
        ("<think>" + "x" * MAX_COMPLETION_CHARS + "</think><answer>A</answer>", False),
        ("", False),
    ],
)
def test_well_formed(completion, well_formed):
    assert parse_response(completion).well_formed is well_formed


def test_what_follows_the_longest_completion_read_does_not_hide():
    response = render_response("", "A")
    padded = response[:7] + "x" * (MAX_COMPLETION_CHARS - len(response)) + response[7:]
    assert len(padded) == MAX_COMPLETION_CHARS
    assert parse_response(padded).well_formed
    assert not parse_response(padded + " and more").well_formed


@given(completion=hostile_text)
@settings(deadline=None, database=None, derandomize=True, max_examples=300)
def test_hostile_text_is_read_as_the_reference_reads_it(completion):
    parsed = parse_response(completion)
    assert parsed.answer == extract(completion)
    assert not parsed.well_formed or "<answer>" in completion


@pytest.mark.parametrize("piece", ["<answer>", "</answer>", "<think>", "<answer></think>", "<", " ", "ß"])
def test_a_million_characters_take_no_time(piece):
    started = time.perf_counter()
    parse_response(piece * (1_000_000 // len(piece)))
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("response", ["", "<answer>A", "</answer>A<answer>", "A</answer>"])
def test_no_answer_to_take_the_loss_on(response):
    with pytest.raises(ValueError, match="no <answer>"):
        answer_char_span(response)
