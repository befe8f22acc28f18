"""Robots' positions in the viewer's axes, and openings of their grippers from 0 (closed) to 1 (open).

The map from the axes of a robot's base to the viewer's is written as a signed permutation.

``"-y,-z,x"`` says which base axis points to the viewer's right, down and away, in that order. It is right for a camera
that looks the way the robot faces, such as its own head camera or one over its shoulder, where the base has x forward,
y to the left and z up (REP 103, the convention of ROS). ``?`` marks a direction that is not known: a camera that looks
at the table from an unrecorded side still has a known vertical, ``"?,-z,?"``.
"""

import re

import numpy as np

from remot.errors import AnnotationError, ConfigError
from remot.structures import FloatArray
from remot.structures.clip import MAX_OVERSHOOT

#: Base with z up, seen by a camera of which only this is known: that it is upright.
UPRIGHT_CAMERA = "?,-z,?"
#: Base with x forward, y left and z up, seen by a camera that looks the way the robot faces.
FORWARD_CAMERA = "-y,-z,x"

_TERM = re.compile(r"[+-]?[xyz]|\?")
_COLUMNS = {"x": 0, "y": 1, "z": 2}


def axes_matrix(axes: str) -> FloatArray:
    """The map from base axes to viewer axes (x to the viewer's right, y down, z away).

    Args:
        axes: Three terms separated by commas, each ``x``, ``y`` or ``z`` with an optional sign, or ``?``.

    Returns:
        [3, 3]: row k says which base axis viewer axis k is; a row of NaN is not known.

    Raises:
        ConfigError: If it is no such map, names an axis twice, or mirrors the world.
    """
    terms = [term.strip() for term in axes.split(",")]
    if len(terms) != 3 or not all(_TERM.fullmatch(term) for term in terms):
        msg = f"axes {axes!r:.60}: write three of x, y, z with signs, or ?, for right, down and away, such as '-y,-z,x'"
        raise ConfigError(msg)
    known = [term[-1] for term in terms if term != "?"]
    if len(set(known)) != len(known):
        msg = f"axes {axes!r}: one base axis cannot point two ways, name each at most once"
        raise ConfigError(msg)
    matrix = np.zeros((3, 3))
    for row, term in enumerate(terms):
        if term == "?":
            matrix[row] = np.nan
        else:
            matrix[row, _COLUMNS[term[-1]]] = -1.0 if term[0] == "-" else 1.0
    # Robot bases and the viewer's axes are both right-handed, so the full map between them is a rotation.
    if len(known) == 3 and np.linalg.det(matrix) < 0:
        msg = f"axes {axes!r}: this mirrors the world, one of the signs is wrong"
        raise ConfigError(msg)
    return matrix


def to_viewer(positions: FloatArray, axes: str) -> FloatArray:
    """Positions in viewer axes.

    Args:
        positions: [N, 3] metres in base axes.
        axes: See :func:`axes_matrix`.

    Returns:
        [N, 3] metres, with a column of NaN for each direction that is not known.
    """
    viewer: FloatArray = positions @ axes_matrix(axes).T
    return viewer


def unknown_positions(num_frames: int) -> FloatArray:
    """[num_frames, 3] of NaN, for an effector of which only the opening is known."""
    return np.full((num_frames, 3), np.nan)


def check_opening_range(opening_range: tuple[float, float] | None) -> None:
    """Refuse a range that has no length."""
    if opening_range is not None and not 0 < abs(opening_range[1] - opening_range[0]) < float("inf"):
        msg = f"opening_range {list(opening_range)}: give two numbers, the readings when closed and when open"
        raise ConfigError(msg)


def scale_opening(where: str, readings: FloatArray, opening_range: tuple[float, float] | None = None) -> FloatArray:
    """Openings from a gripper's readings.

    Args:
        where: File and key, for the error.
        readings: [N] in the robot's own unit.
        opening_range: Readings of the closed and of the open gripper; the first may be the larger one. None if the
            readings are openings already. Readings beyond a stated range are taken as fully closed or open.

    Returns:
        [N] from 0 (closed) to 1 (open).

    Raises:
        AnnotationError: If a reading is not finite, or no range is stated and readings are no openings.
    """
    if not np.isfinite(readings).all():
        msg = f"{where}: the opening holds NaN or infinity, leave out the gripper or the episode"
        raise AnnotationError(msg, reason="not finite")
    if opening_range is None:
        low, high = float(readings.min()), float(readings.max())
        if low < -MAX_OVERSHOOT or high > 1 + MAX_OVERSHOOT:
            msg = f"{where}: {low:.3g} to {high:.3g} is no opening from 0 to 1, set opening_range to [closed, open]"
            raise AnnotationError(msg)
        closed, opened = 0.0, 1.0
    else:
        closed, opened = opening_range
    scaled: FloatArray = np.clip((readings - closed) / (opened - closed), 0.0, 1.0)
    return scaled
