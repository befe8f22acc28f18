"""Reading what :mod:`remot.data.records` writes. Such files may come from anybody: every value is checked."""

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from remot.answers import ANSWER_CLOSE, ANSWER_OPEN, LETTERS, parse_number
from remot.data.annotations.base import check_keys, require_object
from remot.data.fields import number_in, numbers_in, pair_in, text_in, whole_in
from remot.data.picture_files import MAX_PICTURE_PIXELS
from remot.data.records import BuiltFrame, BuiltPrompt
from remot.errors import AnnotationError
from remot.motion import ATTRIBUTES, PAIRS
from remot.structures import MaskOf, MotionLabel, PictureTransform, Question, Slot, Warp, as_task

#: Longest line that is read, in characters.
MAX_LINE_CHARS = 2**20
SPLITS = ("train", "val", "test")
_KEYS = ("domain", "scene", "clip", "split", "frames", "labels", "slots", "negative", "format", "seed", "reasoning")


def read_lines(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and JSON object of each line of a file.

    Raises:
        AnnotationError: If the file cannot be read, or a line is too long or no JSON object.
    """
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(iter(lambda: lines.readline(MAX_LINE_CHARS + 1), ""), 1):
                if len(line) > MAX_LINE_CHARS:
                    msg = f"{file}: line {number} is longer than {MAX_LINE_CHARS} characters, split the file"
                    raise AnnotationError(msg, reason="too large")
                if line.strip():
                    yield number, _parse_line(file, number, line)
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{file}: cannot be read as text ({error})"
        raise AnnotationError(msg) from error


def _parse_line(file: Path, number: int, line: str) -> dict[str, Any]:
    try:
        content = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        msg = f"{file}: line {number} is not valid JSON ({error})"
        raise AnnotationError(msg) from error
    return require_object(f"{file}: line {number}", content)


def _refuse_constant(name: str) -> None:
    msg = f"{name} is no JSON number"
    raise ValueError(msg)


class Built(Protocol):
    """What all lines of built prompts have, whatever they ask."""

    @property
    def question(self) -> Question:
        """The question, and with it its name."""

    @property
    def clip_id(self) -> str:
        """Source clip."""

    @property
    def split(self) -> str:
        """Split it was built for."""


BuiltT = TypeVar("BuiltT", bound=Built)
#: From file and line, for messages, and a JSON object to the prompt in it.
Parse = Callable[[str, Mapping[str, Any]], BuiltT]


def read_prompts(file: Path, parse: Parse[BuiltT], num_prompts: int | None = None) -> list[BuiltT]:
    """The prompts in a file.

    Args:
        file: One prompt a line.
        parse: Reads a line.
        num_prompts: How many to read; None for all.

    Raises:
        AnnotationError: If there is none, an id stands there twice, or a line is malformed.
    """
    prompts, lines = list[BuiltT](), dict[str, int]()
    for number, record in read_lines(file):
        prompts.append(parse(f"{file}: line {number}", record))
        if (first := lines.setdefault(prompts[-1].question.prompt_id, number)) != number:
            msg = f"{file}: line {number} has the id of line {first}, {prompts[-1].question.prompt_id}"
            raise AnnotationError(msg, reason="duplicate id")
        if len(prompts) == num_prompts:
            break
    if not prompts:
        msg = f"{file}: holds no prompt, build it again"
        raise AnnotationError(msg)
    return prompts


def not_too_deep(parse: Parse[BuiltT]) -> Parse[BuiltT]:
    """``parse``, with values that are nested too deeply to be written into a sentence named as such."""

    @functools.wraps(parse)
    def careful(where: str, record: Mapping[str, Any]) -> BuiltT:
        try:
            return parse(where, record)
        except RecursionError as error:
            msg = f"{where}: values are nested too deeply"
            raise AnnotationError(msg) from error

    return careful


@not_too_deep
def from_record(where: str, record: Mapping[str, Any]) -> BuiltPrompt:
    """The prompt in a line that :func:`remot.data.records.to_line` wrote.

    Args:
        where: File and line, for messages.
        record: The JSON object.

    Raises:
        AnnotationError: Naming the key at fault.
    """
    return _prompt_from(where, record)


def _prompt_from(where: str, record: Mapping[str, Any]) -> BuiltPrompt:
    check_keys(where, record, ("id", "images", "messages", "solution", "remot"))
    facts = require_object(f"{where}: remot", record["remot"])
    check_keys(f"{where}: remot", facts, _KEYS, ("task",))
    labels = _labels(where, facts["labels"])
    question = Question(
        prompt_id=text_in(where, record, "id"),
        text=user_text(where, record["messages"]),
        slots=_slots(where, facts["slots"], labels),
        domain=text_in(where, facts, "domain"),
        scene_id=text_in(where, facts, "scene"),
        reasoning=text_in(where, facts, "reasoning", may_be_empty=True),
        format=text_in(where, facts, "format"),
    )
    if record["solution"] != f"{ANSWER_OPEN}{question.solution}{ANSWER_CLOSE}":
        msg = f"{where}: the solution {record['solution']!r:.80} is not that of the slots, {question.solution!r}"
        raise AnnotationError(msg, reason="unsynchronised")
    if facts["split"] not in SPLITS:
        msg = f"{where}: split is {facts['split']!r:.40}, choose from {', '.join(SPLITS)}"
        raise AnnotationError(msg)
    return BuiltPrompt(
        question=as_task(question, text_in(where, facts, "task")) if "task" in facts else question,
        images=_images(where, record["images"]),
        clip_id=text_in(where, facts, "clip"),
        split=facts["split"],
        frames=tuple(_frame(f"{where}: frame", one) for one in _list(where, facts, "frames", 3, 3)),
        labels=labels,
        negative=text_in(where, facts, "negative"),
        seed=whole_in(where, facts, "seed"),
    )


def _list(where: str, content: Mapping[str, Any], key: str, fewest: int, most: int) -> list[Any]:
    value = content[key]
    if not isinstance(value, list) or not fewest <= len(value) <= most:
        wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
        msg = f"{where}: {key} must be a list of {wanted} things"
        raise AnnotationError(msg, reason="shape")
    return value


def user_text(where: str, messages: object) -> str:
    """The text of the one message of a prompt.

    Raises:
        AnnotationError: If there is another message, or none.
    """
    (message,) = _list(where, {"messages": messages}, "messages", 1, 1)
    where = f"{where}: messages"
    message = require_object(where, message)
    check_keys(where, message, ("role", "content"))
    if message["role"] != "user":
        msg = f"{where}: the message is from {message['role']!r:.40}, expected 'user'"
        raise AnnotationError(msg)
    return text_in(where, message, "content")


def _images(where: str, images: object) -> tuple[str, ...]:
    listed = _list(where, {"images": images}, "images", 2, 3)
    return tuple(text_in(where, {"images": one}, "images") for one in listed)


def _labels(where: str, labels: object) -> tuple[MotionLabel, ...]:
    """One for each pair, or one only; all about the same thing."""
    found = tuple(_label(f"{where}: label", one) for one in _list(where, {"labels": labels}, "labels", 1, 3))
    first = found[0]
    pairs = PAIRS if ATTRIBUTES[first.attribute].answers_are_codes else PAIRS[:1]
    if tuple(label.pair for label in found) != pairs:
        msg = f"{where}: the labels of {first.attribute} must be about the pairs {', '.join(map(str, pairs))} in order"
        raise AnnotationError(msg, reason="shape")
    if {(label.attribute, label.subject) for label in found} != {(first.attribute, first.subject)}:
        msg = f"{where}: the labels must be about one attribute of one subject"
        raise AnnotationError(msg)
    return found


def _label(where: str, label: object) -> MotionLabel:
    content = require_object(where, label)
    check_keys(where, content, ("pair", "attribute", "value", "magnitude", "unit", "subject"))
    attribute = ATTRIBUTES.get(text_in(where, content, "attribute"))
    if attribute is None or content["value"] not in attribute.values or content["unit"] != attribute.unit:
        told = ", ".join(f"{content[key]!r:.40}" for key in ("attribute", "value", "unit"))
        msg = f"{where}: no attribute has this name, value and unit together: {told}"
        raise AnnotationError(msg)
    return MotionLabel(
        pair=pair_in(where, content, "pair"),
        attribute=attribute.name,
        value=content["value"],
        magnitude=number_in(where, content, "magnitude", at_least=0.0),
        unit=attribute.unit,
        subject=text_in(where, content, "subject", may_be_empty=True),
    )


def _slots(where: str, slots: object, labels: Sequence[MotionLabel]) -> tuple[Slot, ...]:
    by_pair = {label.pair: label for label in labels}
    found = tuple(_slot(f"{where}: slot", one, by_pair) for one in _list(where, {"slots": slots}, "slots", 1, 3))
    if len({slot.tolerance is None for slot in found}) > 1:
        msg = f"{where}: some slots ask for letters and others for numbers, a prompt asks for one of the two"
        raise AnnotationError(msg)
    return found


def _slot(where: str, slot: object, by_pair: Mapping[tuple[int, int], MotionLabel]) -> Slot:
    content = require_object(where, slot)
    check_keys(where, content, ("pair", "options", "gold", "letters"), ("tolerance",))
    pair = pair_in(where, content, "pair")
    if pair not in by_pair:
        msg = f"{where}: there is no label of the pair {pair}"
        raise AnnotationError(msg, reason="unsynchronised")
    options = tuple(text_in(where, {"option": one}, "option") for one in _list(where, content, "options", 0, 8))
    gold, letters = text_in(where, content, "gold"), text_in(where, content, "letters", may_be_empty=True)
    if content.get("tolerance") is not None:
        return _number_slot(where, by_pair[pair], content, gold)
    if len(options) < 2 or not len(options) == len(set(options)) == len(letters) == len(set(letters)):
        msg = f"{where}: {len(options)} options with the letters {letters!r:.40}, expected different ones, 2 or more"
        raise AnnotationError(msg, reason="shape")
    if len(gold) != 1 or gold not in letters:
        msg = f"{where}: gold is {gold!r:.40}, which is none of the letters {letters}"
        raise AnnotationError(msg)
    return Slot(by_pair[pair], options, gold, LETTERS if LETTERS.startswith(letters) else letters)


def _number_slot(where: str, label: MotionLabel, content: Mapping[str, Any], gold: str) -> Slot:
    if content["options"] or content["letters"] or parse_number(gold) is None:
        msg = f"{where}: asks for a number, but has options or letters, or gold is no number: {gold!r:.40}"
        raise AnnotationError(msg)
    return Slot(label, (), gold, "", number_in(where, content, "tolerance", at_least=0.0))


def _frame(where: str, frame: object) -> BuiltFrame:
    content = require_object(where, frame)
    check_keys(where, content, ("index", "pts_seconds", "transform"))
    index, pts_seconds = whole_in(where, content, "index", at_least=0), number_in(where, content, "pts_seconds")
    held = content["transform"]
    return BuiltFrame(index, pts_seconds, None if held is None else _transform(f"{where}: transform", held))


def _transform(where: str, transform: object) -> PictureTransform:
    content = require_object(where, transform)
    if content.get("kind") == "mask":
        check_keys(where, content, ("kind", "subject"))
        return MaskOf(text_in(where, content, "subject"))
    check_keys(where, content, ("kind", "matrix", "size"))
    sides = _list(where, content, "size", 2, 2)
    width, height = (whole_in(where, {"size": side}, "size", at_least=1) for side in sides)
    if width * height > MAX_PICTURE_PIXELS:
        msg = f"{where}: a picture of {width}x{height} pixels is too large"
        raise AnnotationError(msg, reason="too large")
    return Warp(text_in(where, content, "kind"), numbers_in(where, content, "matrix", 9), (width, height))
