"""Sizes of oriented boxes and distances between them, in metres."""

from itertools import product

import numpy as np

from remot.structures import FloatArray, LayoutBox

#: Signs of the eight corners along the box's own axes, [8, 3].
_SIGNS = np.array(list(product((-1.0, 1.0), repeat=3)))
#: The twelve pairs of corners that differ in one sign.
EDGES = np.array([(i, j) for i in range(8) for j in range(i + 1, 8) if np.abs(_SIGNS[i] - _SIGNS[j]).sum() == 2])
#: Directions shorter than this are no direction.
_TINY = 1e-12


def corners(box: LayoutBox) -> FloatArray:
    """[8, 3] corners in world axes."""
    return box.centre_metres + (_SIGNS * box.size_metres / 2) @ box.axes


def surface_points(box: LayoutBox, num_per_side: int = 3) -> FloatArray:
    """[R, 3] points of a regular grid on the surface, corners included."""
    ticks = np.linspace(-1, 1, num_per_side)
    grid = np.array([point for point in product(ticks, repeat=3) if np.abs(point).max() == 1])
    return np.asarray(box.centre_metres + (grid * box.size_metres / 2) @ box.axes)


def box_distance(first: LayoutBox, second: LayoutBox) -> float:
    """Distance between the closest points of two solid boxes, 0 if they touch or overlap.

    What VSI-Bench (arXiv 2412.14171) asks for; it samples points, this is exact. Of two convex bodies that do not meet,
    the closest points can be taken as a corner of the one and a point of the other, or as points of two edges.
    """
    if _overlap(first, second):
        return 0.0
    ends_first, ends_second = corners(first)[EDGES], corners(second)[EDGES]
    return float(
        min(
            _to_box(corners(first), second).min(),
            _to_box(corners(second), first).min(),
            _between_segments(ends_first, ends_second),
        )
    )


def _to_box(points: FloatArray, box: LayoutBox) -> FloatArray:
    """[R] distances of points [R, 3] to a solid box."""
    beyond = np.abs((points - box.centre_metres) @ box.axes.T) - box.size_metres / 2
    return np.asarray(np.linalg.norm(np.maximum(beyond, 0), axis=1))


def _overlap(first: LayoutBox, second: LayoutBox) -> bool:
    """Whether no plane separates the two: faces of either and planes along an edge of each are tried."""
    crossed = np.cross(first.axes[:, None], second.axes[None]).reshape(9, 3)
    lengths = np.linalg.norm(crossed, axis=1)
    crossed = crossed[lengths > 1e-9] / lengths[lengths > 1e-9, None]
    directions = np.concatenate([first.axes, second.axes, crossed])
    spans_first, spans_second = directions @ corners(first).T, directions @ corners(second).T
    gaps = np.maximum(
        spans_first.min(axis=1) - spans_second.max(axis=1), spans_second.min(axis=1) - spans_first.max(axis=1)
    )
    return bool((gaps <= 0).all())


def _between_segments(first: FloatArray, second: FloatArray) -> float:
    """Smallest distance between one of the segments [A, 2, 3] and one of [B, 2, 3]."""
    start, other = np.broadcast_arrays(first[:, None, 0], second[None, :, 0])
    along, across = np.broadcast_arrays((first[:, 1] - first[:, 0])[:, None], (second[:, 1] - second[:, 0])[None])
    gap = start - other
    a, b, c = ((u * v).sum(-1) for u, v in ((along, along), (along, across), (across, across)))
    d, e = (along * gap).sum(-1), (across * gap).sum(-1)
    determinant = a * c - b * b
    s = np.clip(np.where(determinant > _TINY, (b * e - c * d) / np.maximum(determinant, _TINY), 0.0), 0, 1)
    t = np.clip((b * s + e) / np.maximum(c, _TINY), 0, 1)
    s = np.clip((b * t - d) / np.maximum(a, _TINY), 0, 1)
    return float(np.linalg.norm(gap + s[..., None] * along - t[..., None] * across, axis=-1).min())
