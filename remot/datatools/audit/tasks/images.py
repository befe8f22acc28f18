"""Questions about boxes in images, answered from the annotated pixels once more."""

from collections.abc import Iterator, Sequence

import numpy as np

from remot.data.tasks.images.detection import Detection, ImageGroundedChoice
from remot.data.tasks.images.tracking import ObjectTracking
from remot.datatools.audit.tasks.prompt import AskedPrompt, UnreadableError, kind, one_of, thing
from remot.datatools.audit.tasks.responses import THREE
from remot.structures import Clip, FloatArray

#: What to multiply the middle of a box [x, y] with, so that the largest product is farthest to a side.
_TOWARDS = {"left": (-1.0, 0.0), "right": (1.0, 0.0), "top": (0.0, -1.0), "bottom": (0.0, 1.0)}


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
    yield from _small(asked, task.min_side, task.min_pixels)


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
    (side,) = [side for side in _TOWARDS if asked.text.split("\n", 1)[0] in task.wordings.texts[side]] or [""]
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


def _small(asked: AskedPrompt, min_side: float, min_pixels: float) -> Iterator[str]:
    box = np.array(asked.reference.boxes or np.zeros((1, 4)))[0]
    smallest = np.maximum(min_side, min_pixels / np.array(asked.image_size, dtype=float))
    if (box[2:] - box[:2] < smallest - 2 * THREE).any():
        yield f"the box {box.tolist()} is too small to be asked for"


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
