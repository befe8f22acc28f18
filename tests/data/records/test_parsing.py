"""Lines of built prompts: what is written is read back, and what others write is checked."""

import copy
import json
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remot.answers import LETTERS
from remot.data.records.jsonl import MAX_LINE_CHARS, read_lines
from remot.data.records.parsing import from_record
from remot.data.records.schema import BuiltFrame, BuiltPrompt, to_line
from remot.errors import AnnotationError
from remot.motion import ATTRIBUTES, PAIRS
from remot.structures import MaskOf, MotionLabel, Question, Slot, Warp

WORDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
FINITE = st.floats(allow_nan=False, allow_infinity=False, width=64)
SIZES = st.floats(0, 1e6)


@st.composite
def transforms(draw):
    kind = draw(st.sampled_from(["none", "mask", "warp"]))
    if kind == "none":
        return None
    if kind == "mask":
        return MaskOf(draw(WORDS))
    matrix = tuple(draw(st.lists(FINITE, min_size=9, max_size=9)))
    sides = st.integers(1, 4000)
    return Warp(draw(WORDS.filter(lambda word: word != "mask")), matrix, (draw(sides), draw(sides)))


@st.composite
def slots_of(draw, labels):
    kind = draw(st.sampled_from(["letters", "claims", "numbers"]))
    asked = labels[: draw(st.integers(1, len(labels)))]
    if kind == "numbers":
        numbers = st.decimals(-999, 999, places=2).map(str)
        return tuple(Slot(label, (), draw(numbers), "", draw(SIZES)) for label in asked)
    if kind == "claims":
        return tuple(Slot(label, ("true", "false"), draw(st.sampled_from("TF")), "TF") for label in asked)
    options = tuple(draw(st.lists(WORDS, min_size=2, max_size=8, unique=True)))
    return tuple(Slot(label, options, draw(st.sampled_from(LETTERS[: len(options)]))) for label in asked)


@st.composite
def prompts(draw):
    attribute = ATTRIBUTES[draw(st.sampled_from(sorted(ATTRIBUTES)))]
    subject = draw(st.one_of(st.just(""), WORDS))
    labels = tuple(
        MotionLabel(pair, attribute.name, draw(st.sampled_from(attribute.values)), draw(SIZES), attribute.unit, subject)
        for pair in (PAIRS if attribute.answers_are_codes else PAIRS[:1])
    )
    question = Question(
        draw(WORDS),
        draw(WORDS),
        draw(slots_of(labels)),
        draw(WORDS),
        draw(WORDS),
        draw(st.text(max_size=9)),
        "f",
        task=draw(WORDS),
    )
    frames = tuple(BuiltFrame(draw(st.integers(0, 10**9)), draw(FINITE), draw(transforms())) for _ in range(3))
    return BuiltPrompt(
        question=question,
        task_index=draw(st.integers(0, 99)),
        images=tuple(draw(st.lists(WORDS, min_size=3, max_size=3))),
        frames=frames,
        as_video=False,
        labels=labels,
        negative=draw(WORDS),
        clip_id=draw(WORDS),
        split=draw(st.sampled_from(["train", "val", "test"])),
        seed=draw(st.integers(-9, 2**40)),
    )


def tidy(prompt):
    """Reasoning is free text, in which hypothesis also puts half characters."""
    text = prompt.question.reasoning
    return not any("\ud800" <= character <= "\udfff" for character in text)


@settings(max_examples=150, deadline=None)
@given(prompts().filter(tidy))
def test_what_is_written_is_read_back(prompt):
    line = to_line(prompt)
    assert "\n" not in line
    assert from_record("here", json.loads(line)) == prompt


def test_lines_are_distinguished_by_line_breaks_only(tmp_path):
    """Other characters that some programs take for the end of a line stay inside."""
    texts = ["a\u2028b", "c\u0085d", "e\x0bf", "\r g"]
    file = tmp_path / "x.jsonl"
    file.write_text("".join(json.dumps({"t": text}, ensure_ascii=False) + "\n\n" for text in texts), "utf-8")
    assert [(number, one["t"]) for number, one in read_lines(file)] == list(zip((1, 3, 5, 7), texts, strict=True))


# -- hostile lines -------------------------------------------------------------------------------------------------


def good(number_slot=False):
    """A record with a transform and a mask, as JSON."""
    labels = tuple(
        MotionLabel(pair, "object_vertical", value, 30.0, "pixels", "ball")
        for pair, value in zip(PAIRS, ("up", "none", "down"), strict=True)
    )
    options = ("up", "down", "none")
    slots = (
        tuple(Slot(label, (), "30", "", 2.0) for label in labels)
        if number_slot
        else tuple(Slot(label, options, LETTERS[options.index(label.value)]) for label in labels)
    )
    frames = (
        BuiltFrame(3, 0.3, Warp("mirror", (-1.0, 0, 32.0, 0, 1.0, 0, 0, 0, 1.0), (32, 32))),
        BuiltFrame(4, 0.4, MaskOf("ball")),
        BuiltFrame(5, 0.5, None),
    )
    names = ("train/0/0", "Which way?", slots, "home", "kitchen", "it rose", "multiple_choice")
    question = Question(*names, task="motion_contrast")
    images = ("frames/a/1.png", "frames/a/2.png", "frames/a/3.png")
    prompt = BuiltPrompt(question, 0, images, frames, False, labels, "mirror", "a", "train", 7)
    return json.loads(to_line(prompt))


def refusal(record):
    with pytest.raises(AnnotationError) as error:
        from_record("x.jsonl: line 4", record)
    assert str(error.value).startswith("x.jsonl: line 4")
    assert len(str(error.value)) < 600
    return str(error.value)


def changed(path, value, **kinds):
    """The good record with something else at a place."""
    record = good(**kinds)
    *way, last = path
    place = record
    for step in way:
        place = place[step]
    place[last] = value
    return record


FAULTS = [
    (("id",), 5, "id must be a non-empty text, found 5"),
    (("id",), "", "id must be a non-empty text"),
    (("images",), [], "images must be a list of 1 to 4096 things"),
    (("images",), "abc", "images must be a list"),
    (("images", 0), 7, "images must be a non-empty text"),
    (("messages",), [], "messages must be a list of 1 things"),
    (("messages", 0), "hello", "expected an object"),
    (("messages", 0, "role"), "system", "the message is from 'system', expected 'user'"),
    (("messages", 0, "content"), None, "content must be a non-empty text"),
    (("solution",), "<answer>AAA</answer>", "the solution '<answer>AAA</answer>' is not that of the slots, 'ACB'"),
    (("solution",), 3, "solution must be a text, found 3"),
    (("remot",), [], "remot: expected an object"),
    (("remot", "domain"), ["a"], "domain must be a non-empty text"),
    (("remot", "reasoning"), 1, "reasoning must be a text"),
    (("remot", "reasoning"), "\ud800", "reasoning holds half of a character"),
    (("remot", "split"), "dev", "split is 'dev', choose from train, val, test"),
    (("remot", "split"), ["train"], "split is ['train']"),
    (("remot", "seed"), 1.5, "seed must be a whole number, found 1.5"),
    (("remot", "seed"), True, "seed must be a whole number, found True"),
    (("remot", "seed"), 10**400, "seed must be a whole number, found int"),
    (("remot", "frames"), [], "frames must be a list of 1 to 4096 things"),
    (("remot", "frames", 0, "index"), -1, "index must be a whole number of at least 0"),
    (("remot", "frames", 0, "index"), "3", "index must be a whole number of at least 0, found '3'"),
    (("remot", "frames", 0, "pts_seconds"), math.nan, "pts_seconds is not finite"),
    (("remot", "frames", 0, "pts_seconds"), 10**400, "pts_seconds is not finite"),
    (("remot", "frames", 0, "pts_seconds"), "0.3", "pts_seconds must be a number"),
    (("remot", "frames", 0, "transform"), "mirror", "transform: expected an object"),
    (("remot", "frames", 0, "transform", "matrix"), [1, 0], "matrix must be a list of 9 numbers"),
    (("remot", "frames", 0, "transform", "matrix", 8), math.inf, "matrix is not finite"),
    (("remot", "frames", 0, "transform", "size"), [10**6, 10**6], "1000000x1000000 pixels is too large"),
    (("remot", "frames", 0, "transform", "size"), [0, 5], "size must be a whole number of at least 1"),
    (("remot", "frames", 0, "transform", "kind"), 3, "kind must be a non-empty text"),
    (("remot", "frames", 1, "transform", "subject"), None, "subject must be a non-empty text"),
    (("remot", "frames", 1, "transform", "size"), [3, 3], "unknown key 'size'"),
    (("remot", "labels"), [], "no label of the pair (1, 2)"),
    (("remot", "labels", 0, "attribute"), "camera_zoom", "no attribute has this name, value and unit"),
    (("remot", "labels", 0, "value"), "left", "no attribute has this name, value and unit together"),
    (("remot", "labels", 0, "value"), ["up"], "no attribute has this name, value and unit together"),
    (("remot", "labels", 0, "unit"), "metres", "no attribute has this name, value and unit together"),
    (("remot", "labels", 0, "magnitude"), -1, "magnitude is -1, expected at least 0"),
    (("remot", "labels", 0, "magnitude"), math.nan, "magnitude is not finite"),
    (("remot", "labels", 0, "magnitude"), "30", "magnitude must be a number"),
    (("remot", "labels", 0, "pair"), [2, 1], "must be about the pairs (1, 2), (1, 3), (2, 3) in order"),
    (("remot", "labels", 0, "pair"), [1, 2, 3], "pair must be two numbers of images"),
    (("remot", "labels", 0, "subject"), "cup", "one attribute of one subject"),
    (("remot", "slots"), [], "neither slots nor a reference"),
    (("remot", "reference"), {}, "reference: holds nothing"),
    (("remot", "frames"), good()["remot"]["frames"][:2], "an image that the 2 frames do not include"),
    (("remot", "slots", 0, "pair"), [3, 4], "no label of the pair (3, 4)"),
    (("remot", "slots", 0, "gold"), "D", "gold is 'D', which is none of the letters ABC"),
    (("remot", "slots", 0, "gold"), "AB", "gold is 'AB'"),
    (("remot", "slots", 0, "letters"), "AB", "3 options with the letters 'AB'"),
    (("remot", "slots", 0, "letters"), "AAB", "3 options with the letters 'AAB'"),
    (("remot", "slots", 0, "options"), ["up", "up", "none"], "expected different ones"),
    (("remot", "slots", 0, "options"), [], "0 options"),
    (("remot", "slots", 0, "tolerance"), 1, "asks for a number, but has options or letters"),
]


@pytest.mark.parametrize(("path", "value", "sentence"), FAULTS, ids=lambda value: str(value)[:40])
def test_a_wrong_value_is_named(path, value, sentence):
    assert sentence in refusal(changed(path, value))


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        (("remot", "slots", 0, "gold"), "thirty", "gold is no number: 'thirty'"),
        (("remot", "slots", 0, "tolerance"), -1, "tolerance is -1, expected at least 0"),
        (("remot", "slots", 0, "tolerance"), math.nan, "tolerance is not finite"),
        (("remot", "slots", 0, "options"), ["up", "down"], "asks for a number, but has options or letters"),
        (("remot", "slots", 0), good()["remot"]["slots"][0], "some slots ask for letters and others for numbers"),
    ],
)
def test_a_wrong_number_is_named(path, value, sentence):
    assert sentence in refusal(changed(path, value, number_slot=True))


@pytest.mark.parametrize("way", [(), ("remot",), ("messages", 0), ("remot", "frames", 0), ("remot", "labels", 1)])
def test_missing_and_unknown_keys_are_named(way):
    for key in list(_at(good(), way)):
        without = good()
        _at(without, way).pop(key)
        told = refusal(without)
        assert key in told or "kind" in told
    more = good()
    _at(more, way)["evil"] = 1
    assert "unknown key 'evil'" in refusal(more)


def _at(record, way):
    for step in way:
        record = record[step]
    return record


def test_the_good_ones_are_good():
    for number_slot in (False, True):
        assert from_record("here", good(number_slot)).clip_id == "a"


def test_a_mask_frame_has_one_label():
    record = good()
    labels = record["remot"]["labels"]
    labels[:] = [labels[0] | {"attribute": "mask_frame", "value": "first", "unit": "overlap"}]
    assert "no label of the pair (1, 3)" in refusal(record)
    labels += [labels[0] | {"pair": [1, 3]}]
    assert "must be about the pairs (1, 2) in order" in refusal(record)


LINES = {
    "deep": ("[" * 100_000, "line 2: not valid JSON"),
    "a key twice": ('{"id": "a", "id": "b"}', "line 2: 'id' comes twice"),
    "huge": ('{"id": "' + "x" * MAX_LINE_CHARS + '"}', f"line 2 is longer than {MAX_LINE_CHARS} characters"),
    "cut": ('{"id": "a", ', "line 2: not valid JSON"),
    "list": ("[1, 2]", "line 2: expected an object"),
    "NaN": ('{"id": NaN}', "line 2: not valid JSON (NaN is no JSON number)"),
    "Infinity": ('{"id": -Infinity}', "line 2: not valid JSON (-Infinity is no JSON number)"),
    "digits": ('{"id": ' + "9" * 5000 + "}", "line 2: not valid JSON"),
    "foreign": ('{"a": 1}', "line 2: unknown key 'a'"),
    "deep value": ('{"id": ' + "[" * 900 + "]" * 900 + "}", "line 2"),
}


@pytest.mark.parametrize("kind", LINES)
def test_a_hostile_line_gets_a_one_line_error(tmp_path, kind):
    line, sentence = LINES[kind]
    file = tmp_path / "x.jsonl"
    file.write_text(json.dumps(good()) + "\n" + line + "\n")
    with pytest.raises(AnnotationError) as error:
        [from_record(f"{file}: line {number}", record) for number, record in read_lines(file)]
    assert str(error.value).startswith(f"{file}")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", None])
def test_a_file_that_is_no_text(tmp_path, content):
    file = tmp_path / "x.jsonl"
    file.write_bytes(content) if content else file.mkdir()
    with pytest.raises(AnnotationError, match=r"x\.jsonl: .*text"):
        list(read_lines(file))


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=5), children, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(JUNK, st.randoms(use_true_random=False), st.booleans())
def test_junk_anywhere_is_refused_or_read(junk, chance: random.Random, number_slot):
    """Nothing but the library's own error comes out, and what is read can be written again."""
    record = copy.deepcopy(good(number_slot))
    place, key = record, "id"
    while True:
        key = chance.choice(list(place) if isinstance(place, dict) else range(len(place)))
        if not isinstance(place[key], dict | list) or not place[key] or chance.random() < 0.2:
            break
        place = place[key]
    place[key] = junk
    try:
        prompt = from_record("here", record)
    except AnnotationError:
        return
    assert from_record("here", json.loads(to_line(prompt))) == prompt
