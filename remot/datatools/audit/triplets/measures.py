"""The motion between two images, measured anew from the annotations by other formulas than the experts'."""

import cmath
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from remot.datatools.audit.triplets.tuples import COMPOSITE
from remot.datatools.audit.triplets.views import ImageView, seen_as
from remot.structures import Clip, FloatArray, MotionLabel, ObjectTrack, Triplet

_MIRRORED = {"left": "right", "right": "left", "Left": "Right", "Right": "Left", "LEFT": "RIGHT", "RIGHT": "LEFT"}
_MIRRORED |= {"leftmost": "rightmost", "rightmost": "leftmost"}
_SIDES = re.compile(r"(?<![^\W\d_])(LEFT|[Ll]eft|RIGHT|[Rr]ight|leftmost|rightmost)(?![^\W\d_])")
#: Attributes measured as turns of the camera.
TURNS = ("camera_yaw", "camera_pitch", "camera_roll")


@dataclass(frozen=True)
class ShownPair:
    """Two of the images shown: their annotated frames, how they are seen, and the subject by the clip's own name.

    The subject is "" for the camera or the agent.
    """

    clip: Clip
    frames: tuple[int, int]
    views: tuple[ImageView, ImageView]
    subject: str

    @property
    def side(self) -> int:
        """-1 in a mirror, where sideways motion goes the other way, else 1."""
        return -1 if self.views[0].mirrored else 1


def pair_of(triplet: Triplet, label: MotionLabel) -> ShownPair:
    """The two images a label is about."""
    places = [image - 1 for image in label.pair]
    frames = [triplet.frame_indices[place] for place in places]
    first, second = (
        seen_as(triplet.clip, frame, triplet.transforms[place]) for frame, place in zip(frames, places, strict=True)
    )
    subject = label.subject
    if first.mirrored:  # the name outside of the mirror: whole words exchanged
        subject = _SIDES.sub(lambda found: _MIRRORED[found[1]], subject)
    return ShownPair(triplet.clip, (frames[0], frames[1]), (first, second), subject)


def measured(attribute: str, pair: ShownPair) -> float:
    """Where the second image's subject lies from the first's, in the attribute's unit; NaN if not annotated."""
    if attribute.startswith("camera"):
        return _camera_measure(attribute, pair)
    if attribute.startswith("agent"):
        return agent_measure(attribute, pair)
    if attribute.startswith("object"):
        return _object_measure(attribute, pair)
    return _effector_measure(attribute, pair)


def _camera_measure(attribute: str, pair: ShownPair) -> float:
    first, second = (view.pose for view in pair.views)
    if first is None or second is None or pair.clip.camera is None:
        return math.nan
    if attribute in TURNS:
        return camera_turn(first, second)[("camera_yaw", "camera_pitch", "camera_roll").index(attribute)]
    if not pair.clip.camera.is_metric:
        return math.nan
    way = second[:3, 3] - first[:3, 3]
    right, down, ahead = (float(way @ first[:3, column]) for column in range(3))
    return {"camera_forward": ahead, "camera_sideways": right, "camera_height": -down}[attribute]


def agent_measure(attribute: str, pair: ShownPair) -> float:
    """Turn or advance of the agent, in the complex plane."""
    agent, (i, j) = pair.clip.agent, pair.frames
    if agent is None:
        return math.nan
    facing = [cmath.rect(1.0, math.radians(agent.headings_degrees[k])) for k in (i, j)]
    if attribute == "agent_turn":
        return -pair.side * math.degrees(cmath.phase(facing[1] / facing[0]))
    way = complex(*(agent.positions_metres[j] - agent.positions_metres[i]))
    return (way / facing[0]).real


def _object_measure(attribute: str, pair: ShownPair) -> float:
    track, (i, j) = pair.clip.objects.get(pair.subject), pair.frames
    if track is None:
        return math.nan
    if attribute == "object_depth":
        depths = track.depths_metres
        return math.nan if depths is None else float(depths[i]) - float(depths[j])
    left, top, right, bottom = (float(change) for change in track.boxes_xyxy[j] - track.boxes_xyxy[i])
    return pair.side * (left + right) / 2 if attribute == "object_horizontal" else -(top + bottom) / 2


def _effector_measure(attribute: str, pair: ShownPair) -> float:
    track, (i, j) = pair.clip.effectors.get(pair.subject), pair.frames
    if track is None:
        return math.nan
    if attribute == "gripper":
        return math.nan if track.opening is None else float(track.opening[j]) - float(track.opening[i])
    right, down, away = (float(change) for change in track.positions[j] - track.positions[i])
    if attribute == COMPOSITE:
        return math.hypot(right, down)
    return {"effector_horizontal": pair.side * right, "effector_vertical": -down, "effector_depth": away}[attribute]


def smallest_box(track: ObjectTrack, frames: Sequence[int]) -> float:
    """Geometric mean of the sides of an object's smallest box in frames, in pixels; NaN if one is not there."""
    areas = [float(right - left) * float(bottom - top) for left, top, right, bottom in track.boxes_xyxy[list(frames)]]
    return math.nan if any(map(math.isnan, areas)) else math.sqrt(max(0.0, min(areas)))


def overlap(boxes_xyxy: FloatArray) -> float:
    """Share of what two boxes [2, 4] cover that both cover, in pixels; NaN if one is not visible or too small."""
    if np.isnan(boxes_xyxy).any() or (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]).min() < 1:
        return math.nan
    (l1, t1, r1, b1), (l2, t2, r2, b2) = boxes_xyxy.tolist()
    both = max(0.0, min(r1, r2) - max(l1, l2)) * max(0.0, min(b1, b2) - max(t1, t2))
    either = (r1 - l1) * (b1 - t1) + (r2 - l2) * (b2 - t2) - both
    return float(both / either)


def camera_turn(pose_first: FloatArray, pose_second: FloatArray) -> tuple[float, float, float]:
    """Yaw to the right, pitch up and roll in degrees from one camera to another, by plane geometry in the world.

    Poses are camera-to-world [4, 4] in OpenCV axes: the columns are the camera's right, down and ahead. Yaw is the
    angle between the two viewing directions within the first camera's horizontal plane, pitch the second one's
    elevation above that plane, and roll how far the second camera's right is tipped out of it.
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
