"""How an object moves over the screen (Motion-o, arXiv 2603.18856), worked out once more in the complex plane."""

import cmath
import math
import re
from collections.abc import Iterator

import numpy as np

from remot.data.tasks.images.object_motion import ObjectMotion
from remot.datatools.audit.tasks.images import is_alone, named, names_at
from remot.datatools.audit.tasks.prompt import AskedPrompt
from remot.structures import Box, FloatArray

#: Counter-clockwise from the right, 45 degrees apart, as documented.
_COMPASS = ("E", "NE", "N", "NW", "W", "SW", "S", "SE")
#: Diagonals and pixels below which nothing moves; diagonals a second from which it is faster; ratio of areas.
_STILL_DIAGONALS, _STILL_PIXELS, _SPEEDS, _LOG_AREAS = 0.02, 3.0, (0.02, 0.10, 0.30), 0.15
_TAG = re.compile(r'<motion obj="([^"]*)" dir="([^"]*)" speed="([^"]*)" scale="([^"]*)"/>')
#: Boxes are written with one decimal.
_PIXELS = 0.05 + 1e-6


def check_object_motion(asked: AskedPrompt) -> Iterator[str]:
    """The way between the middles of the first and the last box that are shown."""
    task = asked.settings(ObjectMotion)
    name = named(asked, asked.read(task.wordings.texts["ask"], names_at(asked.clip, "object"))["object"])
    if not is_alone(asked.clip, name):
        yield f"the name {name!r:.40} fits several things"
    boxes = asked.clip.objects[name].boxes_xyxy
    shown = [frame for frame in asked.frames if not math.isnan(boxes[frame].sum())]
    (track,) = asked.reference.tracks or (None,)
    if track is None or len(shown) < 2 or len(track.boxes) != len(shown):
        yield f"{name!r:.40} is shown {len(shown)} times, the reference has other boxes"
        return
    times = [float(asked.clip.pts_seconds[frame]) for frame in shown]
    if np.abs(np.array(track.boxes) - boxes[shown]).max() > _PIXELS or list(track.pts_seconds) != times:
        yield f"the boxes of {name!r:.40} in the reference are not the annotated ones"
        return
    words, near = motion_words(track.boxes[0], track.boxes[-1], times[-1] - times[0])
    if asked.reference.answer != words[0]:
        yield f"{name!r:.40} is said to move {asked.reference.answer}, should be {words[0]}"
    if near < task.margin - 1e-6:
        yield f"the motion of {name!r:.40} is nearer than {task.margin:g} to another answer"
    stated = _TAG.findall(asked.question.target)
    if asked.question.target and [one[1:] for one in stated] != [words]:
        yield f"the motion in the response is {stated}, should be {words}"


def motion_words(first: Box, last: Box, seconds: float) -> tuple[tuple[str, str, str], float]:
    """Direction, speed and scale between two boxes in pixels, and how near they are to other words, as a share."""
    before, after = np.array(first), np.array(last)
    way = complex(*((after[:2] + after[2:]) - (before[:2] + before[2:])) / 2).conjugate()  # up is positive
    diagonal = float(np.mean([np.hypot(*_sides(box)) for box in (before, after)]))
    still, pace = max(_STILL_DIAGONALS * diagonal, _STILL_PIXELS), abs(way) / diagonal / seconds
    grown = math.log(_sides(after).prod() / _sides(before).prod())
    near = [abs(abs(way) / still - 1), abs(abs(grown) / _LOG_AREAS - 1), *(abs(pace / one - 1) for one in _SPEEDS)]
    direction = "STAT"
    if abs(way) >= still:
        eighths = math.degrees(cmath.phase(way)) / 45
        direction = _COMPASS[round(eighths) % 8]
        near.append(1 - 2 * abs(eighths - round(eighths)))
    speed = ("stationary", "slow", "moderate", "fast")[sum(pace >= one for one in _SPEEDS)]
    scale = "stable" if abs(grown) <= _LOG_AREAS else ("approaching", "receding")[grown < 0]
    return (direction, speed, scale), min(near)


def _sides(box: FloatArray) -> FloatArray:
    sides: FloatArray = box[2:] - box[:2]
    return sides
