"""Which boxes of a scene a camera sees, from boxes alone; what walls hide is not known.

Notation: N frames, R points.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from remot.data.experts.visibility import box_sizes
from remot.data.tasks.geometry.boxes import EDGES, corners, surface_points
from remot.structures import CameraTrack, FloatArray, LayoutBox

#: Nearer than this nothing is seen, in metres.
_NEAR = 0.05
#: A point of a surface is not hidden by the surface it lies on; a share of the way to it.
_TOUCH = 1e-4


@dataclass(frozen=True, eq=False)
class Visibility:
    """How much of a box each of N frames shows.

    Args:
        seen: [N] share of its surface points that are in the image and hidden by no box, itself included; at most
            about two thirds.
        possible: [N] bool, False where it is certain that nothing of it is in the image.
    """

    seen: FloatArray
    possible: NDArray[np.bool_]


def image_points(points: FloatArray, camera_to_world: FloatArray, intrinsics: FloatArray) -> FloatArray:
    """[R, 3] pixels x, y and depth in metres of world points [R, 3]; x and y are NaN where not in front."""
    local = (points - camera_to_world[:3, 3]) @ camera_to_world[:3, :3]
    depth = local[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        pixels = (local @ intrinsics.T)[:, :2] / np.where(depth > _NEAR, depth, np.nan)[:, None]
    return np.column_stack([pixels, depth])


def in_image(pixels: FloatArray, intrinsics: FloatArray, border: float) -> NDArray[np.bool_]:
    """[R] which points of :func:`image_points` lie in the image, widened by ``border`` of its size on each side.

    The image is taken to be twice as large as its principal point is far from the corner.
    """
    size = 2 * intrinsics[:2, 2]
    place = pixels[:, :2] / size
    return np.asarray(((place >= -border) & (place <= 1 + border)).all(axis=1))  # NaN is outside


def hidden(points: FloatArray, eye: FloatArray, others: Sequence[LayoutBox]) -> NDArray[np.bool_]:
    """[R] which points [R, 3] have one of the boxes between them and ``eye``."""
    blocked = np.zeros(len(points), dtype=np.bool_)
    for box in others:
        start, ends = box.axes @ (eye - box.centre_metres), (points - box.centre_metres) @ box.axes.T
        ways, half = ends - start, box.size_metres / 2
        ways = np.where(np.abs(ways) < 1e-12, 1e-12, ways)
        first, second = (-half - start) / ways, (half - start) / ways  # shares of the way at the planes of the sides
        enters, leaves = np.minimum(first, second).max(axis=1), np.maximum(first, second).min(axis=1)
        blocked |= (enters < leaves) & (leaves > 0) & (enters < 1 - _TOUCH)
    return blocked


def visibilities(
    boxes: Sequence[LayoutBox],
    camera: CameraTrack,
    frames: Sequence[int],
    border: float = 0.1,
    min_extent: float = 0.03,
    min_pixels: float = 0.0,
) -> list[Visibility]:
    """How much N frames show of each of ``boxes``, all of which may stand in front of each other.

    Points within ``border`` of the image, as a share of its size, are possibly in it; a thing is large enough to be
    seen from a width or height of ``min_extent`` shares of the image's, and where the rectangle around it has the area
    of a square with sides of ``min_pixels``.

    Raises:
        ValueError: If the camera has no intrinsics.
    """
    if camera.intrinsics is None:
        msg = "what a camera sees is unknown without intrinsics"
        raise ValueError(msg)
    seen = np.zeros((len(boxes), len(frames)))
    possible = np.zeros((len(boxes), len(frames)), dtype=np.bool_)
    points = np.stack([surface_points(box) for box in boxes]) if boxes else np.zeros((0, 1, 3))
    for number, frame in enumerate(frames):
        pose = camera.camera_to_world[frame]
        seen[:, number] = _seen_shares(boxes, points, pose, camera.intrinsics, (min_extent, min_pixels))
        touching = [_may_touch(box, pose, camera.intrinsics, border) for box in boxes]
        possible[:, number] = touching
    return [Visibility(*row) for row in zip(seen, possible, strict=True)]


def _seen_shares(
    boxes: Sequence[LayoutBox],
    points: FloatArray,
    pose: FloatArray,
    intrinsics: FloatArray,
    smallest: tuple[float, float],
) -> FloatArray:
    """[B] shares of the surface points [B, R, 3] that one image shows."""
    inside = np.zeros(points.shape[:2], dtype=np.bool_)
    for number, one in enumerate(points):
        pixels = image_points(one, pose, intrinsics)
        if _is_large(pixels, intrinsics, *smallest):
            inside[number] = in_image(pixels, intrinsics, 0.0)
    inside[inside] = ~hidden(points[inside], pose[:3, 3], boxes)
    return np.asarray(inside.mean(axis=1))


def _may_touch(box: LayoutBox, camera_to_world: FloatArray, intrinsics: FloatArray, border: float) -> bool:
    """Whether the rectangle around the part of a box in front of the camera meets the widened image."""
    local = (corners(box) - camera_to_world[:3, 3]) @ camera_to_world[:3, :3]
    starts, ends = local[EDGES[:, 0]], local[EDGES[:, 1]]
    crosses = (starts[:, 2] > _NEAR) != (ends[:, 2] > _NEAR)
    starts, ways = starts[crosses], (ends - starts)[crosses]
    cuts = starts + ways * ((_NEAR - starts[:, 2]) / ways[:, 2])[:, None]
    front = np.concatenate([local[local[:, 2] > _NEAR], cuts])  # [R, 3] its corners, in camera axes
    if not len(front):
        return False
    place = (front @ intrinsics.T)[:, :2] / front[:, 2:] / (2 * intrinsics[:2, 2])
    return bool((place.max(axis=0) >= -border).all() and (place.min(axis=0) <= 1 + border).all())


def _is_large(pixels: FloatArray, intrinsics: FloatArray, min_extent: float, min_pixels: float) -> bool:
    """Whether the rectangle around the points in front is large enough, see :func:`visibilities`."""
    places = pixels[np.isfinite(pixels[:, 0]), :2]
    if not len(places):
        return False
    rectangle = np.concatenate([places.min(axis=0), places.max(axis=0)])
    extent = ((rectangle[2:] - rectangle[:2]) / (2 * intrinsics[:2, 2])).max()  # in shares of the image's sides
    return bool(extent >= min_extent and box_sizes(rectangle[None])[0] >= min_pixels)
