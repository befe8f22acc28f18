"""How well a graph of objects agrees with the right one, in [0, 1].

Video-STR (arXiv 2510.10976) names a node term (distance of centres, weighted by the number of objects) and an edge
term (agreement of distances and angles between objects, unchanged if everything is turned). Its formulas and constants
are not published: all of this is a reconstruction.
"""

import cmath
import math
from collections.abc import Mapping, Sequence
from itertools import combinations

from remot.rewards.functional.maps import map_score
from remot.structures import Point

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
    return {(a, b): _edge(nodes[a], nodes[b]) for a, b in combinations(sorted(nodes), 2)}


def _edge(start: Point, end: Point) -> tuple[float, float]:
    across, along = end[0] - start[0], end[1] - start[1]
    return math.hypot(across, along), math.degrees(math.atan2(along, across))


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
    pairs = [(found, right) for key, right in gold.items() if (found := _find(predicted, key)) is not None]
    distances = sum(_alike(found[0], right[0]) for found, right in pairs) / len(gold)
    if len(gold) == 1:
        return distances
    turns = sum((cmath.exp(1j * math.radians(math.fmod(found[1] - right[1], 360))) for found, right in pairs), 0j)
    return (1 - angle_weight) * distances + angle_weight * min(1.0, abs(turns) / len(gold))


def _find(edges: Edges, key: tuple[str, str]) -> tuple[float, float] | None:
    if key in edges:
        return edges[key]
    distance, degrees = edges.get(key[::-1], (-1.0, 0.0))
    return None if distance < 0 else (distance, degrees + 180 if distance else degrees)  # no way, no direction to turn


def _alike(first: float, second: float) -> float:
    larger = max(first, second)
    if not larger < math.inf:
        return 0.0
    return 1 - abs(first - second) / larger if larger > 0 else 1.0


def mean_over_frames(scores: Sequence[float], num_frames: int) -> float:
    """Sum of the scores of the frames that were written over the number of selected frames."""
    return sum(scores) / num_frames if num_frames else 0.0
