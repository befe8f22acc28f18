import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remot.answers import (
    MAX_COMPLETION_CHARS,
    answer_char_span,
    letter_char_spans,
    parse_number,
    parse_response,
    render_response,
)
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


@pytest.mark.parametrize(
    ("completion", "is_answer_alone"),
    [
        (" <answer>A</answer>\n", True),
        ("<answer></answer>", True),
        ("<think>x</think><answer>A</answer>", False),
        ("<answer>A</answer><think>x</think>", False),
        ("<answer><think>A</think></answer>", False),
        ("<answer></THINK>A</answer>", False),
        ("so <answer>A</answer>", False),
        ("<answer>A</answer>!", False),
        ("<answer>A</answer><answer>A</answer>", False),
        ("<answer><ANSWER>A</answer>", False),
        ("<answer>A", False),
        ("<answer>" + "x" * MAX_COMPLETION_CHARS + "</answer>", False),
        ("", False),
    ],
)
def test_an_answer_alone(completion, is_answer_alone):
    assert parse_response(completion).is_answer_alone is is_answer_alone


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


def test_letters_that_stand_alone():
    """Options A to H, and T and F of claims; letters within words do not stand alone."""
    response = "first T B, second F I: A1 (C) T-bar"
    assert [response[start:end] for start, end in letter_char_spans(response)] == ["T", "B", "F", "C", "T"]


# -- numbers -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12", 12),
        ("-12.5 degrees", -12.5),
        ("+3.25M", 3.25),
        (" 7\n", 7),
        ("007", 7),
        ("-0", 0),
        (".5", 0.5),
        ("-.25 m", -0.25),
        ("4.", 4),
        ("0.3333333333333", 1 / 3),
        ("90°", 90),
        ("15 %", 15),
        ("999999", 999_999),
    ],
)
def test_a_number_with_a_unit_is_read(text, number):
    assert parse_number(text) == pytest.approx(number)


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ".", "-", "+", "-.", "x", "NaN", "nan", "inf", "-Infinity", "None", "twelve", "degrees 5"),
        *("1e999", "1e3", "1E+5", "0x10", "1_000", "1,5", "1 000", "12 34", "1.2.3", "--3", "+-3", "- 3", "3-", "3 -"),
        *(
            "1000000",
            "9" * 40,
            "1." + "0" * 40,
            "-123456." + "1" * 20 + " degrees",
            "5 m/s",
            "5 degrees right",
            "5   degrees",
            "5 " + "a" * 13,
        ),
        *("١٢", "１２", "²", "−5", "Ⅷ", "5\x00", "5\n6", "\ud8005", "<b>5</b>", "5\u200b"),
    ],
)
def test_what_is_no_number(text):
    """Exponents, words, digits of other scripts, two numbers in one, and what is too long to be meant."""
    assert parse_number(text) is None


@given(text=st.one_of(hostile_text, st.text(alphabet="0123456789.+-eExXnNaAiIfF _,٣°%", max_size=40)))
@settings(deadline=None, database=None, derandomize=True, max_examples=500)
def test_whatever_is_read_as_a_number_is_one(text):
    """A finite number whose digits are in the text, in ASCII; nothing raises."""
    number = parse_number(text)
    if number is not None:
        assert abs(number) < 1e6
        assert any(digit in text for digit in "0123456789")
        assert float("".join(sign for sign in text if sign in "0123456789.+-")) == number


@pytest.mark.parametrize("piece", ["9", "-", ".", " ", "9 ", "1.", "a", "\x00"])
def test_a_million_characters_are_no_number_and_take_no_time(piece):
    started = time.perf_counter()
    assert parse_number(piece * (1_000_000 // len(piece))) is None
    assert parse_number(" " * 1_000_000 + "5" + " " * 1_000_000) == 5
    assert time.perf_counter() - started < 1
