"""Reading what :mod:`remot.data.records` writes. Such files may come from anybody: every value is checked."""

from collections.abc import Mapping, Sequence
from typing import Any

from remot.answers import ANSWER_CLOSE, ANSWER_OPEN, LETTERS, parse_number
from remot.data.annotations.base import check_keys, require_object
from remot.data.built_file import SPLITS, list_in, not_too_deep, user_text
from remot.data.fields import number_in, numbers_in, pair_in, text_in, whole_in
from remot.data.picture_files import MAX_PICTURE_PIXELS
from remot.data.records import BuiltFrame, BuiltPrompt
from remot.errors import AnnotationError
from remot.motion import ATTRIBUTES, PAIRS
from remot.structures import MaskOf, MotionLabel, PictureTransform, Question, Slot, Warp, as_task

_KEYS = ("domain", "scene", "clip", "split", "frames", "labels", "slots", "negative", "format", "seed", "reasoning")


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
        frames=tuple(_frame(f"{where}: frame", one) for one in list_in(where, facts, "frames", 3, 3)),
        labels=labels,
        negative=text_in(where, facts, "negative"),
        seed=whole_in(where, facts, "seed"),
    )


def _images(where: str, images: object) -> tuple[str, ...]:
    listed = list_in(where, {"images": images}, "images", 2, 3)
    return tuple(text_in(where, {"images": one}, "images") for one in listed)


def _labels(where: str, labels: object) -> tuple[MotionLabel, ...]:
    """One for each pair, or one only; all about the same thing."""
    found = tuple(_label(f"{where}: label", one) for one in list_in(where, {"labels": labels}, "labels", 1, 3))
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
    found = tuple(_slot(f"{where}: slot", one, by_pair) for one in list_in(where, {"slots": slots}, "slots", 1, 3))
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
    options = tuple(text_in(where, {"option": one}, "option") for one in list_in(where, content, "options", 0, 8))
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
    sides = list_in(where, content, "size", 2, 2)
    width, height = (whole_in(where, {"size": side}, "size", at_least=1) for side in sides)
    if width * height > MAX_PICTURE_PIXELS:
        msg = f"{where}: a picture of {width}x{height} pixels is too large"
        raise AnnotationError(msg, reason="too large")
    return Warp(text_in(where, content, "kind"), numbers_in(where, content, "matrix", 9), (width, height))
