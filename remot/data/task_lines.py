"""Reading what :mod:`remot.data.task_records` writes. Such files may come from anybody: every value is checked."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from remot.data.annotations.base import check_keys, require_object
from remot.data.built_file import SPLITS, not_too_deep, user_text
from remot.data.fields import number_in, numbers_in, text_in, whole_in
from remot.data.task_records import REFERENCE_KEYS, BuiltTaskPrompt
from remot.errors import AnnotationError
from remot.structures import Box, BoxTrack, Interval, Point, Reference, ReferencedQuestion

#: Most frames of a prompt.
MAX_FRAMES = 4096
_KEYS = ("task", "place", "domain", "scene", "clip", "split", "frames", "as_video", "edited", "reference", "format")


@not_too_deep
def from_task_record(where: str, record: Mapping[str, Any]) -> BuiltTaskPrompt:
    """The prompt in a line.

    Args:
        where: File and line, for messages.
        record: The JSON object.

    Raises:
        AnnotationError: Naming the key at fault.
    """
    return _prompt_from(where, record)


def _prompt_from(where: str, record: Mapping[str, Any]) -> BuiltTaskPrompt:
    check_keys(where, record, ("id", "images", "messages", "solution", "remot"))
    facts = require_object(f"{where}: remot", record["remot"])
    check_keys(f"{where}: remot", facts, (*_KEYS, "key_times", "seed", "reasoning"))
    if facts["split"] not in SPLITS:
        msg = f"{where}: split is {facts['split']!r:.40}, choose from {', '.join(SPLITS)}"
        raise AnnotationError(msg)
    frames, times = _frames(where, facts)
    images = tuple(text_in(where, {"images": one}, "images") for one in _list(where, record, "images"))
    if len(images) != len(frames):
        msg = f"{where}: {len(images)} images for {len(frames)} frames"
        raise AnnotationError(msg, reason="unsynchronised")
    return BuiltTaskPrompt(
        question=_question(where, record, facts),
        place=whole_in(where, facts, "place", at_least=0),
        images=images,
        frames=frames,
        pts_seconds=times,
        as_video=_yes_or_no(where, facts, "as_video"),
        edited=_yes_or_no(where, facts, "edited"),
        clip_id=text_in(where, facts, "clip"),
        split=facts["split"],
        seed=whole_in(where, facts, "seed"),
    )


def _question(where: str, record: Mapping[str, Any], facts: Mapping[str, Any]) -> ReferencedQuestion:
    return ReferencedQuestion(
        prompt_id=text_in(where, record, "id"),
        text=user_text(where, record["messages"]),
        slots=(),
        domain=text_in(where, facts, "domain"),
        scene_id=text_in(where, facts, "scene"),
        reasoning=text_in(where, facts, "reasoning", may_be_empty=True),
        format=text_in(where, facts, "format"),
        key_times=text_in(where, facts, "key_times", may_be_empty=True),
        target=text_in(where, record, "solution", may_be_empty=True),
        task=text_in(where, facts, "task"),
        reference=_reference(f"{where}: reference", facts["reference"]),
    )


def _frames(where: str, facts: Mapping[str, Any]) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Annotated frames and their times, both of which increase."""
    indices, times = [], []
    for one in _list(where, facts, "frames"):
        frame = require_object(f"{where}: frame", one)
        check_keys(f"{where}: frame", frame, ("index", "pts_seconds"))
        indices.append(whole_in(where, frame, "index", at_least=0))
        times.append(number_in(where, frame, "pts_seconds"))
    for numbers in (indices, times):
        if not 0 < len(numbers) <= MAX_FRAMES or any(after <= before for before, after in pairwise(numbers)):
            msg = f"{where}: frames must be 1 to {MAX_FRAMES}, in order of their indices and times"
            raise AnnotationError(msg, reason="times")
    return tuple(indices), tuple(times)


def _reference(where: str, held: object) -> Reference:
    content = require_object(where, held)
    check_keys(where, content, (), REFERENCE_KEYS)
    intervals, boxes = (
        tuple(numbers_in(where, {key: one}, key, count) for one in _list(where, content, key))
        if key in content
        else None
        for key, count in (("intervals", 2), ("boxes", 4))
    )
    events = content.get("events")
    try:
        return Reference(
            answer=text_in(where, content, "answer", may_be_empty=True) if "answer" in content else None,
            number=number_in(where, content, "number") if "number" in content else None,
            intervals=None if intervals is None else tuple(map(_interval, intervals)),
            boxes=None if boxes is None else tuple(map(_box, boxes)),
            events=None
            if events is None
            else tuple(text_in(where, {"events": one}, "events") for one in _list(where, content, "events")),
            map_centres=_map(where, content) if "map_centres" in content else None,
            graphs=_graphs(where, content) if "graphs" in content else None,
            tracks=tuple(_track(where, one) for one in _list(where, content, "tracks"))
            if "tracks" in content
            else None,
        )
    except AnnotationError as error:
        msg = str(error) if str(error).startswith(where) else f"{where}: {error}"
        raise AnnotationError(msg, reason=error.reason) from error


def _interval(numbers: tuple[float, ...]) -> Interval:
    start, end = numbers
    return start, end


def _box(numbers: tuple[float, ...]) -> Box:
    left, top, right, bottom = numbers
    return left, top, right, bottom


def _map(where: str, content: Mapping[str, Any]) -> dict[str, tuple[Point, ...]]:
    centres = require_object(f"{where}: map_centres", content["map_centres"])
    return {
        text_in(where, {"name": name}, "name"): tuple(_point(where, one) for one in _list(where, centres, name))
        for name in centres
    }


def _graphs(where: str, content: Mapping[str, Any]) -> tuple[dict[str, Point], ...]:
    graphs = (require_object(f"{where}: graph", one) for one in _list(where, content, "graphs"))
    return tuple(
        {text_in(where, {"name": name}, "name"): _point(where, point) for name, point in graph.items()}
        for graph in graphs
    )


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


def _yes_or_no(where: str, content: Mapping[str, Any], key: str) -> bool:
    if not isinstance(content[key], bool):
        msg = f"{where}: {key} must be true or false"
        raise AnnotationError(msg)
    return bool(content[key])
