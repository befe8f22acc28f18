"""Which way the camera turned and moved between two frames, from its poses."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from remot.data.experts.base import IntArray, MotionExpert
from remot.motion import ATTRIBUTES
from remot.structures import CameraTrack, Clip, FloatArray


def relative_rotations(camera: CameraTrack, frame_indices: IntArray) -> FloatArray:
    """Rotations [K, K, 3, 3] that take camera j's axes into the axes of camera i."""
    rotations = camera.camera_to_world[frame_indices, :3, :3]
    num = len(rotations)
    beside = rotations.transpose(1, 0, 2).reshape(3, 3 * num)  # one large product is faster than many small ones
    products = (beside.T @ beside).reshape(num, 3, num, 3)
    return np.asarray(products.transpose(0, 2, 1, 3))


def turn_degrees(relative: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Yaw to the right, pitch up and roll, each [...] in degrees, of rotations [..., 3, 3] in OpenCV axes.

    Yaw and pitch say where the optical axis of the second camera points in the axes of the first; roll is the turn
    about the optical axis that is left.
    """
    forward = relative[..., :, 2]
    yaw = np.arctan2(forward[..., 0], forward[..., 2])
    pitch = np.arctan2(-forward[..., 1], np.hypot(forward[..., 0], forward[..., 2]))
    roll = np.arctan2(relative[..., 1, 0], relative[..., 1, 1])
    return np.degrees(yaw), np.degrees(pitch), np.degrees(roll)


def rotation_degrees(relative: FloatArray) -> FloatArray:
    """Total angle [...] in degrees of rotations [..., 3, 3]."""
    cosine = (np.trace(relative, axis1=-2, axis2=-1) - 1) / 2
    angle: FloatArray = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return angle


@dataclass(eq=False)
class _CameraTurn(MotionExpert):
    """Shared by yaw, pitch and roll.

    Args:
        still: Largest turn in degrees that counts as none.
        salient_min: Smallest turn in degrees that is asked about.
        salient_max: Largest turn in degrees that is asked about.
        max_other_degrees: Largest turn about each of the other two axes; beyond it the pair is not asked about.
    """

    #: Which of yaw, pitch and roll is asked about.
    turn: ClassVar[int]

    still: float = 1.0
    salient_min: float = 10.0
    salient_max: float = 50.0
    max_other_degrees: float = 6.0

    def measure(self, clip: Clip, frame_indices: IntArray) -> Mapping[str, FloatArray]:
        if clip.camera is None:
            return {}
        turns = list(turn_degrees(relative_rotations(clip.camera, frame_indices)))
        asked = turns.pop(self.turn)
        clean = np.max(np.abs(turns), axis=0) <= self.max_other_degrees
        return {"": np.where(clean, asked, np.nan)}


class CameraYaw(_CameraTurn):
    """Camera turned right (positive) or left, as the person holding it would say."""

    attribute = ATTRIBUTES["camera_yaw"]
    turn = 0


class CameraPitch(_CameraTurn):
    """Camera tilted up (positive) or down, as the person holding it would say."""

    attribute = ATTRIBUTES["camera_pitch"]
    turn = 1


class CameraRoll(_CameraTurn):
    """Camera rolled clockwise (positive) or counterclockwise, as the person behind it would say.

    The image then turns the other way: a camera rolled clockwise shows the horizon tipped counterclockwise.
    """

    attribute = ATTRIBUTES["camera_roll"]
    turn = 2


@dataclass(eq=False)
class _CameraMove(MotionExpert):
    """Shared by the three directions, measured in the axes of the first of the two images.

    Nothing is asked where the unit of the poses is not known to be the metre, nor between images whose viewing
    directions differ much, because "forward" then means two things.

    Args:
        still: Largest displacement in metres that counts as none.
        salient_min: Smallest displacement in metres that is asked about.
        salient_max: Largest displacement in metres that is asked about.
        max_turn_degrees: Largest total rotation between the two images.
    """

    axis: ClassVar[int]
    direction: ClassVar[int]

    still: float = 0.02
    salient_min: float = 0.2
    salient_max: float = math.inf
    max_turn_degrees: float = 20.0

    def measure(self, clip: Clip, frame_indices: IntArray) -> Mapping[str, FloatArray]:
        if clip.camera is None or not clip.camera.is_metric:
            return {}
        places = clip.camera.camera_to_world[frame_indices, :3, 3]
        rotations = clip.camera.camera_to_world[frame_indices, :3, :3]
        # [K, K, 3] ways from camera i to camera j in the axes of camera i
        ways = np.einsum("iab,ija->ijb", rotations, places[None] - places[:, None])
        moved = self.direction * ways[..., self.axis]
        turned = rotation_degrees(relative_rotations(clip.camera, frame_indices))
        return {"": np.where(turned <= self.max_turn_degrees, moved, np.nan)}


class CameraForward(_CameraMove):
    """Camera moved forward (positive) or backward along its viewing direction."""

    attribute = ATTRIBUTES["camera_forward"]
    axis, direction = 2, 1


class CameraSideways(_CameraMove):
    """Camera moved to its right (positive) or left without regard to turns."""

    attribute = ATTRIBUTES["camera_sideways"]
    axis, direction = 0, 1


class CameraHeight(_CameraMove):
    """Camera moved up (positive) or down in the image's terms, where y points down."""

    attribute = ATTRIBUTES["camera_height"]
    axis, direction = 1, -1
