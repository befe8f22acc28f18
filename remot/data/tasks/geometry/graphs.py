"""Relation graphs of objects on the ground, written as :func:`remot.rewards.parsing.graphs.read_graphs` reads them."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations

from remot.data.tasks.geometry.maps import json_text
from remot.structures import Point

#: Decimals of centres, distances and degrees that are written.
DECIMALS = 2


def rounded_nodes(places: Mapping[str, Point]) -> dict[str, Point]:
    """Centres by name with :data:`DECIMALS` decimals, names in order."""
    return {name: (round(x, DECIMALS) + 0.0, round(y, DECIMALS) + 0.0) for name, (x, y) in sorted(places.items())}


def graph_text(nodes: Mapping[str, Point]) -> str:
    """``<graph>{"nodes":{…},"edges":[[first, second, distance, degrees], …]}</graph>``.

    An edge leads from the first name in order to the second: their distance, and the direction counter-clockwise from
    the x axis. How graphs are written is a reconstruction of Video-STR (arXiv 2510.10976), which does not say.
    """
    edges = [[a, b, *_edge(nodes[a], nodes[b])] for a, b in combinations(sorted(nodes), 2)]
    content = {"nodes": {name: list(point) for name, point in nodes.items()}, "edges": edges}
    return f"<graph>{json_text(content)}</graph>"


def graphs_text(graphs: Sequence[Mapping[str, Point]]) -> str:
    """One element for each selected frame."""
    return "".join(graph_text(nodes) for nodes in graphs)


def _edge(start: Point, end: Point) -> tuple[float, float]:
    across, along = end[0] - start[0], end[1] - start[1]
    degrees = round(math.degrees(math.atan2(along, across)), DECIMALS)
    return round(math.hypot(across, along), DECIMALS), degrees + 0.0
