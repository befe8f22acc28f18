"""Which way an object moved: in the image while the camera stood still, and nearer to it or farther away."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from remot.data.experts.base import IntArray, MotionExpert, differences
from remot.data.experts.visibility import MIN_SIZE_PIXELS, camera_still, large_pairs, require_size
from remot.motion import ATTRIBUTES
from remot.structures import Clip, FloatArray


@dataclass(eq=False)
class _SizedExpert(MotionExpert):
    """Shared by what is asked about objects, which may be too small to see."""

    min_size_pixels: float = field(default=MIN_SIZE_PIXELS, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        require_size(type(self).__name__, self.min_size_pixels)


@dataclass(eq=False)
class _ObjectMove(_SizedExpert):
    """Shared by the two directions.

    Landmarks are never asked about, nor is the box of an effector, which has experts of its own. Where camera poses
    are known, pairs between which the camera moved are not measurable: the image alone cannot distinguish
    "the object moved" from "the camera moved". Without poses nothing is asked about if the clip states that the camera
    moves; a clip that states nothing is asked about, and ``remot data validate`` names it.

    Args:
        still: Largest displacement of the box centre in pixels that counts as none.
        salient_min: Smallest displacement in pixels that is asked about.
        salient_max: Largest displacement in pixels that is asked about.
        max_camera_degrees: Rotation up to which the camera counts as still.
        max_camera_metres: Translation up to which the camera counts as still.
        min_size_pixels: Smallest size of the box that is asked about: the side of a square of its area.
    """

    axis: ClassVar[int]
    direction: ClassVar[int]

    still: float = 4.0
    salient_min: float = 26.0
    salient_max: float = math.inf
    max_camera_degrees: float = 0.5
    max_camera_metres: float = 0.01

    def measure(self, clip: Clip, frame_indices: IntArray) -> Mapping[str, FloatArray]:
        movers = {
            name: track for name, track in clip.objects.items() if not track.is_landmark and name not in clip.effectors
        }
        if not movers or (clip.camera_moves and clip.camera is None):
            return {}
        still = np.ones((len(frame_indices), len(frame_indices)), dtype=np.bool_)
        if clip.camera is not None:
            still = camera_still(clip, frame_indices, self.max_camera_degrees, self.max_camera_metres)
        found = {}
        for name, track in movers.items():
            boxes_xyxy = track.boxes_xyxy[frame_indices]
            centres = (boxes_xyxy[:, self.axis] + boxes_xyxy[:, self.axis + 2]) / 2
            measurable = still & large_pairs(boxes_xyxy, self.min_size_pixels)
            found[name] = np.where(measurable, self.direction * differences(centres), np.nan)
        return found


class ObjectHorizontal(_ObjectMove):
    """Object moved to the right (positive) or left in the image."""

    attribute = ATTRIBUTES["object_horizontal"]
    axis, direction = 0, 1


class ObjectVertical(_ObjectMove):
    """Object moved up (positive) or down in the image."""

    attribute = ATTRIBUTES["object_vertical"]
    axis, direction = 1, -1


@dataclass(eq=False)
class ObjectDepth(_SizedExpert):
    """Object came nearer to the camera (positive) or went farther away, whichever of the two moved.

    Args:
        still: Largest change of the distance in metres that counts as none.
        salient_min: Smallest change of the distance in metres that is asked about.
        salient_max: Largest change of the distance in metres that is asked about.
        min_size_pixels: Smallest size of the box that is asked about: the side of a square of its area.
    """

    attribute = ATTRIBUTES["object_depth"]

    still: float = 0.05
    salient_min: float = 0.5
    salient_max: float = math.inf

    def measure(self, clip: Clip, frame_indices: IntArray) -> Mapping[str, FloatArray]:
        """Decrease of the distance along the optical axis, for visible objects whose distance is annotated."""
        return {
            name: np.where(
                large_pairs(track.boxes_xyxy[frame_indices], self.min_size_pixels),
                -differences(track.depths_metres[frame_indices]),
                np.nan,
            )
            for name, track in clip.objects.items()
            if track.depths_metres is not None and name not in clip.effectors
        }
