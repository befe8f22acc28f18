"""A room, and what its prompt says that can be seen of it."""

from dataclasses import dataclass
from functools import cached_property

from remot.datatools.audit.tasks.ordered import listed
from remot.datatools.audit.tasks.prompt import AskedPrompt, UnreadableError, one_of, thing
from remot.datatools.audit.tasks.visibility import SeenBounds, seen_bounds
from remot.structures import LayoutBox


@dataclass(frozen=True, eq=False)
class RoomGeometry:
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
        return seen_bounds(self.layout, camera, self.asked.frames, self.asked.room_task.min_pixels)

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
