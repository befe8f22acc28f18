"""Directions on the ground, seen from above: x to the east, y to the north, counter-clockwise angles."""

import math
from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np

from remot.structures import FloatArray

Difficulty = Literal["easy", "medium", "hard"]


def turn_degrees(standing: FloatArray, facing: FloatArray, target: FloatArray) -> float:
    """How far a viewer at ``standing`` who faces ``facing`` turns to face ``target``: left is positive.

    All are places [2] on the ground. In (-180, 180]; NaN if one of the two lies where the viewer stands.
    """
    ahead, wanted = facing - standing, target - standing
    if not (np.any(ahead) and np.any(wanted)):
        return math.nan
    across = float(ahead[0] * wanted[1] - ahead[1] * wanted[0]) + 0.0  # no negative zero
    return math.degrees(math.atan2(across, float(ahead @ wanted)))


def side(turn: float, margin: float) -> str | None:
    """``left`` or ``right``, None within ``margin`` degrees of straight ahead or behind."""
    if not margin <= abs(turn) <= 180 - margin:
        return None
    return "left" if turn > 0 else "right"


def side_or_back(turn: float, margin: float) -> str | None:
    """``back`` beyond 135 degrees, ``left`` or ``right`` from 45 degrees on, None within ``margin`` of 135 or ahead.

    VSI-Bench (arXiv 2412.14171): behind is what one has to turn at least 135 degrees to.
    """
    size = abs(turn)
    if size >= 135 + margin:
        return "back"
    if not 45 <= size <= 135 - margin:
        return None
    return "left" if turn > 0 else "right"


def quadrant(turn: float, margin: float) -> str | None:
    """``front-left``, ``front-right``, ``back-left`` or ``back-right``, None within ``margin`` of an axis."""
    if not margin <= math.fmod(abs(turn), 90) <= 90 - margin:
        return None
    return f"{'front' if abs(turn) < 90 else 'back'}-{'left' if turn > 0 else 'right'}"


#: What may be answered at each difficulty.
ANSWERS: Mapping[Difficulty, tuple[str, ...]] = {
    "easy": ("left", "right"),
    "medium": ("left", "right", "back"),
    "hard": ("front-left", "front-right", "back-left", "back-right"),
}
#: How a turn is named at each difficulty.
VERDICTS: Mapping[Difficulty, Callable[[float, float], str | None]] = {
    "easy": side,
    "medium": side_or_back,
    "hard": quadrant,
}
