"""Poses from quaternions, between two times, and relative to each other. Pure functions on arrays.

Notation: N poses in time order, K wanted times. Quaternions are [x, y, z, w]; of the sources here TUM writes them so,
EuRoC, COLMAP and nuScenes write w first (see :func:`w_last`). All rotations are active and right-handed.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from remot.errors import ConfigError
from remot.structures import FloatArray

#: How far a rotation's columns may be from unit length and right angles, the same as for every clip.
RIGID_TOLERANCE = 1e-3
#: How far from 1 the length of a quaternion in a file may be; rounding to three digits stays below it.
UNIT_TOLERANCE = 1e-2
#: Camera axes of OpenGL and Blender (x right, y up, z backward) in OpenCV's (x right, y down, z forward), and back.
OPENGL_TO_OPENCV = np.diag([1.0, -1.0, -1.0, 1.0])
#: Sine of the angle between two quaternions below which they are blended on the straight line between them.
_NEARLY_PARALLEL = 1e-7


class Neighbours(NamedTuple):
    """The two poses around each of K wanted times.

    Args:
        before: [K] index of the last pose that is not later.
        after: [K] index of the first pose that is not earlier; equal to ``before`` if the times agree exactly.
        found: [K] False where one of the two is missing or too far away; its indices mean nothing then.
    """

    before: NDArray[np.int64]
    after: NDArray[np.int64]
    found: NDArray[np.bool_]


def w_last(quaternions: FloatArray) -> FloatArray:
    """Quaternions [..., 4] as [x, y, z, w] from [w, x, y, z]."""
    return np.roll(quaternions, -1, axis=-1)


def is_unit(quaternions: FloatArray) -> NDArray[np.bool_]:
    """Whether each of ``quaternions`` [..., 4] is finite and has length 1 up to rounding, so that it is a rotation."""
    return np.asarray(np.abs(np.linalg.norm(quaternions, axis=-1) - 1) <= UNIT_TOLERANCE)


def rotations_from(quaternions: FloatArray) -> FloatArray:
    """Rotation matrices [..., 3, 3] of ``quaternions`` [..., 4], brought to unit length first."""
    x, y, z, w = np.moveaxis(quaternions / np.linalg.norm(quaternions, axis=-1, keepdims=True), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def rigid(rotations: FloatArray, positions: FloatArray) -> FloatArray:
    """Transforms [..., 4, 4] of ``rotations`` [..., 3, 3] and ``positions`` [..., 3]."""
    poses = np.zeros((*positions.shape[:-1], 4, 4))
    poses[..., :3, :3], poses[..., :3, 3], poses[..., 3, 3] = rotations, positions, 1.0
    return poses


def inverted(poses: FloatArray) -> FloatArray:
    """Inverse [..., 4, 4] of rigid ``poses``: R becomes its transpose, t becomes -Rᵀt."""
    turned_back = np.swapaxes(poses[..., :3, :3], -1, -2)
    return rigid(turned_back, -(turned_back @ poses[..., :3, 3:])[..., 0])


def relative_to_first(poses: FloatArray) -> FloatArray:
    """``poses`` [N, 4, 4] in the axes of the first, which becomes the identity."""
    return np.asarray(inverted(poses[0]) @ poses)


def is_rigid(poses: FloatArray) -> NDArray[np.bool_]:
    """Whether each of ``poses`` [N, 4, 4] is finite, unscaled, right-handed and ends in 0 0 0 1."""
    finite = np.asarray(np.isfinite(poses).all(axis=(-2, -1)))
    safe = np.where(finite[:, None, None], poses, np.eye(4))
    rotations = safe[:, :3, :3]
    gap = np.abs(rotations @ np.swapaxes(rotations, -1, -2) - np.eye(3)).max(axis=(-2, -1))
    last_row = np.abs(safe[:, 3] - np.array([0.0, 0.0, 0.0, 1.0])).max(axis=-1)
    right_handed = np.linalg.det(rotations) > 0
    return np.asarray(finite & (gap <= RIGID_TOLERANCE) & (last_row <= RIGID_TOLERANCE) & right_handed)


def slerp(start: FloatArray, end: FloatArray, shares: FloatArray) -> FloatArray:
    """Unit quaternions [K, 4] at ``shares`` [K] of the shorter way from ``start`` [K, 4] to ``end`` [K, 4].

    Shoemake, "Animating rotation with quaternion curves", SIGGRAPH 1985.
    """
    start = start / np.linalg.norm(start, axis=-1, keepdims=True)
    end = end / np.linalg.norm(end, axis=-1, keepdims=True)
    cosine = (start * end).sum(axis=-1, keepdims=True)
    end, cosine = np.where(cosine < 0, -end, end), np.clip(np.abs(cosine), 0.0, 1.0)  # q and -q are one rotation
    angle, share = np.arccos(cosine), shares[:, None]
    sine = np.sin(angle)
    straight = sine < _NEARLY_PARALLEL
    divisor = np.where(straight, 1.0, sine)
    weight_start = np.where(straight, 1 - share, np.sin((1 - share) * angle) / divisor)
    weight_end = np.where(straight, share, np.sin(share * angle) / divisor)
    return np.asarray(weight_start * start + weight_end * end)


def neighbours(times: FloatArray, wanted: FloatArray, max_gap_seconds: float) -> Neighbours:
    """The poses around each wanted time.

    Args:
        times: [N] strictly increasing times of the poses.
        wanted: [K] times.
        max_gap_seconds: Largest distance from a wanted time to either of its two poses.
    """
    after = np.searchsorted(times, wanted, side="left")
    inside = after < len(times)
    after = np.minimum(after, len(times) - 1)
    exact = times[after] == wanted
    before = np.where(exact, after, after - 1)
    inside &= before >= 0
    before = np.maximum(before, 0)
    near = np.maximum(wanted - times[before], times[after] - wanted) <= max_gap_seconds
    return Neighbours(before, after, np.asarray(inside & near))


def interpolated(
    times: FloatArray, positions: FloatArray, quaternions: FloatArray, wanted: FloatArray, max_gap_seconds: float
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Poses at the wanted times: positions on straight lines, rotations on the shortest turn.

    Args:
        times: [N] strictly increasing times of the poses.
        positions: [N, 3].
        quaternions: [N, 4].
        wanted: [K] times.
        max_gap_seconds: Largest distance from a wanted time to either of the two poses around it.

    Returns:
        Poses [F, 4, 4] for the F of the K wanted times that lie between two near poses, and a mask [K] of these.
    """
    before, after, found = neighbours(times, wanted, max_gap_seconds)
    before, after, wanted = before[found], after[found], wanted[found]
    span = times[after] - times[before]
    shares = np.where(span > 0, (wanted - times[before]) / np.where(span > 0, span, 1.0), 0.0)
    places = positions[before] + shares[:, None] * (positions[after] - positions[before])
    turns = slerp(quaternions[before], quaternions[after], shares)
    return rigid(rotations_from(turns), places), found


def headings_degrees(directions: FloatArray) -> FloatArray:
    """Angles [N] of ground ``directions`` [N, 2 or more] (east, north, …), counter-clockwise from east."""
    return np.asarray(np.degrees(np.arctan2(directions[:, 1], directions[:, 0])))


def pinhole(intrinsics: Sequence[float] | None) -> FloatArray | None:
    """Pinhole matrix [3, 3] of ``[fx, fy, cx, cy]`` in pixels, None of None.

    Raises:
        ConfigError: If it holds anything but four finite numbers with positive focal lengths.
    """
    if intrinsics is None:
        return None
    if len(intrinsics) != 4 or not np.isfinite(intrinsics).all() or min(intrinsics[:2]) <= 0:
        msg = f"intrinsics are {list(intrinsics)}; give fx, fy, cx, cy in pixels, the first two above 0"
        raise ConfigError(msg)
    fx, fy, cx, cy = intrinsics
    return np.array([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]])
