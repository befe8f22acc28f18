"""Which way the camera turned between two frames, from its poses."""

from abc import abstractmethod
from collections.abc import Mapping

import numpy as np

from remot.data.experts.base import IntArray, MotionExpert
from remot.motion import ATTRIBUTES
from remot.structures import CameraTrack, Clip, FloatArray


def relative_rotations(camera: CameraTrack, frame_indices: IntArray) -> FloatArray:
    """Rotations [K, K, 3, 3] that take camera j's axes into the axes of camera i."""
    rotations = camera.camera_to_world[frame_indices, :3, :3]
    relative: FloatArray = np.einsum("iab,jac->ijbc", rotations, rotations)
    return relative


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


class _CameraTurn(MotionExpert):
    """Shared by yaw and pitch.

    Args:
        still: Largest turn in degrees that counts as none.
        salient_min: Smallest turn in degrees that is asked about.
        salient_max: Largest turn in degrees that is asked about.
        max_other_degrees: Largest turn about each of the other two axes; beyond it the pair is not asked about.
    """

    def __init__(
        self,
        still: float = 1.0,
        salient_min: float = 10.0,
        salient_max: float = 50.0,
        max_other_degrees: float = 6.0,
    ) -> None:
        super().__init__(still, salient_min, salient_max)
        self.max_other_degrees = max_other_degrees

    @abstractmethod
    def _choose(self, yaw: FloatArray, pitch: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The asked turn and the other one."""

    def measure(self, clip: Clip, frame_indices: IntArray) -> Mapping[str, FloatArray]:
        if clip.camera is None:
            return {}
        yaw, pitch, roll = turn_degrees(relative_rotations(clip.camera, frame_indices))
        asked, other = self._choose(yaw, pitch)
        clean = (np.abs(other) <= self.max_other_degrees) & (np.abs(roll) <= self.max_other_degrees)
        return {"": np.where(clean, asked, np.nan)}


class CameraYaw(_CameraTurn):
    """Camera turned right (positive) or left, as the person holding it would say."""

    attribute = ATTRIBUTES["camera_yaw"]

    def _choose(self, yaw: FloatArray, pitch: FloatArray) -> tuple[FloatArray, FloatArray]:
        return yaw, pitch


class CameraPitch(_CameraTurn):
    """Camera tilted up (positive) or down, as the person holding it would say."""

    attribute = ATTRIBUTES["camera_pitch"]

    def _choose(self, yaw: FloatArray, pitch: FloatArray) -> tuple[FloatArray, FloatArray]:
        return pitch, yaw
