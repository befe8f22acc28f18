"""Distances between solid boxes by descent with a certificate, and directions in the complex plane."""

import cmath
import math

import numpy as np

from remot.structures import FloatArray, LayoutBox

#: Largest gap in metres between a distance that was found and the lower bound that proves it.
CERTAIN_METRES = 1e-4
_MAX_STEPS = 20000


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
        if step % 10 == 0 and length - _parted(first, second, way / length) <= CERTAIN_METRES:
            return length
        moved = np.clip(ahead - matrix.T @ (between + matrix @ ahead) / 2, -half, half)
        if (ahead - moved) @ (moved - places) > 0:
            momentum = 1.0
        following = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead, places, momentum = moved + (momentum - 1) / following * (moved - places), moved, following
    return length


def _parted(first: LayoutBox, second: LayoutBox, direction: FloatArray) -> float:
    """How far the two lie apart along a direction [3], which no points of them can beat."""
    apart = float((first.centre_metres - second.centre_metres) @ direction)
    return apart - reach(first, direction) - reach(second, direction)


def on_ground(box: LayoutBox) -> complex:
    """The centre seen from above: east and north."""
    return complex(box.centre_metres[0], box.centre_metres[1])


def turn_degrees(standing: LayoutBox, facing: LayoutBox, target: LayoutBox) -> float:
    """How far a viewer turns to the left from facing one thing to facing another; NaN where one of them stands."""
    ahead, wanted = on_ground(facing) - on_ground(standing), on_ground(target) - on_ground(standing)
    return math.degrees(cmath.phase(wanted / ahead)) if ahead and wanted else math.nan
