"""Questions about rooms, answered from their boxes once more."""

from collections.abc import Callable, Iterator

import numpy as np

from remot.data.tasks.rooms.amounts import ObjectCounting
from remot.data.tasks.rooms.base import RoomTask
from remot.data.tasks.rooms.order import AppearanceOrder
from remot.data.tasks.rooms.relations import AbsoluteDistance, RelativeDirection, RelativeDistance
from remot.datatools.audit.tasks.geometry import first_hits, on_ground, solid_distance, turn_degrees
from remot.datatools.audit.tasks.ordered import listed, wrong_nearest, wrong_number, wrong_order
from remot.datatools.audit.tasks.prompt import AskedPrompt
from remot.datatools.audit.tasks.responses import ONE
from remot.datatools.audit.tasks.room import RoomGeometry, wrong_map

#: How far a distance or an angle may lie beyond a limit: distances are found to a tenth of a millimetre.
_METRES, _DEGREES = 1e-3, 1e-6


def _with_map(check: Callable[[AskedPrompt, RoomGeometry], Iterator[str]]) -> Callable[[AskedPrompt], Iterator[str]]:
    """A check of a question about a room, and of the map that its prompt may ask for."""

    def checked(asked: AskedPrompt) -> Iterator[str]:
        assert isinstance(asked.task, RoomTask)
        room = RoomGeometry(asked, asked.task)
        yield from check(asked, room)
        yield from wrong_map(room)

    return checked


@_with_map
def check_object_count(asked: AskedPrompt, room: RoomGeometry) -> Iterator[str]:
    """How many boxes bear the name."""
    boxes = room.of_kind(*room.read("kind"))
    if len(boxes) != asked.number or len(boxes) < asked.settings(ObjectCounting).min_count:
        yield f"the reference counts {asked.number:g}, there are {len(boxes)}"


@_with_map
def check_object_size(asked: AskedPrompt, room: RoomGeometry) -> Iterator[str]:
    """The longest side in whole centimetres."""
    box = room.single(*room.read("thing"))
    yield from wrong_number(asked, 100 * max(map(float, box.size_metres)), 0.5 + 1e-6)


@_with_map
def check_room_size(asked: AskedPrompt, room: RoomGeometry) -> Iterator[str]:
    """The annotated area in square metres with one decimal."""
    area = asked.clip.room_area_square_metres
    room.read()
    yield from wrong_number(asked, np.nan if area is None else area, ONE)


@_with_map
def check_distance(asked: AskedPrompt, room: RoomGeometry) -> Iterator[str]:
    """Metres between the closest points of two things, with one decimal."""
    first, second = (room.single(name) for name in room.read("first", "second"))
    metres = solid_distance(first, second)
    if metres < asked.settings(AbsoluteDistance).min_metres - _METRES:
        yield f"the things are {metres:.2f} m apart, which is too close to ask about"
    yield from wrong_number(asked, metres, ONE + _METRES)


@_with_map
def check_nearest(asked: AskedPrompt, room: RoomGeometry) -> Iterator[str]:
    """The kind whose closest box is the closest, and clearly so."""
    task = asked.settings(RelativeDistance)
    (name,) = room.read("thing")
    start, options = room.single(name), asked.options().values()
    metres = {kind: min(solid_distance(start, box) for box in room.of_kind(kind)) for kind in options}
    yield from wrong_nearest(asked, metres, task.min_gap_metres, task.min_ratio)
    if name in options or len(metres) > task.num_options:
        yield f"the options {', '.join(options)} hold {name!r:.40} itself, or are too many"


@_with_map
def check_direction(asked: AskedPrompt, room: RoomGeometry) -> Iterator[str]:
    """Direction a viewer turns to, by the angle between two numbers of the complex plane."""
    task = asked.settings(RelativeDirection)
    three = [room.single(name) for name in room.read("standing", "facing", "target")]
    turn = turn_degrees(*three)
    near = min(abs(on_ground(box) - on_ground(three[0])) for box in three[1:])
    if near < task.min_metres - _METRES or not abs(turn) <= 180:
        yield f"a thing lies {near:.2f} m from where one stands"
        return
    words, borders = _DIRECTIONS[task.difficulty]
    sideways, away = "left" if turn > 0 else "right", abs(turn)
    right = {
        "easy": sideways,
        "medium": "back" if away > 135 else sideways,
        "hard": f"{'back' if away > 90 else 'front'}-{sideways}",
    }[task.difficulty]
    if set(asked.options().values()) != set(words):
        yield f"the options are not {', '.join(words)}"
    elif asked.chosen() != right:
        yield f"a turn of {turn:+.1f} degrees is said to be {asked.chosen()}, should be {right}"
    if min(abs(abs(turn) - border) for border in borders) < task.margin_degrees - _DEGREES:
        yield f"a turn of {turn:+.1f} degrees is nearer than {task.margin_degrees:g} to another answer"
    if task.difficulty == "medium" and abs(turn) < 45 - _DEGREES:
        yield f"a turn of {turn:+.1f} degrees leads ahead, for which there is no answer"


#: For each difficulty what may be answered, and the sizes of turns at which the answer changes.
_DIRECTIONS = {
    "easy": (("left", "right"), (0.0, 180.0)),
    "medium": (("left", "right", "back"), (135.0,)),
    "hard": (("front-left", "front-right", "back-left", "back-right"), (0.0, 90.0, 180.0)),
}


@_with_map
def check_room_order(asked: AskedPrompt, room: RoomGeometry) -> Iterator[str]:
    """The first frame in which a line of sight, or an annotated pixel, ends on one of each kind."""
    task, camera = asked.settings(AppearanceOrder), asked.clip.camera
    if room.shares is not None:
        hits = tuple(next((k for k, share in enumerate(row) if share > 0), len(row)) for row in room.shares.tolist())
    else:
        assert camera is not None
        hits = first_hits(asked.clip.layout, camera, asked.frames)
    first = {name: min(hit for hit, one in zip(hits, room.names, strict=True) if one == name) for name in room.names}
    (text,) = asked.read(task.wordings.texts["ask"]).values()
    yield from wrong_order(asked, listed(text, room.names), first, len(asked.frames), task.num_options)
