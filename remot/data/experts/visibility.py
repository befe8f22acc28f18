"""Which images show what is asked about, and between which of them a direction is that of the images.

Notation: N annotated frames of a clip, K of them.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from remot.data.experts.base import IntArray
from remot.data.experts.camera import relative_rotations, rotation_degrees
from remot.errors import ConfigError
from remot.structures import Clip, EffectorTrack, FloatArray

BoolArray = NDArray[np.bool_]

#: Ask only about effectors known to be visible (``always``), about all but those known to be invisible
#: (``when_known``), or about all (``never``).
RequireVisible = Literal["when_known", "always", "never"]

#: Smallest size in pixels of what is asked about: the side of one image patch of Qwen3-VL (14 in Qwen2.5-VL). What is
#: smaller is less than one input vector of the model.
MIN_SIZE_PIXELS = 16.0


def camera_still(clip: Clip, frame_indices: IntArray, max_degrees: float, max_metres: float) -> BoolArray:
    """[K, K] whether the camera of a clip with poses stood still between two annotated frames, up to these limits."""
    assert clip.camera is not None
    turned = rotation_degrees(relative_rotations(clip.camera, frame_indices))
    places = clip.camera.camera_to_world[frame_indices, :3, 3]
    travelled = np.linalg.norm(places[None] - places[:, None], axis=-1)
    still: BoolArray = (turned <= max_degrees) & (travelled <= max_metres)
    return still


def directions_known(
    clip: Clip, track: EffectorTrack, frame_indices: IntArray, max_degrees: float, max_metres: float
) -> BoolArray:
    """[K, K] whether a change of an effector's position is the one that two images show.

    It is if the positions are in the axes of each image's camera, or the camera is known to have stood still.
    """
    shape = len(frame_indices), len(frame_indices)
    if track.frame == "camera":
        return np.ones(shape, dtype=np.bool_)
    if clip.camera is not None:
        return camera_still(clip, frame_indices, max_degrees, max_metres)
    return np.full(shape, clip.camera_moves is False)


def effector_visible(clip: Clip, name: str) -> BoolArray | None:
    """[N] whether the images show an effector: by its annotation, or the boxes of the object of its name; else None."""
    track, boxes = clip.effectors[name], clip.objects.get(name)
    if track.visible is not None:
        return track.visible
    return None if boxes is None else np.asarray(np.isfinite(boxes.boxes_xyxy).all(axis=1))


def shown_pairs(clip: Clip, name: str, frame_indices: IntArray, require_visible: RequireVisible) -> BoolArray:
    """[K, K] whether both images show an effector, as far as ``require_visible`` asks for it."""
    visible = effector_visible(clip, name)
    if visible is None or require_visible == "never":
        known = np.full(len(frame_indices), require_visible != "always")
    else:
        known = visible[frame_indices]
    return np.asarray(known[:, None] & known[None, :])


def box_sizes(boxes_xyxy: FloatArray) -> FloatArray:
    """[N] sides in pixels of squares with the area of boxes [N, 4]; NaN where there is no box."""
    sides: FloatArray = np.clip(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 0, None)
    return np.asarray(np.sqrt(sides.prod(axis=1)))


def large_pairs(boxes_xyxy: FloatArray, min_size_pixels: float) -> BoolArray:
    """[K, K] whether both boxes of [K, 4] are there and of at least this size."""
    large = np.nan_to_num(box_sizes(boxes_xyxy), nan=-1.0) >= min_size_pixels
    return large[:, None] & large[None, :]


def require_size(name: str, min_size_pixels: float) -> None:
    """Raise a ConfigError if the setting of the expert or task ``name`` is no size."""
    if not 0 <= min_size_pixels < float("inf"):
        msg = f"{name}: min_size_pixels is {min_size_pixels}, choose a number of pixels of at least 0"
        raise ConfigError(msg)
