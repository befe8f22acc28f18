"""Annotations of an image that was seen through a warp, worked out from where its pixels come from.

Nothing is shared with the code that makes such images: a warp is taken as the nine numbers it is stored as.
"""

from dataclasses import dataclass

import numpy as np

from remot.structures import Clip, FloatArray, Warp

#: Kind of the windows that are shifted and not turned; what they show is taken for a turn all the same.
SHIFTED = "shifted_crop"


@dataclass(frozen=True)
class ImageView:
    """Pose (camera-to-world [4, 4]) of the camera that would take an image, None without poses, and its handedness."""

    pose: FloatArray | None
    mirrored: bool = False


def seen_as(clip: Clip, frame: int, transform: object) -> ImageView:
    """Pose and handedness of the image shown for one frame."""
    pose = None if clip.camera is None else clip.camera.camera_to_world[frame]
    if not isinstance(transform, Warp):
        return ImageView(pose)
    matrix = np.array(transform.matrix).reshape(3, 3)
    mirrored = bool(np.linalg.det(matrix) < 0)
    if pose is None:
        return ImageView(None, mirrored)
    if mirrored:  # the mirror exchanges the world's and the camera's x: every entry with one x changes sign
        signs = np.ones((4, 4))
        signs[0, 1:] = signs[1:, 0] = -1
        return ImageView(pose * signs, mirrored=True)
    assert clip.camera is not None
    if clip.camera.intrinsics is None:
        return ImageView(None)
    turned = pose.copy()
    if transform.kind == SHIFTED:
        axes = looking_through(matrix, transform.size, clip.camera.intrinsics)
    else:
        axes = turn_behind(matrix, clip.camera.intrinsics)
    turned[:3, :3] = pose[:3, :3] @ axes
    return ImageView(turned)


def turn_behind(matrix: FloatArray, intrinsics: FloatArray) -> FloatArray:
    """Axes [3, 3] of a pinhole camera whose images ``matrix`` takes to those of the camera with ``intrinsics``.

    Without the intrinsics the map is the turn times the inverse of the other camera's intrinsics. The one is
    orthogonal and the other upper triangular with positive diagonal; no matrix can be divided so in two ways.
    """
    orthogonal, triangular = np.linalg.qr(np.linalg.solve(intrinsics, matrix))
    axes: FloatArray = orthogonal * np.sign(np.diag(triangular))
    return axes


def looking_through(matrix: FloatArray, size: tuple[int, int], intrinsics: FloatArray) -> FloatArray:
    """Axes [3, 3] (right, down, ahead in the columns) of the view an image gives, in those of its camera.

    Ahead is where the middle of the shown image looks, and right where the pixels to the right of it lie.
    """
    middle, step = np.array([size[0] / 2, size[1] / 2]), np.array([1.0, 0.0])
    ahead = _ray(middle, matrix, intrinsics)
    beside = _ray(middle + step, matrix, intrinsics) - _ray(middle - step, matrix, intrinsics)
    right = beside - (beside @ ahead) * ahead
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(ahead, right), ahead], axis=1)


def _ray(place: FloatArray, matrix: FloatArray, intrinsics: FloatArray) -> FloatArray:
    """Unit direction, in the camera's axes, that a place of the shown image shows."""
    x, y, w = matrix @ [place[0], place[1], 1.0]
    ray = np.linalg.solve(intrinsics, [x / w, y / w, 1.0])
    unit: FloatArray = ray / np.linalg.norm(ray)
    return unit
