"""A scene from above as a square of cells, SpaceR's cognitive map (arXiv 2504.01805)."""

import json
from collections.abc import Mapping, Sequence

import numpy as np

from remot.data.tasks.geometry.boxes import corners
from remot.structures import FloatArray, LayoutBox, Point

#: Cells along each side, as published.
NUM_CELLS = 10
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

    The square is the smallest that holds every corner, one scale for both sides, the scene in its middle. SpaceR says
    10 x 10 cells and centres; the extent, the direction and the rounding are a reconstruction.

    Args:
        boxes: At least one.
        heading: [2] direction on the ground that rows follow; the world's y if None.
        num_cells: Cells along each side.
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
