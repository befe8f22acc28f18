"""Boxes: their overlap, and their motion in words (Motion-o, arXiv 2603.18856, version 3 of its code)."""

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

from remot.structures import Box


def box_iou(predicted: Box, gold: Box) -> float:
    """Area of the intersection over the area of the union, 0 if both are empty.

    A box whose right is left of its left, or bottom above its top, is empty. VideoChat-R1's own code takes the product
    of its negative sides for an area.
    """
    width = min(predicted[2], gold[2]) - max(predicted[0], gold[0])
    height = min(predicted[3], gold[3]) - max(predicted[1], gold[1])
    shared = max(0.0, width) * max(0.0, height)
    areas = (max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1]) for box in (predicted, gold))
    union = sum(areas) - shared
    return min(1.0, shared / union) if 0 < union < float("inf") else 0.0


def mean_overlap(predicted: Sequence[Box], gold: Sequence[Box]) -> float:
    """Mean of :func:`box_iou` over the frames, 0 if the numbers of boxes differ or are 0 (VideoChat-R1, tracking)."""
    if len(predicted) != len(gold) or not gold:
        return 0.0
    return sum(map(box_iou, predicted, gold)) / len(gold)


COMPASS = ("E", "NE", "N", "NW", "W", "SW", "S", "SE")
STILL = "STAT"
SPEEDS = ("stationary", "slow", "moderate", "fast")
SCALES = ("receding", "stable", "approaching")
#: Lower bounds of slow, moderate and fast, in diagonals of the object's own box a second.
SPEED_BOUNDS = (0.02, 0.10, 0.30)
#: Logarithm of the ratio of areas beyond which the size changes.
SCALE_BOUND = 0.15


class Motion(Protocol):
    """A direction, a speed and a change of size, in words."""

    @property
    def direction(self) -> str:
        """One of :data:`COMPASS` or :data:`STILL`."""

    @property
    def speed(self) -> str:
        """One of :data:`SPEEDS`."""

    @property
    def scale(self) -> str:
        """One of :data:`SCALES`."""


def direction_of(first: Box, last: Box) -> str:
    """Compass direction of the box's centre on the screen, N is up.

    STAT if it moved less than 2 % of the mean diagonal, or less than 3 pixels.
    """
    across, down, diagonal = _shift(first, last)
    if math.hypot(across, down) < max(0.02 * diagonal, 3.0):
        return STILL
    degrees = math.degrees(math.atan2(-down, across)) % 360
    return COMPASS[int((degrees + 22.5) / 45) % 8]


def speed_of(first: Box, last: Box, seconds: float) -> str:
    """Way of the centre in mean diagonals a second: stationary below 0.02, slow below 0.10, moderate below 0.30."""
    across, down, diagonal = _shift(first, last)
    if seconds <= 0 or diagonal <= 0:
        return SPEEDS[0]
    speed = math.hypot(across, down) / seconds / diagonal
    return SPEEDS[sum(speed >= bound for bound in SPEED_BOUNDS)]


def scale_of(first: Box, last: Box) -> str:
    """Approaching if log(area after / before) is above 0.15, receding below −0.15, else or if one is 0 stable."""
    before, after = ((box[2] - box[0]) * (box[3] - box[1]) for box in (first, last))
    if before <= 0 or after <= 0:
        return "stable"
    log_ratio = math.log(after / before)
    return "approaching" if log_ratio > SCALE_BOUND else "receding" if log_ratio < -SCALE_BOUND else "stable"


def _shift(first: Box, last: Box) -> tuple[float, float, float]:
    """How far the centre goes to the right and down, and the mean diagonal."""
    across, down = (last[0] + last[2] - first[0] - first[2]) / 2, (last[1] + last[3] - first[1] - first[3]) / 2
    diagonals = [math.hypot(box[2] - box[0], box[3] - box[1]) for box in (first, last)]
    return across, down, sum(diagonals) / 2


def direction_score(predicted: str, gold: str) -> float:
    """1 if equal, 0.5 if 45 degrees apart, else 0; STAT is near to STAT only."""
    if predicted == gold:
        return float(gold == STILL or gold in COMPASS)
    if predicted not in COMPASS or gold not in COMPASS:
        return 0.0
    steps = abs(COMPASS.index(predicted) - COMPASS.index(gold))
    return 0.5 if min(steps, 8 - steps) == 1 else 0.0


def rank_score(predicted: str, gold: str, order: Sequence[str]) -> float:
    """1 if equal, 0.5 if neighbours in ``order``, else 0."""
    if predicted not in order or gold not in order:
        return 0.0
    return {0: 1.0, 1: 0.5}.get(abs(order.index(predicted) - order.index(gold)), 0.0)


def motion_score(predicted: Motion, gold: Motion) -> float:
    """0.4 · direction + 0.3 · speed + 0.3 · scale, each with half for a neighbour."""
    direction = direction_score(predicted.direction, gold.direction)
    speed = rank_score(predicted.speed, gold.speed, SPEEDS)
    return 0.4 * direction + 0.3 * speed + 0.3 * rank_score(predicted.scale, gold.scale, SCALES)


def change_score(described: Mapping[str, Motion], without_evidence: Mapping[str, Motion]) -> float:
    """Mean over the described objects of 0.5·[direction changed] + 0.3·[speed changed] + 0.2·[scale changed].

    An object missing from ``without_evidence`` counts 1; 0 if no object is described. (Motion-o, perturbation reward.)
    """
    total = 0.0
    for name, motion in described.items():
        other = without_evidence.get(name)
        if other is None:
            total += 1.0
            continue
        turned, faster = motion.direction != other.direction, motion.speed != other.speed
        total += 0.5 * turned + 0.3 * faster + 0.2 * (motion.scale != other.scale)
    return total / max(1, len(described))
