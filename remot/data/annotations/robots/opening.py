"""Openings of grippers on the scale from 0 (closed) to 1 (open)."""

import numpy as np

from remot.errors import AnnotationError, ConfigError
from remot.structures import FloatArray
from remot.structures.clip import MAX_OVERSHOOT


def check_opening_range(opening_range: tuple[float, float] | None) -> None:
    """Refuse a range that has no length.

    Raises:
        ConfigError: If both ends are the same or one is not finite.
    """
    if opening_range is not None and not 0 < abs(opening_range[1] - opening_range[0]) < float("inf"):
        msg = (
            f"opening_range {list(opening_range)}: give the readings of the closed and of the open gripper, two numbers"
        )
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
