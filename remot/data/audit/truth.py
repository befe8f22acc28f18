"""What every label should say, worked out from the annotations a second time.

Nothing here is shared with the experts or with :mod:`remot.motion`, words and signs included: an error there must not
hide itself. Only the experts' thresholds are taken over, as numbers.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from remot.data.experts.base import MotionExpert
from remot.structures import Clip, FloatArray, MotionLabel, Triplet

#: Words for the two directions of each attribute, the positive one first; docs/conventions.md gives the signs.
WORDS: dict[str, tuple[str, str]] = {
    "camera_yaw": ("right", "left"),
    "camera_pitch": ("up", "down"),
    "effector_horizontal": ("right", "left"),
    "effector_vertical": ("up", "down"),
    "gripper": ("opened", "closed"),
    "object_horizontal": ("right", "left"),
    "object_vertical": ("up", "down"),
}
NO_MOTION = "none"
#: What a label should say where the annotations do not allow any answer.
NOT_ASKED = "not asked"

#: How far a measurement may lie beyond a threshold. Poses count as rigid up to 1e-3, which two ways of measuring a turn
#: may see as different angles of 0.06 degrees; the other magnitudes are plain differences.
TOLERANCE_DEGREES = 0.1
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Limits:
    """An expert's settings as numbers; those it does not have are unlimited.

    Args:
        still: Largest magnitude that is no motion, in the attribute's unit.
        salient_min: Smallest magnitude that is a motion.
        salient_max: Largest magnitude that is asked about.
        max_other_degrees: Largest turn of the camera about each of the other two axes.
        max_camera_degrees: Largest turn of the camera while an object is asked about.
        max_camera_metres: Largest way of the camera while an object is asked about.
    """

    still: float
    salient_min: float
    salient_max: float = math.inf
    max_other_degrees: float = math.inf
    max_camera_degrees: float = math.inf
    max_camera_metres: float = math.inf

    @classmethod
    def of(cls, expert: MotionExpert) -> "Limits":
        """The settings of ``expert``."""
        optional = ("max_other_degrees", "max_camera_degrees", "max_camera_metres")
        others = {name: float(getattr(expert, name, math.inf)) for name in optional}
        return cls(expert.still, expert.salient_min, expert.salient_max, **others)


@dataclass(frozen=True)
class WrongLabel:
    """A label that the annotations contradict.

    Args:
        clip_id: Where it comes from.
        frames: The two annotated frames.
        pair: Their picture numbers.
        attribute: What was asked.
        subject: About whom, "" for the camera.
        said: The label's value.
        should_be: The value by the annotations, or :data:`NOT_ASKED`.
        measured: The signed magnitude in the attribute's unit; NaN if it cannot be measured.
    """

    clip_id: str
    frames: tuple[int, int]
    pair: tuple[int, int]
    attribute: str
    subject: str
    said: str
    should_be: str
    measured: float


def wrong_labels(triplet: Triplet, limits: Sequence[Limits]) -> list[WrongLabel]:
    """The labels of a triplet that the annotations contradict.

    Args:
        triplet: Frames and labels.
        limits: Settings of every expert for the attribute; a label is right if it is right by one of them.
    """
    found = []
    for label in triplet.labels:
        first, second = (triplet.frame_indices[picture - 1] for picture in label.pair)
        allowed = [expected_value(triplet.clip, label, (first, second), one) for one in limits]
        if label.value not in allowed:
            measured = signed_magnitude(triplet.clip, label, (first, second))
            should_be = allowed[0] if allowed else NOT_ASKED
            names = (label.pair, label.attribute, label.subject, label.value, should_be, measured)
            found.append(WrongLabel(triplet.clip.clip_id, (first, second), *names))
    return found


def expected_value(clip: Clip, label: MotionLabel, frames: tuple[int, int], limits: Limits) -> str:
    """What ``label`` should say about ``frames``: a direction, "none", or :data:`NOT_ASKED`."""
    measured = signed_magnitude(clip, label, frames)
    if math.isnan(measured) or not _is_allowed(clip, label, frames, limits):
        return NOT_ASKED
    slack = TOLERANCE_DEGREES if label.attribute.startswith("camera") else TOLERANCE
    size = abs(measured)
    if size <= limits.still + slack:
        return NO_MOTION
    if limits.salient_min - slack <= size <= limits.salient_max + slack:
        return WORDS[label.attribute][0 if measured > 0 else 1]
    return NOT_ASKED


def signed_magnitude(clip: Clip, label: MotionLabel, frames: tuple[int, int]) -> float:
    """Where the second of ``frames`` lies from the first, in the attribute's unit; NaN if it is not annotated."""
    attribute, (first, second) = label.attribute, frames
    if attribute in {"camera_yaw", "camera_pitch"}:
        if clip.camera is None:
            return math.nan
        yaw, pitch, _ = camera_turn(clip.camera.camera_to_world[first], clip.camera.camera_to_world[second])
        return yaw if attribute == "camera_yaw" else pitch
    if attribute == "gripper":
        effector = clip.effectors.get(label.subject)
        opening = None if effector is None else effector.opening
        return math.nan if opening is None else float(opening[second]) - float(opening[first])
    places = _places(clip, label)
    if places is None:
        return math.nan
    (x_first, y_first), (x_second, y_second) = places[first], places[second]
    return float(x_second - x_first if attribute.endswith("horizontal") else y_first - y_second)


def _places(clip: Clip, label: MotionLabel) -> FloatArray | None:
    """[N, 2] to the right and downwards: metres of an effector, pixels of an object; None without annotation."""
    if label.attribute.startswith("effector"):
        return clip.effectors[label.subject].positions[:, :2] if label.subject in clip.effectors else None
    if label.subject not in clip.objects:
        return None
    boxes = clip.objects[label.subject].boxes_xyxy
    centres: FloatArray = boxes[:, :2] + (boxes[:, 2:] - boxes[:, :2]) / 2
    return centres


def _is_allowed(clip: Clip, label: MotionLabel, frames: tuple[int, int], limits: Limits) -> bool:
    """Whether everything that is not asked about is as quiet as it has to be."""
    poses = None if clip.camera is None else clip.camera.camera_to_world[list(frames)]
    if label.attribute.startswith("object"):
        if clip.objects[label.subject].is_landmark or label.subject in clip.effectors:
            return False
        return poses is None or _rests(poses, limits)
    if label.attribute.startswith("camera") and poses is not None:
        yaw, pitch, roll = camera_turn(poses[0], poses[1])
        other = pitch if label.attribute == "camera_yaw" else yaw
        return max(abs(other), abs(roll)) <= limits.max_other_degrees + TOLERANCE_DEGREES
    return True


def _rests(poses: FloatArray, limits: Limits) -> bool:
    """Whether a camera with ``poses`` [2, 4, 4] counts as standing still."""
    turned = rotation_between(poses[0], poses[1])
    travelled = math.dist(poses[0, :3, 3], poses[1, :3, 3])
    within_turn = turned <= limits.max_camera_degrees + TOLERANCE_DEGREES
    return within_turn and travelled <= limits.max_camera_metres + TOLERANCE


def camera_turn(pose_first: FloatArray, pose_second: FloatArray) -> tuple[float, float, float]:
    """How the second camera is turned against the first, by plane geometry in the world.

    Args:
        pose_first: Camera-to-world [4, 4], OpenCV axes: the columns are the camera's right, down and ahead.
        pose_second: The same of the second camera.

    Returns:
        Yaw to the right, pitch up and roll, in degrees. Yaw is the angle between the two viewing directions within the
        first camera's horizontal plane, pitch the second one's elevation above that plane, and roll how far the second
        camera's right is tipped out of it.
    """
    down, ahead = pose_first[:3, 1], pose_first[:3, 2]
    right_second, ahead_second = pose_second[:3, 0], pose_second[:3, 2]
    level = ahead_second - (ahead_second @ down) * down
    yaw = math.atan2(np.cross(ahead, level) @ down, ahead @ level)
    from_zenith = math.atan2(float(np.linalg.norm(np.cross(down, ahead_second))), -(down @ ahead_second))
    side = np.cross(down, ahead_second)  # the second camera's right, had it not been rolled
    roll = math.atan2(right_second @ np.cross(ahead_second, side), right_second @ side)
    return math.degrees(yaw), 90.0 - math.degrees(from_zenith), math.degrees(roll)


def rotation_between(pose_first: FloatArray, pose_second: FloatArray) -> float:
    """Total angle in degrees between two poses [4, 4], from the distance of their rotations."""
    distance = float(np.linalg.norm(pose_first[:3, :3] - pose_second[:3, :3]))
    return 2 * math.degrees(math.asin(min(1.0, distance / math.sqrt(8))))


def possible_tuples(num_answers: int) -> set[str]:
    """Answers, such as ``+0-``, that can be true together: found by putting three pictures into every order.

    Args:
        num_answers: 3 for all pairs of three pictures, of which 13 are possible, or 1 for the first pair.
    """
    orders = product(range(3), repeat=3)
    return {"".join(_sign(b - a) + _sign(c - a) + _sign(c - b))[:num_answers] for a, b, c in orders}


def answer_tuple(labels: Iterable[MotionLabel]) -> str:
    """Signs of ``labels`` in order, such as ``+0-``; a word that is no value of its attribute is ``?``."""
    return "".join(_sign_of(label) for label in labels)


def _sign_of(label: MotionLabel) -> str:
    positive, negative = WORDS[label.attribute]
    return {positive: "+", negative: "-", NO_MOTION: "0"}.get(label.value, "?")


def _sign(number: int) -> str:
    return "+" if number > 0 else "-" if number < 0 else "0"
