"""From world axes, such as those of a robot's base, to the axes of each image's own camera.

With ``T_world_camera`` [4, 4] the pose of a camera in the world, a point is at ``inv(T_world_camera) @ point`` in the
axes of the camera; see docs/effector_poses.md for where the pose comes from.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from remot.structures import CameraTrack, EffectorTrack, FloatArray


def seen_from(camera_to_world: FloatArray, points: FloatArray) -> FloatArray:
    """Points [N, 3] of the world in the axes of cameras [N, 4, 4]: x right, y down, z the depth."""
    away = points - camera_to_world[:, :3, 3]
    seen: FloatArray = np.einsum("nij,ni->nj", camera_to_world[:, :3, :3], away)
    return seen


def effector_seen_from(
    camera: CameraTrack | None,
    positions: FloatArray,
    opening: FloatArray | None,
    visible: NDArray[np.bool_] | None = None,
    frame: Literal["world", "camera"] = "world",
) -> EffectorTrack:
    """The track of an effector in the axes of each image's camera.

    Args:
        camera: Its poses in the axes of the positions; None if they are not known, which leaves only the opening of
            positions in world axes.
        positions: [N, 3] metres.
        opening: [N] from 0 to 1, or None.
        visible: [N] whether the image shows it; None to find out by projection where intrinsics are known. The image
            shows positions before the camera and within the image, which is taken to be twice as wide and high as the
            principal point.
        frame: Whether positions are in world axes, those of the camera's poses, or in those of each image's camera.
    """
    if frame == "world":
        if camera is None or not camera.is_metric:
            return EffectorTrack(np.full_like(positions, np.nan), opening, "camera", visible)
        positions = seen_from(camera.camera_to_world, positions)
    if visible is None and camera is not None and camera.intrinsics is not None and np.isfinite(positions).all():
        with np.errstate(divide="ignore", invalid="ignore"):
            pixels = (positions @ camera.intrinsics.T)[:, :2] / positions[:, 2:]
        is_within = ((pixels >= 0) & (pixels <= 2 * camera.intrinsics[:2, 2])).all(axis=1)
        visible = (positions[:, 2] > 0) & is_within
    return EffectorTrack(positions, opening, "camera", visible)
