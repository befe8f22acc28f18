"""Maps of a room and graphs of objects in completions."""

import math
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from remot.rewards.parsing.literals import literal_value
from remot.rewards.parsing.tags import elements, first_element
from remot.rewards.parsing.values import MAX_JSON_CHARS, is_number, json_value, number_rows
from remot.structures import Point

#: Longest name of a category or object.
MAX_NAME_CHARS = 64
#: Most names and relations in one map or graph; one with more is not read.
MAX_ITEMS = 512

_SIGNED_NUMBER = re.compile(r"-?[0-9]{1,24}(?:\.[0-9]{1,24})?", re.ASCII)
#: A name with marks around it, such as ``<armchair}:``.
_MARKED_NAME = re.compile(r"[^\w\s]*([\w\s]+)[^\w\s]*")


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


def read_map(text: str, names: Iterable[str] = ()) -> dict[str, list[Point]] | None:
    """Centres by category in the first ``<map>`` element, such as ``{"chair": [[9, 3]]}``; None if there is none.

    As SpaceR's reader (arXiv 2504.01805): JSON or a Python dictionary, with single quotes, tuples and trailing commas;
    of a category's list what is no point is left out; coordinates are truncated to integers. In a map that is
    neither, the numbers after a category's name are taken in pairs up to the next name.

    Args:
        text: What a completion says.
        names: Categories of the scene, as :func:`name_of` gives them.
    """
    content = (first_element(text, "map") or "").strip()
    if not content or len(content) > MAX_JSON_CHARS:
        return None
    # some models write str{…} about the map
    inner = content[4:-1].strip() if content.startswith("str{") and content.endswith("}") else content
    value = literal_value(inner)
    names = tuple(names)
    found = _centres(value, names) if isinstance(value, dict) else _centres_after_names(content, names)
    num_points = sum(map(len, found.values()))
    return found if max(num_points, len(found)) <= MAX_ITEMS else None


def _centres(value: Mapping[object, object], names: Collection[str]) -> dict[str, list[Point]]:
    """Centres by category. Marks around a name are dropped, except where they are part of one of ``names``."""
    found: dict[str, list[Point]] = {}
    for name, points in value.items():
        if isinstance(name, str) and len(name) <= MAX_NAME_CHARS:
            plain = None if name_of(name) in names else _MARKED_NAME.fullmatch(name.strip())
            centres = map(_centre, points if isinstance(points, list) else [points])
            found.setdefault(name_of(plain[1] if plain else name), []).extend(filter(None, centres))
    return {name: points for name, points in found.items() if points}


def _centre(value: object) -> Point | None:
    """A point ``[9, 3]``, ``(9, 3)``, ``[(9, 3)]`` or ``"9, 3"``, truncated to integers."""
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0] if isinstance(value[0], list | tuple) else None
    elif isinstance(value, str):
        value = _SIGNED_NUMBER.findall(value)[:2]
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    numbers = []
    for number in value:
        if isinstance(number, str):
            match = _SIGNED_NUMBER.fullmatch(number.strip().lstrip("<[(").rstrip(">])"))
            number = None if match is None else float(match[0])  # noqa: PLW2901
        if not isinstance(number, int | float) or not math.isfinite(number):
            return None
        numbers.append(float(math.trunc(number)))
    return numbers[0], numbers[1]


def _centres_after_names(content: str, names: Iterable[str]) -> dict[str, list[Point]]:
    """Pairs of the numbers that follow each name; of names that overlap the longer one counts."""
    written = sorted(
        (match.start(), -match.end(), name_of(name))
        for name in names
        for match in re.finditer(rf"(?<![a-zA-Z]){re.escape(name)}(?![a-zA-Z])", content, re.IGNORECASE)
    )
    places: list[tuple[int, int, str]] = []
    for start, minus_end, name in written:
        if places and start < places[-1][1]:
            if -minus_end <= places[-1][1]:
                continue
            places.pop()
        places.append((start, -minus_end, name))
    found: dict[str, list[Point]] = {}
    for (_, start, name), (end, _, _) in pairwise([*places, (len(content), 0, "")]):
        numbers = [float(math.trunc(float(number))) for number in _SIGNED_NUMBER.findall(content[start:end])]
        pairs = list(zip(numbers[::2], numbers[1::2], strict=False))
        if pairs:
            found.setdefault(name, []).extend(pairs)
    return found


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
