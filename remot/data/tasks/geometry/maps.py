"""A scene from above: SpaceR's cognitive map of cells (arXiv 2504.01805), and relation graphs on the ground.

Graphs are written as :func:`remot.rewards.parsing.graphs.read_graphs` reads them.
"""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from remot.data.tasks.geometry.boxes import corners
from remot.structures import FloatArray, LayoutBox, Point

#: Cells along each side, as published.
NUM_CELLS = 10
#: Decimals of centres, distances and degrees of graphs.
DECIMALS = 2
#: Longest name that is drawn in maps and graphs and written in motion tags; longer ones are not read back.
MAX_NAME_CHARS = 64
#: A camera that looks more steeply than this has no direction on the ground.
_MIN_LEVEL = 0.2


def heading_of(camera_to_world: FloatArray) -> FloatArray | None:
    """[2] unit vector on the ground in which a camera [4, 4] looks, world z up; None if it looks up or down."""
    forward = camera_to_world[:2, 2]
    level = float(np.linalg.norm(forward))
    return forward / level if level > _MIN_LEVEL else None


def cognitive_map(
    boxes: Sequence[LayoutBox], heading: FloatArray | None = None, num_cells: int = NUM_CELLS
) -> dict[str, tuple[Point, ...]]:
    """Cells [column, row] of the centres of all boxes by name, columns to the right and rows away from the viewer.

    The square is the smallest that holds every corner, one scale for both sides, the scene in its middle. Rows follow
    ``heading`` [2] on the ground, the world's y if None. SpaceR says 10 x 10 cells and centres; the extent, the
    direction and the rounding are a reconstruction.
    """
    away = np.array([0.0, 1.0]) if heading is None else heading
    basis = np.array([[away[1], -away[0]], away])  # rows: to the right, away
    ground = np.concatenate([corners(box)[:, :2] for box in boxes]) @ basis.T
    low, high = ground.min(axis=0), ground.max(axis=0)
    side = max(float((high - low).max()), 1e-9)
    origin = (low + high - side) / 2
    cells: dict[str, list[Point]] = {}
    for box in boxes:
        place = np.floor(num_cells * (basis @ box.centre_metres[:2] - origin) / side)
        column, row = np.clip(place, 0, num_cells - 1)
        cells.setdefault(box.name, []).append((float(column), float(row)))
    return {name: tuple(sorted(points)) for name, points in sorted(cells.items())}


def map_text(cells: Mapping[str, Sequence[Point]]) -> str:
    """The map as SpaceR writes it, such as ``<map>{"chair":[[9,3]]}</map>``; a name cannot end the element."""
    whole = {name: [[int(x), int(y)] for x, y in points] for name, points in cells.items()}
    return f"<map>{json_text(whole)}</map>"


def json_text(value: object) -> str:
    """Short JSON without "<", so that no annotated name looks like a tag."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")


def rounded_nodes(places: Mapping[str, Point]) -> dict[str, Point]:
    """Centres by name with :data:`DECIMALS` decimals, names in order."""
    return {name: (round(x, DECIMALS) + 0.0, round(y, DECIMALS) + 0.0) for name, (x, y) in sorted(places.items())}


def graph_text(nodes: Mapping[str, Point]) -> str:
    """``<graph>{"nodes":{…},"edges":[[first, second, distance, degrees], …]}</graph>``.

    An edge leads from the first name in order to the second: their distance, and the direction counter-clockwise from
    the x axis. How graphs are written is a reconstruction of Video-STR (arXiv 2510.10976), which does not say.
    """
    edges = []
    for first, second in combinations(sorted(nodes), 2):
        across, along = nodes[second][0] - nodes[first][0], nodes[second][1] - nodes[first][1]
        degrees = round(math.degrees(math.atan2(along, across)), DECIMALS) + 0.0  # no negative zero
        edges.append([first, second, round(math.hypot(across, along), DECIMALS), degrees])
    content = {"nodes": {name: list(point) for name, point in nodes.items()}, "edges": edges}
    return f"<graph>{json_text(content)}</graph>"
