"""A room, what the shown frames show of it, and its cognitive map in the complex plane."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product

import numpy as np

from remot.data.tasks.rooms.base import RoomTask
from remot.datatools.audit.tasks.geometry import SeenBounds, on_ground, reach, seen_bounds
from remot.datatools.audit.tasks.prompt import AskedPrompt, UnreadableError, one_of, readings, thing
from remot.structures import FloatArray, LayoutBox, Point

#: Cells along each side, things and characters of a name that are drawn, as documented in docs/scenes.md.
_CELLS, _MAX_THINGS, _MAX_CHARS = 10, 100, 64
#: Steepest view with a direction on the ground: length of its level part.
_MIN_LEVEL = 0.2
#: Boxes about whose being seen there may be doubt, of which all combinations are tried.
_MAX_DOUBTS = 8


@dataclass(frozen=True, eq=False)
class RoomGeometry:
    """A room as its prompt names and shows it."""

    asked: AskedPrompt
    task: RoomTask  # whose settings and wordings are used

    @cached_property
    def names(self) -> list[str]:
        """What a prompt calls each box."""
        return [thing(box.name) for box in self.asked.clip.layout]

    @cached_property
    def shares(self) -> FloatArray | None:
        """[B, F] share of each shown image that each box covers, if annotated."""
        shares = [box.image_shares for box in self.asked.clip.layout if box.image_shares is not None]
        return np.stack(shares)[:, list(self.asked.frames)] if shares else None

    @cached_property
    def bounds(self) -> SeenBounds | None:
        """How much is seen of each box; None where the camera is not known and everything counts as seen."""
        if self.shares is not None:
            clear = np.where(self.shares < self.task.min_share, 0.0, 1.0)
            return SeenBounds(clear, clear)
        camera = self.asked.clip.camera
        if camera is None or camera.intrinsics is None:
            return None
        return seen_bounds(self.asked.clip.layout, camera, self.asked.frames, self.task.min_pixels)

    def may_be_seen(self, number: int) -> bool:
        """Whether a frame may show enough of a box."""
        return self.bounds is None or bool((self.bounds.most[number] >= self.task.min_seen - 1e-9).any())

    def is_seen(self, number: int) -> bool:
        """Whether a frame shows enough of a box for certain."""
        return self.bounds is None or bool((self.bounds.least[number] >= self.task.min_seen + 1e-9).any())

    def of_kind(self, name: str) -> list[LayoutBox]:
        """All boxes of a name; an UnreadableError if there is none, one has no box, or one is not shown."""
        numbers = [number for number, one in enumerate(self.names) if one.casefold() == name.casefold()]
        complete = self.asked.clip.complete_kinds
        if not numbers or (complete is not None and name not in map(thing, complete)):
            msg = f"not every {name!r:.40} of the room has a box"
            raise UnreadableError(msg)
        if not all(map(self.may_be_seen, numbers)):
            msg = f"a {name!r:.40} that is asked about is not clearly seen"
            raise UnreadableError(msg)
        return [self.asked.clip.layout[number] for number in numbers]

    def single(self, name: str) -> LayoutBox:
        """The only box of a name; an UnreadableError if there are several."""
        boxes = self.of_kind(name)
        if len(boxes) != 1:
            msg = f"the name {name!r:.40} fits {len(boxes)} things"
            raise UnreadableError(msg)
        return boxes[0]

    def read(self, *places: str) -> list[str]:
        """The names at places of the question."""
        found = self.asked.read(self.task.wordings.texts["ask"], dict.fromkeys(places, one_of(self.names)))
        return [found[place] for place in places]


def wrong_map(room: RoomGeometry) -> Iterator[str]:
    """What is wrong with the map of the reference and the line that asks for it."""
    asked, names = room.asked, room.names
    found, cells = _axes(room), asked.reference.map_centres
    hinted = [
        (use, line["kinds"])
        for use in ("map_first_view", "map_world")
        for line in readings(asked.question.text, room.task.shared.texts.get(use, ()), {})
    ]
    drawn = [number for number, name in enumerate(names) if len(name) <= _MAX_CHARS and room.may_be_seen(number)]
    sure = [number for number in drawn if room.is_seen(number)]
    doubtful = [number for number in drawn if number not in sure][:_MAX_DOUBTS]
    if found is None or cells is None:
        wanted = found is not None and len(sure) > 0 and len(drawn) <= _MAX_THINGS
        if wanted or hinted or cells is not None:
            yield "a map is asked for or held by the reference where there is none, or the other way round"
        return
    use, axes = found
    if hinted != [(use, ", ".join(cells))]:
        yield "the line that asks for the map names other things or other axes than the reference has"
    for chosen in product((False, True), repeat=len(doubtful)):
        numbers = [*sure, *(number for number, taken in zip(doubtful, chosen, strict=True) if taken)]
        boxes = [(names[number], asked.clip.layout[number]) for number in numbers]
        if boxes and _fits(cells, boxes, axes):
            return
    yield f"the map {dict(cells)!r:.200} is not that of the boxes that are seen"


def _axes(room: RoomGeometry) -> tuple[str, complex] | None:
    """How the map is asked for, and the direction on the ground that its rows follow; None where there is none."""
    task, camera = room.task, room.asked.clip.camera
    if task.map_axes == "none":
        return None
    if task.map_axes == "world" or camera is None:
        return "map_world", 1j
    east, north, _, _ = camera.camera_to_world[room.asked.frames[0]] @ [0.0, 0.0, 1.0, 0.0]
    level = math.hypot(east, north)
    return ("map_first_view", complex(east, north) / level) if level > _MIN_LEVEL else None


def _fits(cells: Mapping[str, Sequence[Point]], boxes: Sequence[tuple[str, LayoutBox]], axes: complex) -> bool:
    """Whether cells are those of boxes; a centre on the line between two cells may be in either."""
    if sorted(name for name, _ in boxes) != sorted(name for name, points in cells.items() for _ in points):
        return False
    places = [on_ground(box) / axes for _, box in boxes]  # real: along the rows' direction, imaginary: to its left
    away, left = (np.array([axes.real, axes.imag, 0.0]), np.array([-axes.imag, axes.real, 0.0]))
    rows = [(place.real, reach(box, away)) for place, (_, box) in zip(places, boxes, strict=True)]
    columns = [(-place.imag, reach(box, left)) for place, (_, box) in zip(places, boxes, strict=True)]
    side = max(*(max(map(sum, spans)) - min(at - half for at, half in spans) for spans in (rows, columns)), 1e-9)
    free: dict[str, list[Point]] = {name: list(points) for name, points in cells.items()}
    for (name, _), column, row in zip(boxes, columns, rows, strict=True):
        across, along = partial(_in_cell, column[0], columns, side), partial(_in_cell, row[0], rows, side)
        found = [(x, y) for x, y in free[name] if across(x) and along(y)]
        if not found:
            return False
        free[name].remove(found[0])
    return True


def _in_cell(at: float, spans: Sequence[tuple[float, float]], side: float, cell: float) -> bool:
    """Whether a place lies in a cell of the square that has the spans in its middle."""
    middle = (max(one + half for one, half in spans) + min(one - half for one, half in spans)) / 2
    place = ((at - middle) / side + 0.5) * _CELLS
    return cell in range(_CELLS) and cell - 1e-6 <= min(max(place, 0.0), _CELLS - 1e-3) <= cell + 1 + 1e-6
