"""Questions about boxes in images and their motion (Motion-o, arXiv 2603.18856), answered from pixels once more."""

import cmath
import math
import re
from collections.abc import Iterator, Sequence

import numpy as np

from remot.data.tasks.images.detection import Detection, ImageGroundedChoice
from remot.data.tasks.images.object_motion import ObjectMotion
from remot.data.tasks.images.tracking import ObjectTracking
from remot.datatools.audit.tasks.prompt import AskedPrompt, UnreadableError, kind, one_of, thing
from remot.datatools.audit.tasks.responses import THREE
from remot.structures import Box, Clip, FloatArray

#: What to multiply the middle of a box [x, y] with, so that the largest product is farthest to a side.
_TOWARDS = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "top": (0.0, -1.0), "bottom": (0.0, 1.0)}
#: Counter-clockwise from the right, 45 degrees apart, as documented.
_COMPASS = ("E", "NE", "N", "NW", "W", "SW", "S", "SE")
#: Diagonals and pixels below which nothing moves; diagonals a second from which it is faster; ratio of areas.
_STILL_DIAGONALS, _STILL_PIXELS, _SPEEDS, _LOG_AREAS = 0.02, 3.0, (0.02, 0.10, 0.30), 0.15
_TAG = re.compile(r'<motion obj="([^"]*)" dir="([^"]*)" speed="([^"]*)" scale="([^"]*)"/>')
#: Boxes are written with one decimal.
_PIXELS = 0.05 + 1e-6


def shares(box_xyxy: FloatArray, size: tuple[int, int]) -> FloatArray:
    """A box [4] in shares of the image, the part of it that lies inside."""
    corners = np.asarray(box_xyxy, dtype=float).reshape(2, 2) / np.array(size, dtype=float)
    inside: FloatArray = np.minimum(np.maximum(corners, 0.0), 1.0).ravel()
    return inside


def wrong_boxes(asked: AskedPrompt, name: str, frames: Sequence[int]) -> Iterator[str]:
    """Whether the reference's boxes are those of a thing in some frames."""
    boxes = asked.clip.objects[name].boxes_xyxy
    should = np.array([shares(boxes[frame], asked.image_size) for frame in frames])
    stated = np.array(asked.reference.boxes or np.empty((0, 4)))
    if stated.shape != should.shape or not (np.abs(stated - should) <= THREE).all():
        yield f"the boxes of {name!r:.40} are {stated.round(3).tolist()}, should be {should.round(3).tolist()}"


def check_detection(asked: AskedPrompt) -> Iterator[str]:
    """The box of the only thing that the name fits."""
    task = asked.settings(Detection)
    name = named(asked, asked.read(task.wordings.texts["ask"], names_at(asked.clip, "object"))["object"])
    if not is_alone(asked.clip, name):
        yield f"the name {thing(name)!r:.40} fits several things"
    yield from wrong_boxes(asked, name, asked.frames)
    box = np.array(asked.reference.boxes or np.zeros((1, 4)))[0]
    smallest = np.maximum(task.min_side, task.min_pixels / np.array(asked.image_size, dtype=float))
    if (box[2:] - box[:2] < smallest - 2 * THREE).any():
        yield f"the box {box.tolist()} is too small to be asked for"


def check_tracking(asked: AskedPrompt) -> Iterator[str]:
    """The boxes of a thing in the published frames, its first one given."""
    task = asked.settings(ObjectTracking)
    places = asked.read(task.wordings.texts["ask"], {**names_at(asked.clip, "object"), "box": r"\[[\d., e-]+\]"})
    name, given = named(asked, places["object"]), [float(one) for one in places["box"].strip("[]").split(",")]
    steps = task.num_boxes - (2 if task.repeat_last else 1)
    if list(asked.frames) != [int(k * (asked.clip.num_frames - 1) / steps + 1e-9) for k in range(steps + 1)]:
        yield f"the frames {asked.frames} are not the published ones"
    yield from wrong_boxes(asked, name, [*asked.frames, *asked.frames[-1:] * task.repeat_last])
    if any((right - left) * (bottom - top) <= 0 for left, top, right, bottom in asked.reference.boxes or ()):
        yield f"nothing of {name!r:.40} lies in one of the images"
    if int(places.get("count", task.num_boxes)) != task.num_boxes:
        yield f"{places['count']} boxes are asked for, there are {task.num_boxes}"
    if np.abs(
        np.array(given) - shares(asked.clip.objects[name].boxes_xyxy[asked.frames[0]], asked.image_size)
    ).max() > (THREE):
        yield f"the box {given} that the text gives is not that of {name!r:.40}"


def check_image_choice(asked: AskedPrompt) -> Iterator[str]:
    """What is farthest to a side, of all things whose names fit one only, and its box."""
    task = asked.settings(ImageGroundedChoice)
    (side,) = [side for side in _TOWARDS if asked.question.text.split("\n", 1)[0] in task.wordings.texts[side]] or [""]
    if not side:
        msg = "the text asks for no side of the image"
        raise UnreadableError(msg)
    far, room = _far_to(asked, side, task)
    options, said = set(asked.options().values()), asked.chosen()
    if not all(room.get(option, -1.0) >= -2 * THREE for option in options):
        yield f"not all of the options {', '.join(sorted(options))!r:.80} are to be seen in the image"
        return
    large = [name for name, more in room.items() if more >= 2 * THREE or name in options]
    beaten = [name for name in large if name != said and far[said] - far[name] < task.margin - 2 * THREE]
    if beaten:
        yield f"{said!r:.40} is said to be farthest to the {side}, but {beaten[0]!r:.40} is not {task.margin} less far"
    yield from wrong_boxes(asked, named(asked, asked.chosen()), asked.frames)


def _far_to(asked: AskedPrompt, side: str, task: ImageGroundedChoice) -> tuple[dict[str, float], dict[str, float]]:
    """How far to a side things lie whose names fit one thing only, and the shares by which they exceed the smallest."""
    far, room = {}, {}
    smallest = np.maximum(task.min_side, task.min_pixels / np.array(asked.image_size, dtype=float))
    for name, track in asked.clip.objects.items():
        box = shares(track.boxes_xyxy[asked.frames[0]], asked.image_size)
        hidden = track.hidden is not None and track.hidden[asked.frames[0]]
        if is_alone(asked.clip, name) and not np.isnan(box.sum()) and not hidden:
            far[thing(name)] = float(np.dot(_TOWARDS[side], (box[:2] + box[2:]) / 2))
            room[thing(name)] = float(min(box[2:] - box[:2] - smallest))
    return far, room


def is_alone(clip: Clip, name: str) -> bool:
    """Whether a thing has a name whose words fit no other thing of the clip."""
    return kind(name) != "" and sum(kind(other).casefold() == kind(name).casefold() for other in clip.objects) == 1


def names_at(clip: Clip, place: str) -> dict[str, str]:
    """What may stand at a place of a wording: the name of a thing."""
    return {place: one_of([thing(name) for name in clip.objects])}


def named(asked: AskedPrompt, word: str) -> str:
    """The name in the clip of what the prompt calls ``word``; an UnreadableError unless it names one thing."""
    found = [name for name in asked.clip.objects if thing(name) == word]
    if len(found) != 1:
        msg = f"{word!r:.40} names {len(found)} things of the clip"
        raise UnreadableError(msg)
    return found[0]


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
    diagonal = float(np.mean([np.hypot(*(box[2:] - box[:2])) for box in (before, after)]))
    still, pace = max(_STILL_DIAGONALS * diagonal, _STILL_PIXELS), abs(way) / diagonal / seconds
    grown = math.log((after[2:] - after[:2]).prod() / (before[2:] - before[:2]).prod())
    near = [abs(abs(way) / still - 1), abs(abs(grown) / _LOG_AREAS - 1), *(abs(pace / one - 1) for one in _SPEEDS)]
    direction = "STAT"
    if abs(way) >= still:
        eighths = math.degrees(cmath.phase(way)) / 45
        direction = _COMPASS[round(eighths) % 8]
        near.append(1 - 2 * abs(eighths - round(eighths)))
    speed = ("stationary", "slow", "moderate", "fast")[sum(pace >= one for one in _SPEEDS)]
    scale = "stable" if abs(grown) <= _LOG_AREAS else ("approaching", "receding")[grown < 0]
    return (direction, speed, scale), min(near)
