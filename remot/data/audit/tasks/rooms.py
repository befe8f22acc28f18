"""Questions about rooms, answered from their boxes once more."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from remot.data.audit.tasks.maps import wrong_map
from remot.data.audit.tasks.prompt import AskedPrompt, UnreadableError, one_of, thing
from remot.data.audit.tasks.responses import ONE
from remot.data.audit.tasks.sights import SeenBounds, first_hits, seen_bounds
from remot.data.audit.tasks.solids import on_ground, solid_distance, turn_degrees
from remot.data.tasks.rooms.counting import ObjectCounting
from remot.data.tasks.rooms.direction import RelativeDirection
from remot.data.tasks.rooms.distance import AbsoluteDistance, RelativeDistance
from remot.data.tasks.rooms.order import AppearanceOrder
from remot.data.tasks.rooms.size import ObjectSize
from remot.structures import LayoutBox

#: How far a distance or an angle may lie beyond a limit: distances are found to a tenth of a millimetre.
_METRES, _DEGREES = 1e-3, 1e-6


@dataclass(frozen=True, eq=False)
class Room:
    """A room and what its prompt says that can be seen of it.

    Args:
        asked: The prompt.
    """

    asked: AskedPrompt

    @property
    def layout(self) -> tuple[LayoutBox, ...]:
        """All boxes."""
        return self.asked.clip.layout

    @cached_property
    def names(self) -> list[str]:
        """What a prompt calls each box."""
        return [thing(box.name) for box in self.layout]

    @cached_property
    def bounds(self) -> SeenBounds | None:
        """How much is seen of each box; None where the camera is not known and everything counts as seen."""
        camera = self.asked.clip.camera
        if camera is None or camera.intrinsics is None:
            return None
        return seen_bounds(self.layout, camera, self.asked.frames)

    def may_be_seen(self, number: int) -> bool:
        """Whether a frame may show enough of a box."""
        return self.bounds is None or bool((self.bounds.most[number] >= self._min_seen - 1e-9).any())

    def is_seen(self, number: int) -> bool:
        """Whether a frame shows enough of a box for certain."""
        return self.bounds is None or bool((self.bounds.least[number] >= self._min_seen + 1e-9).any())

    @property
    def _min_seen(self) -> float:
        return self.asked.room_task.min_seen

    def of_kind(self, name: str) -> list[LayoutBox]:
        """All boxes of a name.

        Raises:
            UnreadableError: If there is none, one has no box, or one is not shown.
        """
        numbers = [number for number, one in enumerate(self.names) if one.casefold() == name.casefold()]
        complete = self.asked.clip.complete_kinds
        if not numbers or (complete is not None and name not in map(thing, complete)):
            msg = f"not every {name!r:.40} of the room has a box"
            raise UnreadableError(msg)
        if not all(map(self.may_be_seen, numbers)):
            msg = f"a {name!r:.40} that is asked about is not clearly seen"
            raise UnreadableError(msg)
        return [self.layout[number] for number in numbers]

    def single(self, name: str) -> LayoutBox:
        """The only box of a name.

        Raises:
            UnreadableError: If there are several.
        """
        boxes = self.of_kind(name)
        if len(boxes) != 1:
            msg = f"the name {name!r:.40} fits {len(boxes)} things"
            raise UnreadableError(msg)
        return boxes[0]

    def read(self, *places: str) -> list[str]:
        """The names at places of the question."""
        names = one_of(self.names)
        found = self.asked.read(self.asked.room_task.wordings.texts["ask"], dict.fromkeys(places, names))
        return [found[place] for place in places]

    def read_listed(self) -> list[str]:
        """The names that the question lists at its only place.

        Raises:
            UnreadableError: If something else stands there.
        """
        (text,) = self.asked.read(self.asked.room_task.wordings.texts["ask"]).values()
        return listed(text, self.names)


def check_object_count(asked: AskedPrompt) -> Iterator[str]:
    """How many boxes bear the name."""
    room = Room(asked)
    boxes = room.of_kind(*room.read("kind"))
    if len(boxes) != asked.number or len(boxes) < asked.settings(ObjectCounting).min_count:
        yield f"the reference counts {asked.number:g}, there are {len(boxes)}"
    yield from wrong_map(asked, room.names, room.is_seen, room.may_be_seen)


def check_object_size(asked: AskedPrompt) -> Iterator[str]:
    """The longest side in whole centimetres."""
    room = Room(asked)
    box = room.single(*room.read("thing"))
    *_, longest = sorted(100 * float(side) for side in box.size_metres)
    assert asked.settings(ObjectSize)
    yield from _wrong_number(asked, longest, 0.5 + 1e-6)
    yield from wrong_map(asked, room.names, room.is_seen, room.may_be_seen)


def check_room_size(asked: AskedPrompt) -> Iterator[str]:
    """The annotated area in square metres with one decimal."""
    room, area = Room(asked), asked.clip.room_area_square_metres
    room.read()
    yield from _wrong_number(asked, np.nan if area is None else area, ONE)
    yield from wrong_map(asked, room.names, room.is_seen, room.may_be_seen)


def check_distance(asked: AskedPrompt) -> Iterator[str]:
    """Metres between the closest points of two things, with one decimal."""
    room = Room(asked)
    first, second = (room.single(name) for name in room.read("first", "second"))
    metres = solid_distance(first, second)
    if metres < asked.settings(AbsoluteDistance).min_metres - _METRES:
        yield f"the things are {metres:.2f} m apart, which is too close to ask about"
    yield from _wrong_number(asked, metres, ONE + _METRES)
    yield from wrong_map(asked, room.names, room.is_seen, room.may_be_seen)


def check_nearest(asked: AskedPrompt) -> Iterator[str]:
    """The kind whose closest box is the closest, and clearly so."""
    room, task = Room(asked), asked.settings(RelativeDistance)
    (name,) = room.read("thing")
    start, options = room.single(name), asked.options().values()
    metres = {kind: min(solid_distance(start, box) for box in room.of_kind(kind)) for kind in options}
    yield from wrong_nearest(asked, metres, task.min_gap_metres, task.min_ratio)
    if name in options or len(metres) > task.num_options:
        yield f"the options {', '.join(options)} hold {name!r:.40} itself, or are too many"
    yield from wrong_map(asked, room.names, room.is_seen, room.may_be_seen)


def wrong_nearest(
    asked: AskedPrompt, metres: dict[str, float], min_gap_metres: float, min_ratio: float
) -> Iterator[str]:
    """Whether the chosen option is the one with the fewest metres, and the others are clearly farther."""
    nearest, following = sorted(metres, key=lambda name: metres[name])[:2]
    gap = metres[following] - metres[nearest]
    if asked.chosen() != nearest:
        yield f"{asked.chosen()!r:.40} is said to be the closest, should be {nearest!r:.40} at {metres[nearest]:.2f} m"
    elif gap < min_gap_metres - _METRES or metres[following] < min_ratio * (metres[nearest] - _METRES) - _METRES:
        yield f"{nearest!r:.40} and {following!r:.40} are about as close, {gap:.2f} m differ"


def check_direction(asked: AskedPrompt) -> Iterator[str]:
    """Where somebody turns to, by the angle between two numbers of the complex plane."""
    room, task = Room(asked), asked.settings(RelativeDirection)
    three = [room.single(name) for name in room.read("standing", "facing", "target")]
    turn = turn_degrees(*three)
    near = min(abs(on_ground(box) - on_ground(three[0])) for box in three[1:])
    if near < task.min_metres - _METRES or not abs(turn) <= 180:
        yield f"a thing lies {near:.2f} m from where one stands"
        return
    words, borders = _DIRECTIONS[task.difficulty]
    right = _direction(task.difficulty, turn)
    if set(asked.options().values()) != set(words):
        yield f"the options are not {', '.join(words)}"
    elif asked.chosen() != right:
        yield f"a turn of {turn:+.1f} degrees is said to be {asked.chosen()}, should be {right}"
    if min(abs(abs(turn) - border) for border in borders) < task.margin_degrees - _DEGREES:
        yield f"a turn of {turn:+.1f} degrees is nearer than {task.margin_degrees:g} to another answer"
    if task.difficulty == "medium" and abs(turn) < 45 - _DEGREES:
        yield f"a turn of {turn:+.1f} degrees leads ahead, for which there is no answer"
    yield from wrong_map(asked, room.names, room.is_seen, room.may_be_seen)


#: For each difficulty what may be answered, and the sizes of turns at which the answer changes.
_DIRECTIONS = {
    "easy": (("left", "right"), (0.0, 180.0)),
    "medium": (("left", "right", "back"), (135.0,)),
    "hard": (("front-left", "front-right", "back-left", "back-right"), (0.0, 90.0, 180.0)),
}


def _direction(difficulty: str, turn: float) -> str:
    sideways, away = "left" if turn > 0 else "right", abs(turn)
    if difficulty == "medium":
        return "back" if away > 135 else sideways
    return sideways if difficulty == "easy" else f"{'back' if away > 90 else 'front'}-{sideways}"


def check_room_order(asked: AskedPrompt) -> Iterator[str]:
    """The first frame in which a line of sight ends on one of each kind."""
    room, task, camera = Room(asked), asked.settings(AppearanceOrder), asked.clip.camera
    assert camera is not None
    hits = first_hits(room.layout, camera, asked.frames)
    first = {name: min(hit for hit, one in zip(hits, room.names, strict=True) if one == name) for name in room.names}
    yield from wrong_order(asked, room.read_listed(), first, len(asked.frames), task.num_options)
    yield from wrong_map(asked, room.names, room.is_seen, room.may_be_seen)


def wrong_order(
    asked: AskedPrompt, listed: Sequence[str], first: dict[str, int], never: int, num_options: int
) -> Iterator[str]:
    """Whether the chosen option names what is listed in the order of the first frames that show it.

    Args:
        asked: The prompt.
        listed: What is to be ordered.
        first: Number of the first frame by name.
        never: The number of what no frame shows.
        num_options: Most options.
    """
    ways = {option: _in_order(option, listed) for option in asked.options().values()}
    if any(way is None for way in ways.values()) or len(ways) > num_options:
        yield "an option is no order of the things asked about, or there are too many"
        return
    ordered = ways[asked.chosen()] or []
    frames = [first[name] for name in ordered]
    if never in frames or any(later <= earlier for earlier, later in pairwise(frames)):
        seen = ", ".join(f"{name} {first[name]}" for name in sorted(listed, key=lambda name: first[name]))
        yield f"the order is said to be {asked.chosen()!r:.80}, the shown frames that show each first are {seen}"


def listed(text: str, names: Sequence[str]) -> list[str]:
    """Names that stand in a text with commas between; the longest first, since a name may hold a comma.

    Raises:
        UnreadableError: If something else stands there, or a name twice.
    """
    found: list[str] = []
    rest = f"{text}, "
    while rest:
        fitting = [name for name in set(names) - set(found) if rest.startswith(f"{name}, ")]
        if not fitting:
            msg = f"{text!r:.80} is no list of things of the clip"
            raise UnreadableError(msg)
        found.append(max(fitting, key=len))
        rest = rest.removeprefix(f"{found[-1]}, ")
    return found


def _in_order(option: str, listed: Sequence[str]) -> list[str] | None:
    """The names in an option, each of ``listed`` once; None if it is no such list. Names may hold commas."""
    if not listed:
        return [] if option == "" else None
    for name in listed:
        rest = [one for one in listed if one != name]
        if option == name and not rest:
            return [name]
        if option.startswith(f"{name}, ") and (found := _in_order(option.removeprefix(f"{name}, "), rest)):
            return [name, *found]
    return None


def _wrong_number(asked: AskedPrompt, should: float, tolerance: float) -> Iterator[str]:
    if not abs(asked.number - should) <= tolerance:
        yield f"the reference says {asked.number:g}, should be {should:.3f}"
