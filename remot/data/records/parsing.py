"""Reading what :mod:`remot.data.records.schema` writes. Such files are untrusted: every value is checked."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from remot.answers import ANSWER_CLOSE, ANSWER_OPEN, LETTERS, parse_number
from remot.data.annotations.base import check_keys, require_object
from remot.data.annotations.native.fields import bool_from
from remot.data.media.images import MAX_IMAGE_PIXELS
from remot.data.records.fields import number_in, numbers_in, pair_in, text_in, whole_in
from remot.data.records.jsonl import SPLITS, list_in, not_too_deep, user_text
from remot.data.records.schema import REFERENCE_KEYS, BuiltFrame, BuiltPrompt
from remot.errors import AnnotationError
from remot.motion import ATTRIBUTES, PAIRS
from remot.structures import (
    Box,
    BoxTrack,
    MaskOf,
    MotionLabel,
    Point,
    Question,
    Reference,
    Slot,
    Warp,
)

#: Most frames of a prompt.
MAX_FRAMES = 4096
#: Most images that are shown in pairs.
MAX_PAIRED = 3
_KEYS = (
    *("task", "task_index", "domain", "scene", "clip", "split", "frames", "as_video", "labels", "slots", "negative"),
    *("reference", "format", "key_times", "seed", "reasoning"),
)


@not_too_deep
def from_record(where: str, record: Mapping[str, Any]) -> BuiltPrompt:
    """The prompt in a line that :func:`remot.data.records.schema.to_line` wrote.

    Args:
        where: File and line, for messages.
        record: The JSON object.
    """
    check_keys(where, record, ("id", "images", "messages", "solution", "remot"))
    facts = require_object(f"{where}: remot", record["remot"])
    check_keys(f"{where}: remot", facts, _KEYS, ("thinks", "as_pairs"))
    if facts["split"] not in SPLITS:
        msg = f"{where}: split is {facts['split']!r:.40}, choose from {', '.join(SPLITS)}"
        raise AnnotationError(msg)
    labels = _labels(where, facts["labels"])
    as_video = bool_from(where, facts, "as_video", default=False)
    frames = _frames(where, facts["frames"], as_video=as_video)
    images = tuple(text_in(where, {"images": one}, "images") for one in list_in(where, record, "images", 1, MAX_FRAMES))
    if any(max(label.pair) > len(frames) for label in labels):
        msg = f"{where}: a label is about an image that the {len(frames)} frames do not include"
        raise AnnotationError(msg, reason="unsynchronised")
    if len(images) != len(frames):
        msg = f"{where}: {len(images)} images for {len(frames)} frames"
        raise AnnotationError(msg, reason="unsynchronised")
    return BuiltPrompt(
        question=_question(where, record, facts, labels),
        task_index=whole_in(where, facts, "task_index", at_least=0),
        images=images,
        frames=frames,
        as_video=as_video,
        labels=labels,
        negative=text_in(where, facts, "negative", may_be_empty=True),
        clip_id=text_in(where, facts, "clip"),
        split=facts["split"],
        seed=whole_in(where, facts, "seed"),
        as_pairs=_as_pairs(where, facts, as_video=as_video),
    )


def _as_pairs(where: str, facts: Mapping[str, Any], *, as_video: bool) -> bool:
    """Whether a prompt is shown in pairs, which are two or three images and no video."""
    as_pairs = bool_from(where, facts, "as_pairs", default=False)
    if as_pairs and (as_video or not 2 <= len(facts["frames"]) <= MAX_PAIRED):
        msg = f"{where}: as_pairs is for 2 or {MAX_PAIRED} images that are no video"
        raise AnnotationError(msg)
    return as_pairs


def _question(
    where: str, record: Mapping[str, Any], facts: Mapping[str, Any], labels: Sequence[MotionLabel]
) -> Question:
    slots = _slots(where, facts["slots"], labels)
    held, reference = text_in(where, record, "solution", may_be_empty=True), facts["reference"]
    question = Question(
        prompt_id=text_in(where, record, "id"),
        text=user_text(where, record["messages"]),
        slots=slots,
        domain=text_in(where, facts, "domain"),
        scene_id=text_in(where, facts, "scene"),
        reasoning=text_in(where, facts, "reasoning", may_be_empty=True),
        format=text_in(where, facts, "format"),
        target="" if slots else held,
        task=text_in(where, facts, "task"),
        reference=None if reference is None else _reference(f"{where}: reference", reference),
        key_times=text_in(where, facts, "key_times", may_be_empty=True),
        thinks=bool_from(where, facts, "thinks", default=True),
    )
    if slots and held != f"{ANSWER_OPEN}{question.solution}{ANSWER_CLOSE}":
        msg = f"{where}: the solution {held!r:.80} is not that of the slots, {question.solution!r}"
        raise AnnotationError(msg, reason="unsynchronised")
    if not slots and reference is None:
        msg = f"{where}: has neither slots nor a reference to compare answers with"
        raise AnnotationError(msg, reason="missing")
    return question


def _frames(where: str, frames: object, *, as_video: bool) -> tuple[BuiltFrame, ...]:
    """Where each image comes from; times of a video increase."""
    listed = list_in(where, {"frames": frames}, "frames", 1, MAX_FRAMES)
    found = tuple(_frame(f"{where}: frame", one) for one in listed)
    if as_video and any(b.index <= a.index or b.pts_seconds <= a.pts_seconds for a, b in pairwise(found)):
        msg = f"{where}: frames of a video must be in order of their indices and times"
        raise AnnotationError(msg, reason="times")
    return found


def _frame(where: str, frame: object) -> BuiltFrame:
    content = require_object(where, frame)
    check_keys(where, content, ("index", "pts_seconds", "transform"))
    index, pts_seconds = whole_in(where, content, "index", at_least=0), number_in(where, content, "pts_seconds")
    held = content["transform"]
    if held is None or held == {"kind": "edit"}:
        return BuiltFrame(index, pts_seconds, edited=held is not None)
    return BuiltFrame(index, pts_seconds, _transform(f"{where}: transform", held))


def _transform(where: str, transform: object) -> Warp | MaskOf:
    content = require_object(where, transform)
    if content.get("kind") == "mask":
        check_keys(where, content, ("kind", "subject"))
        return MaskOf(text_in(where, content, "subject"))
    check_keys(where, content, ("kind", "matrix", "size"))
    sides = list_in(where, content, "size", 2, 2)
    width, height = (whole_in(where, {"size": side}, "size", at_least=1) for side in sides)
    if width * height > MAX_IMAGE_PIXELS:
        msg = f"{where}: an image of {width}x{height} pixels is too large"
        raise AnnotationError(msg, reason="too large")
    return Warp(text_in(where, content, "kind"), numbers_in(where, content, "matrix", 9), (width, height))


def _labels(where: str, labels: object) -> tuple[MotionLabel, ...]:
    """None, one for each pair, or one of the first pair; all about the same thing."""
    found = tuple(_label(f"{where}: label", one) for one in list_in(where, {"labels": labels}, "labels", 0, 3))
    if not found:
        return ()
    first = found[0]
    pairs = PAIRS if ATTRIBUTES[first.attribute].answers_are_codes else PAIRS[:1]
    if tuple(label.pair for label in found) not in {pairs, PAIRS[:1]}:
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
        given = ", ".join(f"{content[key]!r:.40}" for key in ("attribute", "value", "unit"))
        msg = f"{where}: no attribute has this name, value and unit together: {given}"
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
    found = tuple(_slot(f"{where}: slot", one, by_pair) for one in list_in(where, {"slots": slots}, "slots", 0, 3))
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
        if options or letters or parse_number(gold) is None:
            msg = f"{where}: asks for a number, but has options or letters, or gold is no number: {gold!r:.40}"
            raise AnnotationError(msg)
        return Slot(by_pair[pair], (), gold, "", number_in(where, content, "tolerance", at_least=0.0))
    if len(options) < 2 or not len(options) == len(set(options)) == len(letters) == len(set(letters)):
        msg = f"{where}: {len(options)} options with the letters {letters!r:.40}, expected different ones, 2 or more"
        raise AnnotationError(msg, reason="shape")
    if len(gold) != 1 or gold not in letters:
        msg = f"{where}: gold is {gold!r:.40}, which is none of the letters {letters}"
        raise AnnotationError(msg)
    return Slot(by_pair[pair], options, gold, LETTERS if LETTERS.startswith(letters) else letters)


def _reference(where: str, held: object) -> Reference:
    content = require_object(where, held)
    check_keys(where, content, (), REFERENCE_KEYS)
    if not content:
        msg = f"{where}: holds nothing to compare answers with; give null where the slots are all"
        raise AnnotationError(msg, reason="missing")
    readers: Mapping[str, Callable[[str], Any]] = {
        "answer": lambda key: text_in(where, content, key, may_be_empty=True),
        "number": lambda key: number_in(where, content, key),
        "intervals": lambda key: tuple(numbers_in(where, {key: one}, key, 2) for one in _list(where, content, key)),
        "boxes": lambda key: tuple(numbers_in(where, {key: one}, key, 4) for one in _list(where, content, key)),
        "events": lambda key: tuple(text_in(where, {key: one}, key) for one in _list(where, content, key)),
        "map_centres": lambda key: _map(where, require_object(f"{where}: {key}", content[key])),
        "graphs": lambda key: tuple(_graph(where, one) for one in _list(where, content, key)),
        "tracks": lambda key: tuple(_track(where, one) for one in _list(where, content, key)),
    }
    try:
        return Reference(**{key: read(key) for key, read in readers.items() if key in content})
    except AnnotationError as error:
        msg = str(error) if str(error).startswith(where) else f"{where}: {error}"
        raise AnnotationError(msg, reason=error.reason) from error


def _box(numbers: tuple[float, ...]) -> Box:
    left, top, right, bottom = numbers
    return left, top, right, bottom


def _map(where: str, centres: Mapping[str, Any]) -> dict[str, tuple[Point, ...]]:
    return {
        text_in(where, {"name": name}, "name"): tuple(_point(where, one) for one in _list(where, centres, name))
        for name in centres
    }


def _graph(where: str, held: object) -> dict[str, Point]:
    nodes = require_object(f"{where}: graph", held)
    return {text_in(where, {"name": name}, "name"): _point(where, point) for name, point in nodes.items()}


def _track(where: str, held: object) -> BoxTrack:
    content = require_object(f"{where}: track", held)
    check_keys(f"{where}: track", content, ("name", "pts_seconds", "boxes"))
    times = tuple(number_in(where, {"pts_seconds": one}, "pts_seconds") for one in _list(where, content, "pts_seconds"))
    boxes = tuple(_box(numbers_in(where, {"boxes": one}, "boxes", 4)) for one in _list(where, content, "boxes"))
    return BoxTrack(text_in(where, content, "name"), times, boxes)


def _point(where: str, value: object) -> Point:
    x, y = numbers_in(where, {"point": value}, "point", 2)
    return x, y


def _list(where: str, content: Mapping[str, Any], key: str) -> list[Any]:
    value = content[key]
    if not isinstance(value, list):
        msg = f"{where}: {key:.60} must be a list"
        raise AnnotationError(msg, reason="shape")
    return value
