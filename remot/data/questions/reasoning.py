"""Reasoning built from annotations: where the decisive thing lies in each image, on a 10 by 10 grid."""

from collections.abc import Sequence

import numpy as np

from remot.data.questions.templates import ORDINALS
from remot.data.questions.text import called
from remot.motion import PAIRS
from remot.structures import Clip, FloatArray, MotionLabel, Slot

#: Cells of the grid along each side, so that a place is two digits.
NUM_CELLS = 10


#: Coordinate of a place that decides each attribute, by the end of its name; the others have none.
AXES = {"yaw": "x", "horizontal": "x", "pitch": "y", "vertical": "y"}


def describe_reasoning(
    clip: Clip, frame_indices: Sequence[int], slots: Sequence[Slot], image_size: tuple[int, int]
) -> str:
    """For each pair what its two images show, as far as it is annotated, what follows, and its letter.

    Such as ``the red tower: first x3 x7 left C, second x3 x3 none C, third x7 x3 right A``; verdicts and letters alone
    if the annotations do not locate the evidence. ``image_size`` is width and height in pixels of the images that the
    boxes refer to.
    """
    what, seen = describe_observations(clip, frame_indices, slots[0].label, image_size)
    text = describe_labels(slots, seen)
    return f"{what}: {text}" if seen else text


def describe_labels(slots: Sequence[Slot], seen: Sequence[str] = ()) -> str:
    """For each pair what is ``seen`` in its images, if anything, the verdict, and the answer."""
    return ", ".join(
        " ".join(
            [
                ORDINALS[PAIRS.index(slot.label.pair)],
                *(seen[image - 1] for image in slot.label.pair if seen),
                slot.label.value.replace("_", " "),
                slot.gold,
            ]
        )
        for slot in slots
    )


def describe_observations(
    clip: Clip, frame_indices: Sequence[int], label: MotionLabel, image_size: tuple[int, int]
) -> tuple[str, list[str]]:
    """Observations from which the answer follows, empty if they are not annotated.

    A turned camera is derived from a landmark, a moved object from its box, a gripper from its opening in tenths.

    Returns:
        What is looked at, and what is seen in each image, such as ``("the red tower", ["x3", "x7", "x1"])`` or
        ``("arm opening", ["5", "0", "9"])``.
    """
    frames = np.asarray(frame_indices, dtype=np.int64)
    if label.attribute == "gripper":
        effector = clip.effectors.get(label.subject)
        if effector is None or effector.opening is None:
            return "", []
        tenths = np.clip(np.floor(NUM_CELLS * effector.opening[frames] + 1e-9), 0, NUM_CELLS - 1).astype(int)
        return f"{called(label.subject)} opening", [str(tenth) for tenth in tenths]
    visible = {name for name, track in clip.objects.items() if not np.isnan(track.boxes_xyxy[frames]).any()}
    landmarks = sorted(name for name in visible if clip.objects[name].is_landmark)
    thing = label.subject or next(iter(landmarks), "")
    if thing not in visible:
        return "", []
    axis = AXES.get(label.attribute.rpartition("_")[2])
    if axis is None:
        return "", []
    cells = grid_cells(clip.objects[thing].boxes_xyxy[frames], image_size)
    return f"the {called(thing)}", [f"{axis}{cell['xy'.index(axis)]}" for cell in cells]


def grid_cells(boxes_xyxy: FloatArray, image_size: tuple[int, int]) -> list[tuple[int, int]]:
    """Column and row, each 0 to 9 from the top left, of the centres of boxes [N, 4] in pixels."""
    centres = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
    cells = np.clip(np.floor(NUM_CELLS * centres / np.array(image_size)), 0, NUM_CELLS - 1).astype(int)
    return [(int(x), int(y)) for x, y in cells]
