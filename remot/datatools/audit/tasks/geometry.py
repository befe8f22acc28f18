"""Which boxes a camera sees, and distances and directions between them, computed independently of the tasks.

Visibility by faces that look at the camera and planes that part a line of sight from a box, distances by descent with
a certificate, directions in the complex plane.

Notation: B boxes, F frames, R points.
"""

import cmath
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

from remot.structures import CameraTrack, FloatArray, LayoutBox

#: Points of a box that are looked for: corners, middles of edges and of faces, in half sides; see docs/scenes.md.
_GRID = np.array([point for point in product((-1.0, 0.0, 1.0), repeat=3) if any(point)])
#: Many points inside the faces.
_TICKS = (np.arange(12) + 0.5) / 6 - 1
_DENSE = np.concatenate([np.roll(list(product((-1.0, 1.0), _TICKS, _TICKS)), axis, axis=1) for axis in range(3)])
#: Rays across and down an image.
_RAYS = (64, 48)
#: Smallest share of the image's width or height, and nearest distance in metres, as documented.
_MIN_EXTENT, _NEAR_METRES = 0.03, 0.05
#: What is nearer to a limit than this may be on either side of it: metres, or shares of an image.
_SLACK = 1e-3
#: Largest gap in metres between a distance that was found and the lower bound that proves it.
CERTAIN_METRES = 1e-4
_MAX_STEPS = 20000


@dataclass(frozen=True, eq=False)
class SeenBounds:
    """Shares [B, F] of a box's 26 points that images show: for certain, and at most."""

    least: FloatArray
    most: FloatArray


@lru_cache(maxsize=256)
def seen_bounds(
    boxes: tuple[LayoutBox, ...], camera: CameraTrack, frames: tuple[int, ...], min_pixels: float = 0.0
) -> SeenBounds:
    """How much of each of B boxes, each of which may hide the others, F frames show; walls are not known.

    A box is seen if the rectangle around it has at least the area of a square with sides of ``min_pixels``.
    """
    assert camera.intrinsics is not None
    points = np.stack([box.centre_metres + (_GRID * box.size_metres / 2) @ box.axes for box in boxes])
    bounds = []
    for slack in (_SLACK, -_SLACK):
        shares = np.zeros((len(boxes), len(frames)))
        for column, frame in enumerate(frames):
            pose = camera.camera_to_world[frame]
            shares[:, column] = _shares(boxes, points, pose, camera.intrinsics, slack, min_pixels)
        bounds.append(shares)
    return SeenBounds(*bounds)


def _shares(
    boxes: Sequence[LayoutBox],
    points: FloatArray,
    pose: FloatArray,
    intrinsics: FloatArray,
    slack: float,
    min_pixels: float,
) -> FloatArray:
    """[B] shares of points [B, R, 3] that an image shows; fewer for certain where ``slack`` is above 0."""
    eye, place, ahead = pose[:3, 3], *_places(points, pose, intrinsics)
    inside = ahead & (place >= slack).all(-1) & (place <= 1 - slack).all(-1)
    for number, box in enumerate(boxes):
        spread = np.ptp(place[number][ahead[number]], axis=0) if ahead[number].any() else np.zeros(2)
        inside[number] &= spread.max() >= _MIN_EXTENT + slack * 0.01
        inside[number] &= np.sqrt((spread * 2 * intrinsics[:2, 2]).prod()) >= min_pixels + slack
        # [26] whether one of the faces that a point lies on looks at the eye: nothing else of the box can hide it
        beyond = _GRID * (box.axes @ (eye - box.centre_metres)) - box.size_metres / 2
        inside[number] &= ((beyond > slack) & (_GRID != 0)).any(axis=1)
        for other, blocker in enumerate(boxes):
            if other != number and inside[number].any():
                inside[number] &= ~_blocked(points[number], eye, blocker, slack)
    return np.asarray(inside.mean(axis=1))


def _places(points: FloatArray, pose: FloatArray, intrinsics: FloatArray) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Places [..., 2] in shares of an image twice as large as its principal point, and what lies ahead."""
    world_to_camera = np.linalg.inv(pose)
    local = points @ world_to_camera[:3, :3].T + world_to_camera[:3, 3]
    ahead = local[..., 2] > _NEAR_METRES
    pixels = local @ intrinsics.T
    with np.errstate(divide="ignore", invalid="ignore"):
        place = pixels[..., :2] / local[..., 2:] / (2 * intrinsics[:2, 2])
    return np.where(ahead[..., None], place, np.nan), np.asarray(ahead)


def _blocked(points: FloatArray, eye: FloatArray, box: LayoutBox, slack: float) -> NDArray[np.bool_]:
    """[R] whether a box, made larger by ``slack``, meets the line of sight: whether no axis parts them."""
    half = np.maximum(box.size_metres / 2 + slack, 0)
    start = box.axes @ (eye - box.centre_metres)
    ends = (points - box.centre_metres) @ box.axes.T
    middle, way = (start + ends) / 2, (ends - start) / 2
    apart = (np.abs(middle) > half + np.abs(way)).any(axis=1)
    for j, k in ((1, 2), (2, 0), (0, 1)):  # the axes along which both the way and an edge of the box are thin
        across = np.abs(middle[:, j] * way[:, k] - middle[:, k] * way[:, j])
        apart |= across > half[j] * np.abs(way[:, k]) + half[k] * np.abs(way[:, j])
    return np.asarray(~apart)


@lru_cache(maxsize=256)
def first_hits(boxes: tuple[LayoutBox, ...], camera: CameraTrack, frames: tuple[int, ...]) -> tuple[int, ...]:
    """For each box the first of F frames that shows a bit of it; F if none does.

    Small things are found by many points inside their faces, near ones by many rays through the image.
    """
    assert camera.intrinsics is not None
    found = [len(frames)] * len(boxes)
    for column in reversed(range(len(frames))):
        pose = camera.camera_to_world[frames[column]]
        shown = _shown_points(boxes, pose, camera.intrinsics) | _hit_by_rays(boxes, pose, camera.intrinsics)
        for number in np.flatnonzero(shown):
            found[number] = column
    return tuple(found)


def _shown_points(boxes: Sequence[LayoutBox], pose: FloatArray, intrinsics: FloatArray) -> NDArray[np.bool_]:
    """[B] whether a point inside a face of a box is in the image, looks at the camera and is not hidden."""
    points = np.stack([box.centre_metres + (_DENSE * box.size_metres / 2) @ box.axes for box in boxes])
    place, ahead = _places(points, pose, intrinsics)
    inside = ahead & (place >= 0).all(-1) & (place <= 1).all(-1)
    found = np.zeros(len(boxes), dtype=np.bool_)
    for number, box in enumerate(boxes):
        beyond = _DENSE * (box.axes @ (pose[:3, 3] - box.centre_metres)) - box.size_metres / 2
        shown = inside[number] & ((beyond > 0) & (np.abs(_DENSE) == 1)).any(axis=1)
        for other, blocker in enumerate(boxes):
            if other != number and shown.any():
                shown &= ~_blocked(points[number], pose[:3, 3], blocker, 0.0)
        found[number] = shown.any()
    return found


def _hit_by_rays(boxes: Sequence[LayoutBox], pose: FloatArray, intrinsics: FloatArray) -> NDArray[np.bool_]:
    """[B] whether one of a grid of rays through the image meets a box before any other."""
    ticks = [
        (np.arange(count) + 0.5) / count * 2 * middle for count, middle in zip(_RAYS, intrinsics[:2, 2], strict=True)
    ]
    pixels = np.array([(x, y, 1.0) for x, y in product(*ticks)])
    rays = pixels @ np.linalg.inv(intrinsics).T @ pose[:3, :3].T
    depths = np.full((len(boxes), len(rays)), np.inf)
    for number, box in enumerate(boxes):
        start, ways = box.axes @ (pose[:3, 3] - box.centre_metres), rays @ box.axes.T
        ways = np.where(np.abs(ways) < 1e-12, 1e-12, ways)
        near, far = np.sort(np.stack([(side * box.size_metres / 2 - start) / ways for side in (-1, 1)]), axis=0)
        enters, leaves = near.max(axis=1), far.min(axis=1)
        meets = (enters < leaves) & (enters > 0)
        depths[number, meets] = enters[meets]
    hit = np.isfinite(depths.min(axis=0))
    return np.isin(np.arange(len(boxes)), depths.argmin(axis=0)[hit])


def reach(box: LayoutBox, direction: FloatArray) -> float:
    """How far a box reaches from its centre along a direction [3]."""
    return float(np.abs(box.axes @ direction) @ box.size_metres / 2)


def solid_distance(first: LayoutBox, second: LayoutBox) -> float:
    """Distance in metres of the closest points of two solid boxes, 0 if they meet; right to :data:`CERTAIN_METRES`.

    Accelerated descent on the squared distance of a point in each. It ends when a plane across the way between the two
    points proves that no others are closer by more than that.
    """
    half = np.concatenate([first.size_metres, second.size_metres]) / 2
    matrix = np.hstack([first.axes.T, -second.axes.T])  # places [6] in the boxes to the way [3] between the two points
    between = first.centre_metres - second.centre_metres
    places = ahead = np.zeros(6)
    momentum = 1.0
    for step in range(_MAX_STEPS):
        way = between + matrix @ places
        length = float(np.linalg.norm(way))
        if length <= CERTAIN_METRES:
            return 0.0
        if step % 10 == 0:  # how far the two lie apart along a direction, which no points of them can beat
            direction = way / length
            apart = float((first.centre_metres - second.centre_metres) @ direction)
            if length - (apart - reach(first, direction) - reach(second, direction)) <= CERTAIN_METRES:
                return length
        moved = np.clip(ahead - matrix.T @ (between + matrix @ ahead) / 2, -half, half)
        if (ahead - moved) @ (moved - places) > 0:
            momentum = 1.0
        following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead, places, momentum = moved + (momentum - 1) / following * (moved - places), moved, following
    return length


def on_ground(box: LayoutBox) -> complex:
    """The centre seen from above: east and north."""
    return complex(box.centre_metres[0], box.centre_metres[1])


def turn_degrees(standing: LayoutBox, facing: LayoutBox, target: LayoutBox) -> float:
    """How far a viewer turns to the left from facing one thing to facing another; NaN where one of them stands."""
    ahead, wanted = on_ground(facing) - on_ground(standing), on_ground(target) - on_ground(standing)
    return math.degrees(cmath.phase(wanted / ahead)) if ahead and wanted else math.nan


def first_on_ray(
    boxes: Sequence[LayoutBox], pose: FloatArray, intrinsics: FloatArray, pixel: FloatArray
) -> FloatArray | None:
    """Where [3] the line of sight through a pixel [2] first meets one of the boxes; None if it meets none."""
    way = pose[:3, :3] @ np.linalg.inv(intrinsics) @ np.append(pixel, 1.0)
    found = []
    for box in boxes:
        start, along = box.axes @ (pose[:3, 3] - box.centre_metres), box.axes @ way
        along = np.where(np.abs(along) < 1e-12, 1e-12, along)
        near, far = np.sort(np.stack([(side * box.size_metres / 2 - start) / along for side in (-1, 1)]), axis=0)
        if near.max() < far.min() and near.max() > 0:
            found.append(float(near.max()))
    return pose[:3, 3] + min(found) * way if found else None
