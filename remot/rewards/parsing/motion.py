"""Motion tags and sightings in the reasoning of Motion-o (arXiv 2603.18856)."""

import re
from dataclasses import dataclass

from remot.rewards.parsing.values import json_value, number_rows, plain_number
from remot.structures import Box

#: Most tags and sightings that are read.
MAX_TAGS = 64
_MAX_TAG_CHARS = 512
_ATTRIBUTE = re.compile(r'\b(obj|dir|speed|scale)="([^"]{0,64})"')
_NOT_PLAIN = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class MotionTag:
    """What a completion says of an object's motion: compass direction, speed and change of size, in the tag's words."""

    direction: str
    speed: str
    scale: str


@dataclass(frozen=True)
class ObjectObservation:
    """Where a completion says an object is at a time."""

    name: str
    seconds: float
    box: Box


def object_name(name: str) -> str:
    """``name`` in lower case, letters and digits with single spaces, as Motion-o compares names; of any script."""
    return _NOT_PLAIN.sub(" ", name.lower()).strip()


def motion_tags(text: str) -> dict[str, MotionTag]:
    """``<motion obj="…" dir="…" speed="…" scale="…"/>`` by object; of several about one object the last."""
    found: dict[str, MotionTag] = {}
    position = 0
    for _ in range(MAX_TAGS):
        position = text.find("<motion ", position)
        if position < 0:
            break
        end = text.find("/>", position, position + _MAX_TAG_CHARS)
        position += len("<motion ")
        values = dict(_ATTRIBUTE.findall(text[position:end])) if end >= 0 else {}
        if len(values) == 4:
            found[object_name(values["obj"])] = MotionTag(values["dir"], values["speed"], values["scale"])
    return found


def sightings(text: str) -> list[ObjectObservation]:
    """``<obj>man</obj><box>[x0, y0, x1, y1]</box>at<t>3.2</t>s``, in order; of several boxes the first counts."""
    found: list[ObjectObservation] = []
    position = text.find("<obj>")
    while position >= 0 and len(found) < MAX_TAGS:
        following = text.find("<obj>", position + 5)
        piece = text[position : following if following >= 0 else len(text)][:_MAX_TAG_CHARS]
        seen = _sighting(piece)
        found += [] if seen is None else [seen]
        position = following
    return found


def _sighting(piece: str) -> ObjectObservation | None:
    name, closed, rest = piece.removeprefix("<obj>").partition("</obj>")
    boxes, at, rest = rest.partition("at<t>")
    time, ended, _ = rest.partition("</t>s")
    if not (closed and at and ended and boxes.startswith("<box>") and boxes.endswith("</box>")):
        return None
    rows = number_rows([json_value(boxes.removeprefix("<box>").partition("</box>")[0])], 4)
    seconds = plain_number(time)
    if rows is None or seconds is None:
        return None
    left, top, right, bottom = rows[0]
    return ObjectObservation(object_name(name), seconds, (left, top, right, bottom))
