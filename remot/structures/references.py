"""What a completion is compared with, where that is more than option letters.

A reward takes from a :class:`Reference` what it needs and is not applicable where that is missing. The same record
serves a line of ``remot score`` and a question of a training run, so a reward does not know which of them it scores.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from remot.errors import AnnotationError
from remot.structures.turns import Turn

#: First moment and first moment after, in seconds.
Interval = tuple[float, float]
#: Left, top, right, bottom; the unit is that of the task, shares of the image or pixels.
Box = tuple[float, float, float, float]
#: How an answer is read and scored.
AnswerType = Literal["letter", "number", "word", "text", "intervals", "boxes"]
ANSWER_TYPES: tuple[AnswerType, ...] = get_args(AnswerType)
#: x and y in the cells of a map, or in the ground plane's own unit.
Point = tuple[float, float]


@dataclass(frozen=True)
class BoxTrack:
    """An object's boxes over time.

    Args:
        name: What the object is called in the question.
        pts_seconds: Times, strictly increasing.
        boxes: One box in pixels for each time.
    """

    name: str
    pts_seconds: tuple[float, ...]
    boxes: tuple[Box, ...]

    def __post_init__(self) -> None:
        times = self.pts_seconds
        if not times or len(times) != len(self.boxes):
            msg = f"track {self.name!r:.60} has {len(times)} times and {len(self.boxes)} boxes"
            raise AnnotationError(msg, reason="unsynchronised")
        _check_finite(f"times of track {self.name!r:.60}", times)
        if any(after <= before for before, after in pairwise(times)):
            msg = f"times of track {self.name!r:.60} do not increase"
            raise AnnotationError(msg, reason="times")
        _check_boxes(f"track {self.name!r:.60}", self.boxes)


@dataclass(frozen=True, eq=False)
class Reference:
    """The truth about one task, and what else its rewards look at. Whatever is None does not belong to the task.

    Args:
        answer: Right answer as text: an option letter, words, a transcription.
        number: Right number.
        intervals: Right stretches of time in seconds, in the order they are asked for.
        boxes: Right boxes, one for each sampled frame; a single one for a single image.
        events: What happens in the clip, one sentence each.
        map_centres: Centres of the instances of each category on a grid.
        graphs: For each selected frame the centres of named objects in the ground plane.
        tracks: Boxes of named objects over time.
        counterfactuals: Completions of the same policy for a changed input: shuffled or frozen frames, a mirrored view.
        answer_map: How the change carries over to answers, such as left to right; what it does not hold stays.
        change: Name of the change, such as ``mirrored``; "" if there is only one.
        answer_type: One of :data:`ANSWER_TYPES`; "" where the rewards of the task determine how an answer is read.
        options: What the letters of a ``letter`` stand for.
        turns: The turns before the last one, of a completion that is the last turn of a conversation.
    """

    answer: str | None = None
    number: float | None = None
    intervals: tuple[Interval, ...] | None = None
    boxes: tuple[Box, ...] | None = None
    events: tuple[str, ...] | None = None
    map_centres: Mapping[str, tuple[Point, ...]] | None = None
    graphs: tuple[Mapping[str, Point], ...] | None = None
    tracks: tuple[BoxTrack, ...] | None = None
    counterfactuals: tuple[str, ...] | None = None
    answer_map: Mapping[str, str] | None = None
    change: str = ""
    answer_type: str = ""
    options: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()

    def __post_init__(self) -> None:
        if self.answer_type and self.answer_type not in ANSWER_TYPES:
            msg = f"answer_type is {self.answer_type!r:.40}, choose from {', '.join(ANSWER_TYPES)}"
            raise AnnotationError(msg)
        if self.number is not None:
            _check_finite("number", (self.number,))
        for start, end in self.intervals or ():
            _check_finite("intervals", (start, end))
            if start > end:
                msg = f"the interval from {start} to {end} s ends before it starts"
                raise AnnotationError(msg, reason="times")
        _check_boxes("boxes", self.boxes or ())
        for points in (self.map_centres or {}).values():
            _check_finite("map_centres", (number for point in points for number in point))
        for graph in self.graphs or ():
            _check_finite("graphs", (number for point in graph.values() for number in point))


def _check_finite(what: str, numbers: Iterable[float]) -> None:
    if not all(map(math.isfinite, numbers)):
        msg = f"{what} of a reference must be finite numbers"
        raise AnnotationError(msg, reason="not finite")


def _check_boxes(what: str, boxes: Iterable[Box]) -> None:
    for left, top, right, bottom in boxes:
        _check_finite(what, (left, top, right, bottom))
        if left > right or top > bottom:
            msg = f"{what}: the box {(left, top, right, bottom)} is not in the order left, top, right, bottom"
            raise AnnotationError(msg, reason="shape")


@dataclass(frozen=True)
class ResampleRequest:
    """Times of a clip that are to be shown densely.

    Args:
        stretches: Stretches of time in seconds, counted as the times of a video's frames are.
        dense_share: Share of the frames shown that lie in them, above 0 and at most 1.
        tell_times: State the times of the frames in words, also of a video.

    Raises:
        ValueError: If a number is none of these.
    """

    stretches: tuple[Interval, ...]
    dense_share: float = 0.75
    tell_times: bool = True

    def __post_init__(self) -> None:
        numbers = [number for stretch in self.stretches for number in stretch]
        ordered = all(start <= end for start, end in self.stretches)
        if not (ordered and all(map(math.isfinite, numbers)) and 0 < self.dense_share <= 1):
            msg = f"a closer look needs finite stretches and a share in (0, 1], got {self!r:.200}"
            raise ValueError(msg)
