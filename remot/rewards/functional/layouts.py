"""How well a map of a room, or a graph of its objects, agrees with the right one, in [0, 1].

Video-STR (arXiv 2510.10976) names a node term (distance of centres, weighted by the number of objects) and an edge
term (agreement of distances and angles between objects, unchanged if everything is turned). Its formulas and constants
are not published: the graph's terms are a reconstruction.
"""

import cmath
import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

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
    diagonal, score = extent * math.sqrt(2), 0.0
    for name, points in gold.items():
        found = predicted.get(name, ())
        near = sum(max(0.0, 1 - distance / diagonal) for distance in closest_pairs(found, points))
        score += len(points) * (near / max(len(found), len(points), 1))
    return score / total


def closest_pairs(predicted: Sequence[Point], gold: Sequence[Point]) -> list[float]:
    """Distances of pairs made greedily, the closest first, each point in one pair at most; ties by position."""
    pairs: Iterable[tuple[float, int, int]]
    if len(predicted) * len(gold) <= MANY_PAIRS:
        pairs = sorted((math.dist(p, g), i, j) for i, p in enumerate(predicted) for j, g in enumerate(gold))
    else:
        pairs = _many_by_distance(predicted, gold)
    taken_predicted: set[int] = set()
    taken_gold: set[int] = set()
    distances: list[float] = []
    for distance, i, j in pairs:
        if i not in taken_predicted and j not in taken_gold:
            taken_predicted.add(i)
            taken_gold.add(j)
            distances.append(distance)
            if len(distances) == min(len(predicted), len(gold)):
                break
    return distances


def _many_by_distance(predicted: Sequence[Point], gold: Sequence[Point]) -> Iterable[tuple[float, int, int]]:
    """Distance and numbers of both points for all pairs, the closest first, ties by position; quick for many."""
    with np.errstate(over="ignore"):
        ways = np.asarray(predicted)[:, None] - np.asarray(gold)
        distances = np.hypot(ways[..., 0], ways[..., 1]).ravel()
    order = np.argsort(distances, kind="stable")
    rows, columns = np.divmod(order, len(gold))
    return zip(distances[order].tolist(), rows.tolist(), columns.tolist(), strict=True)


Edges = Mapping[tuple[str, str], tuple[float, float]]


def node_score(predicted: Mapping[str, Point], gold: Mapping[str, Point], extent: float = 10.0) -> float:
    """SpaceR's map score of the centres; names that differ by a number at their end only are one category.

    The closest published node term: greedy matching within a category, categories weighted by their objects.
    """
    return map_score(_by_category(predicted), _by_category(gold), extent)


def _by_category(nodes: Mapping[str, Point]) -> dict[str, list[Point]]:
    groups: dict[str, list[Point]] = {}
    for name, point in nodes.items():
        groups.setdefault(name.rstrip("0123456789").rstrip(" _#"), []).append(point)
    return groups


def edges_of(nodes: Mapping[str, Point]) -> dict[tuple[str, str], tuple[float, float]]:
    """Distance and direction in degrees from the first to the second, for each two objects in order of their names."""
    edges = {}
    for first, second in combinations(sorted(nodes), 2):
        across, along = nodes[second][0] - nodes[first][0], nodes[second][1] - nodes[first][1]
        edges[first, second] = math.hypot(across, along), math.degrees(math.atan2(along, across))
    return edges


def edge_score(predicted: Edges, gold: Edges, angle_weight: float = 0.5) -> float:
    """Agreement of distances and of angles between objects; the same for a prediction that is turned as a whole.

    Distances: mean over the right edges of 1 − |d − d*| / max(d, d*). Angles: |mean over the right edges of
    exp(i(θ − θ*))|, which is 1 exactly if all directions are off by one and the same angle. An edge that is missing
    counts as 0 in both. A single edge says nothing about angles, so then distances count alone.

    Args:
        predicted: Distance and direction in degrees from the first object to the second; either may come first.
        gold: The same of the right graph, each two objects once.
        angle_weight: Share of the angles.

    Returns:
        The score, 1 if there is no right edge.
    """
    if not gold:
        return 1.0
    alike, turns = 0.0, 0j
    for (first, second), (metres, degrees) in gold.items():
        found = predicted.get((first, second))
        if found is None:
            way, back = predicted.get((second, first), (-1.0, 0.0))
            if way < 0:
                continue
            found = way, back + 180 if way else back  # no way, no direction to turn
        larger = max(found[0], metres)
        if larger < math.inf:
            alike += 1 - abs(found[0] - metres) / larger if larger > 0 else 1.0
        turns += cmath.exp(1j * math.radians(math.fmod(found[1] - degrees, 360)))
    distances = alike / len(gold)
    if len(gold) == 1:
        return distances
    return (1 - angle_weight) * distances + angle_weight * min(1.0, abs(turns) / len(gold))
