"""Reading of completions, compared with the regular expressions that the systems publish on texts where these end."""

import ast
import json
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remot.rewards.parsing.graphs import read_graphs, read_map
from remot.rewards.parsing.literals import box_list, literal_value, one_box
from remot.rewards.parsing.motion import MotionTag, ObjectObservation, motion_tags, object_name, sightings
from remot.rewards.parsing.spans import (
    glue_spans,
    is_quoted_span,
    json_span,
    last_answer_span,
    span_list,
    spans_in,
    spans_of_answer,
)
from remot.rewards.parsing.tags import elements, first_element, is_sequence, last_element
from remot.rewards.parsing.values import first_number, json_value, plain_number

many = settings(deadline=None, database=None, derandomize=True, max_examples=600)
TAGS = ("<think>", "</think>", "<answer>", "</answer>", "<glue>", "</glue>")
tagged = st.lists(st.sampled_from((*TAGS, " ", "\n", "x", "<", "\u00a0", "</")), max_size=14).map("".join)
well_tagged = st.lists(st.sampled_from((" ", "", "x", "</think>", "<answer>", "</answer>", "<think>")), max_size=6).map(
    lambda pieces: f"<think>{''.join(pieces)}</answer>"
)


# -- elements ------------------------------------------------------------------------------------------------------


@given(text=tagged)
@many
def test_elements_are_those_of_the_lazy_pattern(text):
    found = re.findall(r"<answer>(.*?)</answer>", text, re.DOTALL)
    assert list(elements(text, "answer")) == found
    assert first_element(text, "answer") == (found[0] if found else None)
    assert last_element(text, "answer") == (found[-1] if found else None)


@given(text=st.one_of(tagged, well_tagged))
@many
def test_a_sequence_is_a_full_match_of_the_published_pattern(text):
    two = re.fullmatch(r"<think>.*?</think>\s*<answer>.*?</answer>", text, re.DOTALL)
    three = re.fullmatch(r"<think>.*?</think>\s*<answer>.*?</answer>\s*<glue>.*?</glue>", text, re.DOTALL)
    assert is_sequence(text, ("think", "answer")) == (two is not None)
    assert is_sequence(text, ("think", "answer", "glue")) == (three is not None)
    one = re.fullmatch(r"<answer>.*?</answer>", text, re.DOTALL)
    assert is_sequence(text, ("answer",)) == (one is not None)


@pytest.mark.parametrize(
    ("text", "lenient", "once"),
    [
        ("<think>a</think> \n<answer>b</answer>", True, True),
        ("<think></think><answer></answer>", True, True),
        ("<think>a</think>b<answer>c</answer>", False, False),
        ("<think>a</think><answer>b</answer><answer>c</answer>", True, False),
        ("<think>a</think>x</think><answer>b</answer>", True, False),
        (" <think>a</think><answer>b</answer>", False, False),
        ("<map>m</map><think>a</think><answer>b</answer>", False, False),
        ("<think><answer>b</answer>", False, False),
        ("<THINK>a</THINK><ANSWER>b</ANSWER>", False, False),
        ("<think>a</think><answer>", False, False),
        ("", False, False),
    ],
)
def test_sequences_by_hand(text, lenient, once):
    assert is_sequence(text, ("think", "answer")) is lenient
    assert is_sequence(text, ("think", "answer"), once=True) is once


# -- numbers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("4", 4),
        ("about 3.50 m, or 7", 3.5),
        ("-2.5", 2.5),
        ("four", 4),
        ("Forty chairs", 40),
        ("zero or one", 1),
        ("ten, no: two", 2),
        ("a chair and 4 tables", 1),
        ("an hour", 1),
        ("nineties 12", 12),
        ("one_two 12", 12),
        (".5", 5),
        ("٣", None),
        ("½", None),
        ("", None),
        ("none", None),
    ],
)
def test_the_number_spacer_reads(text, number):
    assert first_number(text) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [("1,234.5", 1234.5), (" -2 ", -2), ("1e3", 1000), ("4 m", None), ("nan", None), ("inf", None), ("-Infinity", None),
     ("1_0", None), ("٣", None), ("", None), ("9" * 65, None), ("1e999", None)],
)  # fmt: skip
def test_a_plain_number(text, number):
    assert plain_number(text) == number


@pytest.mark.parametrize(
    "text", ["NaN", "[NaN]", "Infinity", "[1,", "", "[" * 20_000, "[" * 5000 + "]" * 5000, "{'a':1}"]
)
def test_what_is_no_json(text):
    assert json_value(text) is None


def test_json_numbers_are_floats_however_long():
    value = json_value("[1, " + "9" * 5000 + ", -0.5]")
    assert value[0] == 1.0
    assert isinstance(value[0], float)
    assert math.isinf(value[1])


# -- stretches -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("<answer>12.54 to 17.83</answer>", (12.54, 17.83)),
        ("<answer>From 1 TO 2, then 3 and 4.</answer>", (3, 4)),
        ("<answer>1 to 2</answer><answer>5. to 6</answer>", (5, 6)),
        ("<answer>9 to 3</answer>", (9, 3)),
        ("<answer>1.2.3 to 4</answer>", (2.3, 4)),
        ("<answer>1 to 2</answer><answer></answer>", None),
        ("1 to 2", None),
        ("<answer>1 - 2</answer>", None),
        ("<answer>1  to 2</answer>", None),
        ("<answer>1 to 2", None),
    ],
)
def test_the_last_span_of_the_last_answer(text, span):
    assert last_answer_span(text) == span


pieces_of_spans = st.lists(
    st.sampled_from(("1", "2.5", ".", " to ", " and ", " ", "to", " TO ", "30", "x")), max_size=12
)


@given(pieces=pieces_of_spans)
@many
def test_spans_are_those_of_the_published_pattern(pieces):
    text = "".join(pieces)
    found = re.findall(r"(\d+\.?\d*) (to|and) (\d+\.?\d*)", text, re.IGNORECASE)
    assert spans_in(text) == [(float(start), float(end)) for start, _, end in found]


GLUE = re.compile(r"^\[(\(\d+(\.\d+)?,\s*\d+(\.\d+)?\)(,\s*\(\d+(\.\d+)?,\s*\d+(\.\d+)?\))*(,)?|)\]$")
numbers = st.sampled_from(("0", "5", "10.25", "7", "007", "05.5", "5."))
glue = st.lists(st.tuples(numbers, numbers), max_size=4).map(lambda rows: [f"({a}, {b})" for a, b in rows])


@given(
    rows=glue,
    ending=st.sampled_from(("]", ",]", "", ")]", "]\n", "] ", ", ]")),
    start=st.sampled_from(("[", "[,", " [")),
)
@many
def test_glue_is_read_where_the_published_check_passes(rows, ending, start):
    text = start + ", ".join(rows) + ending
    try:
        expected = ast.literal_eval(text) if GLUE.match(text) else None
    except SyntaxError:  # a whole number that begins with 0
        expected = None
    if expected is not None and all(start <= end for start, end in expected):
        assert glue_spans(text) == [tuple(map(float, row)) for row in expected]
    else:
        assert glue_spans(text) is None


@pytest.mark.parametrize(
    "text",
    ["[[5, 10]]", "[,]", "[(1e0, 2e1)]", "[(.5, 1)]", "[(+1, 2)]", "[ (1, 2)]", " [(1, 2)]", "[(1, 2) ]", "5 to 10"],
)
def test_glue_is_not_read_where_the_published_check_fails(text):
    assert GLUE.match(text) is None
    assert glue_spans(text) is None


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("[(5.2, 10.4)]", [(5.2, 10.4)]),
        ("[[5, 10], [12, 13]]", [(5, 10), (12, 13)]),
        ("[]", []),
        ("[(10, 5)]", None),
        ("[(-1, 5)]", None),
        ("[(1, 2, 3)]", None),
        ("(1, 2)", None),
        ("((1, 2))", None),
        ("[(1, 2)", None),
        ("[(1, 2]]", None),
        ("[[1, 2)]", None),
        ("[(1, 2))", None),
        ("([1, 2)]", None),
        ("[)1, 2(]", None),
        ("[(1, 2), [3, 4]]", [(1, 2), (3, 4)]),
        ("[(.5, 1e1),]", [(0.5, 10)]),
        ("[,]", None),
        ('[("1", 2)]', None),
        ("[(true, 2)]", None),
        ("[(1, NaN)]", None),
        ("[(1, 1e999)]", None),
        ("__import__('os')", None),
        ("5 to 10", None),
    ],
)
def test_lists_of_spans(text, spans):
    assert span_list(text) == spans


def test_longest_list_of_spans():
    for read in (span_list, glue_spans):
        assert read("[(1, 2), (3, 4), (5, 6)]", 3) is not None
        assert read("[(1, 2), (3, 4), (5, 6), (7, 8)]", 3) is None


def test_spans_of_either_writing():
    assert spans_of_answer("[(1, 2)]") == [(1, 2)]
    assert spans_of_answer("1 to 2, 5 to 4, 7 to 9") == [(1, 2), (7, 9)]
    assert spans_of_answer("nothing") is None
    assert spans_of_answer("1 to 2, 3 to 4", 1) is None


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ('{"start_time": "3.2", "end_time": "7"}', (3.2, 7)),
        (' {"end_time": 7, "start_time": 3.2, "note": []} ', (3.2, 7)),
        ('{"start_time": "3.2"}', None),
        ('{"start_time": null, "end_time": 1}', None),
        ('{"start_time": true, "end_time": 1}', None),
        ('{"start_time": "three", "end_time": 1}', None),
        ('{"start_time": "nan", "end_time": 1}', None),
        ('{"start_time": [[[]]], "end_time": 1}', None),
        ("[1, 2]", None),
        ("", None),
    ],
)
def test_json_spans(text, span):
    assert json_span(text) == span


@pytest.mark.parametrize(
    ("text", "is_right"),
    [
        ('{"start_time": "3.2", "end_time": "7"}', True),
        (' {\n"start_time" :"3.2" ,"end_time": "7" } ', True),
        ('{"end_time": "7", "start_time": "3.2"}', False),
        ('{"start_time": "3.2", "end_time": "7", "note": "x"}', False),
        ('{"start_time": 3.2, "end_time": 7}', False),
        ('{"start_time": "", "end_time": "7"}', False),
        ('{"start_time": "-1", "end_time": "7"}', False),
        ('{"start_time": "3.2", "end_time": "7"}.', False),
    ],
)
def test_the_quoted_span_of_temporal_rlt(text, is_right):
    published = r'\s*{\s*"start_time"\s*:\s*"([\d.]+)"\s*,\s*"end_time"\s*:\s*"([\d.]+)"\s*}\s*'
    assert bool(re.fullmatch(published, text)) == is_quoted_span(text) == is_right


# -- literals ------------------------------------------------------------------------------------------------------

scalars = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False), st.integers(-(10**6), 10**6), st.booleans(), st.none(),
    st.text("ab '\"\\,[]{}()é", max_size=6),
)  # fmt: skip
literals = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text("ab '\"", max_size=3), inner, max_size=3),
    ),
    max_leaves=12,
)


@given(value=literals)
@many
def test_literals_are_read_as_python_reads_them(value):
    assert literal_value(repr(value)) == value == ast.literal_eval(repr(value))
    assert type(literal_value(repr(value))) is type(value) or isinstance(value, int)


@pytest.mark.parametrize(
    "text",
    ["[1, 2,]", "{'a': [(1, .5),],}", "(1)", "(1,)", "()", "[ ]", "{}", " [+1, -.5e1]", "(((1, 2)))", "[1.]", "[00]"],
)
def test_literals_in_other_spellings(text):
    assert literal_value(text) == ast.literal_eval(text)


@pytest.mark.parametrize(
    "text",
    [
        "[,]", "[1,,]", "[1 2]", "[1, 2", "1, 2]", "[1)", "(,)", "{1}", "{[1]: 2}", "{'a' 1}", "{'a':}", "[01]",
        "1 + 1", "x", "__import__('os')", "'a", "'a\nb'", "[1]]", "(" * 16_000, "(" * 33 + "1," + ")" * 33,
        "[" * 8000 + "]" * 8000, "-" * 16_000 + "1", "[1] " * 20_000, "",
    ],
)  # fmt: skip
def test_what_is_no_literal(text):
    assert literal_value(text) is None


# -- boxes, maps, graphs -------------------------------------------------------------------------------------------


def test_boxes():
    assert box_list("[[0, 0, 1,\n 1], [0.5, 0, 1, 1]]") == [(0, 0, 1, 1), (0.5, 0, 1, 1)]
    assert box_list("[[0, 0, 1, 1]]", 2) is None
    assert box_list("[[0, 0, 1, 1]]", 1) is not None
    for wrong in ("[[0, 0, 1]]", "[0, 0, 1, 1]", "[[0, 0, 1, '1']]", "[[0, 0, 1, NaN]]", "[[[0], 0, 1, 1]]", "x", ""):
        assert box_list(wrong) is None
    assert box_list("[[.5, 0, 1., 1,], [0, 0, 1, 1],]") == [(0.5, 0, 1, 1), (0, 0, 1, 1)]
    assert one_box("[0, 0, 1, 1]") == one_box("(0, 0, 1, 1)") == one_box("[0., .0, 1, 1,]") == (0, 0, 1, 1)
    assert one_box("[[0, 0, 1, 1]]") is one_box("[[0, 0, 1, 1], [0, 0, 1, 1]]") is None
    assert one_box("[]") is None
    assert one_box("[0, 0, 1, 1)") is one_box("(0, 0, 1, 1]") is one_box("[(0, 0, 1, 1])") is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('<map>{"{event}": [[1, 2]], "{a}": [[3, 4]]}</map>', {"{event}": [(1, 2)], "a": [(3, 4)]}),
        ('<map>{"Office  Chair": [[9, 3]], "table": []}</map>', {"office chair": [(9, 3)]}),
        ('<map> {"a": [[1, 2]]} </map><map>{"b": [[1, 2]]}</map>', {"a": [(1, 2)]}),
        ('<map>{"a": [[1, 2, 3]], "b": [[1, 2]]}</map>', {"b": [(1, 2)]}),
        ('<map>{"' + "a" * 65 + '": [[1, 2]]}</map>', {}),
        ("<map>{'a': [[1, 2]]}</map>", {"a": [(1, 2)]}),
        ("<map>{'a': [(1, 2), (3, 4),],}</map>", {"a": [(1, 2), (3, 4)]}),
        ("<map>str{{'a': [(1, 2)]}}</map>", {"a": [(1, 2)]}),
        ("<map>{'<a}:': (1, 2), 'A': '3, 4'}</map>", {"a": [(1, 2), (3, 4)]}),
        ('<map>{"a": [[1.9, -2.9], ["<3>", "4"], [[5, 6]], [7], "?", "8", 9]}</map>', {"a": [(1, -2), (3, 4), (5, 6)]}),
        ('<map>{"a": [[1, 2], [3, 4}</map>', {"a": [(1, 2), (3, 4)]}),
        (
            "<map>an A at 1, 2 and 3; arm chair: 4 5.9 the chair 6,7</map>",
            {"a": [(1, 2)], "arm chair": [(4, 5)], "chair": [(6, 7)]},
        ),
        ("<map>[]</map>", {}),
        ('<map>{"a": [[1e999, 2]]}</map>', {}),
        ("</map><map>", None),
        ('{"a": [[1, 2]]}', None),
        ('<map>{"a": [' + ",".join(["[1,2]"] * 513) + "]}</map>", None),
    ],
)
def test_maps(text, found):
    assert read_map(text, ["a", "chair", "arm chair", "{event}"]) == found


def test_graphs():
    text = (
        '<graph>{"nodes": {"Chair 1": [1, 2], "x": [1]}, "edges": [["chair 1", "Table", 2, 90], ["a", "b", -1, 0], '
        '["a", "b", 1], [1, "b", 1, 1], 5]}</graph> <graph>nonsense</graph><graph>{"nodes": {}}</graph>'
    )
    first, second, third = read_graphs(text, 3)
    assert first.nodes == {"chair 1": (1, 2)}
    assert first.edges == {("chair 1", "table"): (2, 90)}
    assert second is None
    assert (third.nodes, third.edges) == ({}, {})
    assert len(read_graphs(text, 2)) == 2
    assert read_graphs('<graph>{"nodes": [], "edges": {}}</graph>', 1) == [None]
    many_nodes = json.dumps({"nodes": {str(k): [0, 0] for k in range(513)}})
    assert read_graphs(f"<graph>{many_nodes}</graph>", 1) == [None]


# -- motion --------------------------------------------------------------------------------------------------------


def test_motion_tags():
    text = (
        '<motion obj="Red-Car" dir="NE" speed="fast" scale="stable"/> <motion dir="S" scale="stable" speed="slow" '
        'obj="dog"/> <motion obj="cat" dir="N" speed="slow"/> <motion obj="dog" dir="N" speed="slow" scale="receding"/>'
    )
    assert motion_tags(text) == {
        "red car": MotionTag("NE", "fast", "stable"),
        "dog": MotionTag("N", "slow", "receding"),
    }
    assert motion_tags('<motion obj="a" dir="N" speed="slow" scale="stable">') == {}
    assert motion_tags('<motion obj="a" dir="N" speed="slow" scale="stable"' + " " * 600 + "/>") == {}
    assert object_name("  The RED--car! ") == "the red car"


def test_sightings():
    text = (
        "<obj>Man</obj><box>[0, 1, 2, 3]</box>at<t>3.25</t>s, <obj>dog</obj><box>[0,1,2]</box>at<t>1</t>s "
        "<obj>cat</obj><box>[1,1,2,2]</box><box>[9,9,9,9]</box>at<t>4</t>s "
        "<obj>ant</obj><box>[1,1,2,2]</box>at<t>x</t>s"
        "<obj>fly</obj> sat <box>[1,1,2,2]</box>at<t>1</t>s <obj>bee</obj><box>[1,1,2,2]</box>at<t>1</t>"
    )
    assert sightings(text) == [ObjectObservation("man", 3.25, (0, 1, 2, 3)), ObjectObservation("cat", 4, (1, 1, 2, 2))]
