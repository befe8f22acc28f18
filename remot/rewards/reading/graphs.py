"""Maps of a room and graphs of objects in completions."""

from collections.abc import Mapping
from dataclasses import dataclass

from remot.rewards.reading.tags import elements, first_element
from remot.rewards.reading.values import is_number, json_value, number_rows
from remot.structures import Point

#: Longest name of a category or object.
MAX_NAME_CHARS = 64
#: Most names and relations in one map or graph; one with more is not read.
MAX_ITEMS = 512


@dataclass(frozen=True)
class WrittenGraph:
    """A graph of objects as a completion writes it.

    Args:
        nodes: Centre of each object.
        edges: Distance and direction in degrees from one object to another.
    """

    nodes: Mapping[str, Point]
    edges: Mapping[tuple[str, str], tuple[float, float]]


def name_of(name: str) -> str:
    """``name`` in lower case with single spaces, as names are compared."""
    return " ".join(name.lower().split())


def read_map(text: str) -> dict[str, list[Point]] | None:
    """Centres by category in the first ``<map>`` element, such as ``{"chair": [[9, 3]]}``; None if there is none.

    A category whose value is no list of points is left out, as in SpaceR. Names are compared in lower case.
    """
    content = first_element(text, "map")
    value = None if content is None else json_value(content)
    if not isinstance(value, dict) or len(value) > MAX_ITEMS:
        return None
    found: dict[str, list[Point]] = {}
    num_points = 0
    for name, points in value.items():
        rows = number_rows(points, 2)
        if rows is not None and len(name) <= MAX_NAME_CHARS:
            found[name_of(name)] = [(x, y) for x, y in rows]
            num_points += len(rows)
    return found if num_points <= MAX_ITEMS else None


def read_graphs(text: str, max_graphs: int) -> list[WrittenGraph | None]:
    """The first ``max_graphs`` elements ``<graph>``, None for each that cannot be read.

    ``{"nodes": {"chair 1": [3, 4]}, "edges": [["chair 1", "table", 2.5, 90]]}``: an edge is two names, their distance
    and the direction from the first to the second in degrees. Edges that are anything else are left out.
    """
    contents = zip(elements(text, "graph"), range(max_graphs), strict=False)
    return [_graph(json_value(content)) for content, _ in contents]


def _graph(value: object) -> WrittenGraph | None:
    if not isinstance(value, dict):
        return None
    nodes, edges = value.get("nodes"), value.get("edges", [])
    if not isinstance(nodes, dict) or not isinstance(edges, list) or max(len(nodes), len(edges)) > MAX_ITEMS:
        return None
    points = {name_of(name): number_rows([point], 2) for name, point in nodes.items() if len(name) <= MAX_NAME_CHARS}
    return WrittenGraph(
        {name: (rows[0][0], rows[0][1]) for name, rows in points.items() if rows},
        dict(edge for edge in map(_edge, edges) if edge is not None),
    )


def _edge(edge: object) -> tuple[tuple[str, str], tuple[float, float]] | None:
    if not isinstance(edge, list) or len(edge) != 4:
        return None
    first, second, distance, degrees = edge
    if not isinstance(first, str) or not isinstance(second, str) or max(len(first), len(second)) > MAX_NAME_CHARS:
        return None
    if not is_number(distance) or not is_number(degrees) or distance < 0:
        return None
    return (name_of(first), name_of(second)), (distance, degrees)
