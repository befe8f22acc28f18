"""How well a map of a room agrees with the right one, in [0, 1]."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from remot.structures import Point

#: Pairs from which they are sorted by numpy: below, that is slower.
MANY_PAIRS = 256


def map_score(
    predicted: Mapping[str, Sequence[Point]], gold: Mapping[str, Sequence[Point]], extent: float = 10.0
) -> float:
    """Σ_c score_c · n_gold,c / Σ_c n_gold,c, score_c = Σ max(0, 1 − d / (extent·√2)) / max(n_pred,c, n_gold,c).

    d runs over the pairs of a category that :func:`closest_pairs` makes. Categories of the prediction alone weigh
    nothing. Where the right map is empty the score is 1 if the prediction is, else 0. (SpaceR, arXiv 2504.01805.)

    Args:
        predicted: Points by category.
        gold: Points by category.
        extent: Side of the square; 10 cells as published.
    """
    total = sum(len(points) for points in gold.values())
    if total == 0:
        return float(not any(predicted.values()))
    scores = (len(points) * _category_score(predicted.get(name, ()), points, extent) for name, points in gold.items())
    return sum(scores) / total


def _category_score(predicted: Sequence[Point], gold: Sequence[Point], extent: float) -> float:
    diagonal = extent * math.sqrt(2)
    near = sum(max(0.0, 1 - distance / diagonal) for distance in closest_pairs(predicted, gold))
    return near / max(len(predicted), len(gold), 1)


def closest_pairs(predicted: Sequence[Point], gold: Sequence[Point]) -> list[float]:
    """Distances of pairs made greedily, the closest first, each point in one pair at most; ties by position."""
    by_distance = _by_distance if len(predicted) * len(gold) <= MANY_PAIRS else _many_by_distance
    taken_predicted: set[int] = set()
    taken_gold: set[int] = set()
    distances: list[float] = []
    for distance, i, j in by_distance(predicted, gold):
        if i not in taken_predicted and j not in taken_gold:
            taken_predicted.add(i)
            taken_gold.add(j)
            distances.append(distance)
            if len(distances) == min(len(predicted), len(gold)):
                break
    return distances


def _by_distance(predicted: Sequence[Point], gold: Sequence[Point]) -> Iterable[tuple[float, int, int]]:
    """Distance and numbers of both points for all pairs, the closest first, ties by position."""
    return sorted((math.dist(p, g), i, j) for i, p in enumerate(predicted) for j, g in enumerate(gold))


def _many_by_distance(predicted: Sequence[Point], gold: Sequence[Point]) -> Iterable[tuple[float, int, int]]:
    """The same, quicker for many."""
    with np.errstate(over="ignore"):
        ways = np.asarray(predicted)[:, None] - np.asarray(gold)
        distances = np.hypot(ways[..., 0], ways[..., 1]).ravel()
    order = np.argsort(distances, kind="stable")
    rows, columns = np.divmod(order, len(gold))
    return zip(distances[order].tolist(), rows.tolist(), columns.tolist(), strict=True)
