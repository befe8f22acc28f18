"""Reasoning told from annotations: where the decisive thing lies in each picture, on a 10 by 10 grid."""

from collections.abc import Sequence

import numpy as np

from remot.data.experts.base import IntArray
from remot.data.templates import ORDINALS
from remot.structures import Clip, FloatArray, MotionLabel, Slot

#: Cells of the grid along each side, so that a place is two digits.
NUM_CELLS = 10


def tell_reasoning(
    clip: Clip, frame_indices: Sequence[int], slots: Sequence[Slot], picture_size: tuple[int, int]
) -> str:
    """What is seen in each picture, as far as the annotations tell it, and what follows for each pair.

    Args:
        clip: The annotated clip.
        frame_indices: The frames shown, in order.
        slots: The questions, all of one attribute and subject.
        picture_size: Width and height of the pictures the boxes refer to, in pixels.

    Returns:
        Such as ``the red tower: x3 y5, x7 y5, x3 y5; first left C, second none C, third right A``; only the part after
        the semicolon if the annotations do not tell where to look.
    """
    verdicts = ", ".join(
        f"{ordinal} {slot.label.value} {slot.gold}" for ordinal, slot in zip(ORDINALS, slots, strict=False)
    )
    seen = tell_observations(clip, frame_indices, slots[0].label, picture_size)
    return f"{seen}; {verdicts}" if seen else verdicts


def tell_observations(
    clip: Clip, frame_indices: Sequence[int], label: MotionLabel, picture_size: tuple[int, int]
) -> str:
    """Observations from which the answer follows, or "" if the annotations do not tell them.

    A turned camera is told from a landmark, a moved thing from its own box, a gripper from its opening in tenths.

    Returns:
        Such as ``the red tower: x3 y5, x7 y5, x1 y2`` or ``arm opening: 5, 0, 9``.
    """
    frames = np.asarray(frame_indices, dtype=np.int64)
    if label.attribute == "gripper":
        return _tell_opening(clip, frames, label.subject)
    thing = _landmark(clip, frames) if not label.subject else label.subject
    if thing is None or thing not in clip.objects:
        return ""
    boxes = clip.objects[thing].boxes_xyxy[frames]
    if np.isnan(boxes).any():
        return ""
    places = ", ".join(f"x{x} y{y}" for x, y in grid_cells(boxes, picture_size))
    return f"the {readable(thing)}: {places}"


def grid_cells(boxes_xyxy: FloatArray, picture_size: tuple[int, int]) -> list[tuple[int, int]]:
    """Column and row, each 0 to 9 from the top left, of the centres of boxes [N, 4] in pixels."""
    centres = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
    cells = np.clip(np.floor(NUM_CELLS * centres / np.array(picture_size)), 0, NUM_CELLS - 1).astype(int)
    return [(int(x), int(y)) for x, y in cells]


def readable(name: str) -> str:
    """An annotation's name as words."""
    return name.replace("_", " ")


def _landmark(clip: Clip, frames: IntArray) -> str | None:
    """First landmark by name that is visible in all ``frames``."""
    for name in sorted(clip.objects):
        track = clip.objects[name]
        if track.is_landmark and not np.isnan(track.boxes_xyxy[frames]).any():
            return name
    return None


def _tell_opening(clip: Clip, frames: IntArray, subject: str) -> str:
    effector = clip.effectors.get(subject)
    if effector is None or effector.opening is None:
        return ""
    tenths = np.clip(np.floor(NUM_CELLS * effector.opening[frames] + 1e-9), 0, NUM_CELLS - 1).astype(int)
    return f"{readable(subject)} opening: {', '.join(map(str, tenths))}"
