"""How many things of a kind are in the room, how long is one, and how large is the room?"""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from remot.data.tasks.rooms.base import RoomTask
from remot.data.tasks.rooms.scene import Scene, complete_names, kind_counts
from remot.data.tasks.shared.candidates import Candidate, Refusal
from remot.structures import Clip


class ObjectCounting(RoomTask):
    """The number of boxes of a name, where every thing of that kind has one and is clearly seen.

    Args:
        min_count: Fewest things of a kind; as VSI-Bench asks, two.
        shared: Settings of all questions about rooms, see :class:`RoomTask`.
    """

    name = "object_counting"

    def __init__(self, min_count: int = 2, **shared: Any) -> None:
        super().__init__(**shared)
        self.min_count = min_count

    def serves(self, clip: Clip) -> bool:
        """Whether there are enough things of a kind."""
        return max(kind_counts(clip).values(), default=0) >= self.min_count

    def candidates(self, scene: Scene, generator: np.random.Generator) -> Iterator[Candidate | Refusal]:  # noqa: ARG002
        """One for each kind; balanced over the numbers within a clip."""
        countable = complete_names(scene.clip)
        for name in sorted({box.name for box in scene.layout}):
            boxes = scene.kinds.get(name, ())
            if name not in countable:
                yield Refusal("not every one has a box")
            elif not boxes:
                yield Refusal("not every one is clearly seen")
            elif len(boxes) < self.min_count:
                yield Refusal("too few")
            else:
                yield Candidate({"kind": name}, str(len(boxes)), verdict=str(len(boxes)))


class ObjectSize(RoomTask):
    """The longest side of the only thing of its name, in whole centimetres, as VSI-Bench asks."""

    name = "object_size"
    num_single = 1

    def candidates(self, scene: Scene, generator: np.random.Generator) -> Iterator[Candidate | Refusal]:  # noqa: ARG002
        """One for each thing that its name points at."""
        for name in sorted({box.name for box in scene.layout}):
            box = scene.single.get(name)
            centimetres = 0 if box is None else round(100 * float(box.size_metres.max()))
            if box is None:
                yield Refusal("several, or not clearly seen")
            elif centimetres < 1:
                yield Refusal("too small")
            else:
                yield Candidate({"thing": name}, str(centimetres))


class RoomSize(RoomTask):
    """The floor area in square metres with one decimal, where it is annotated.

    VSI-Bench estimates areas from the scan by an alpha shape; boxes do not tell where the walls are.
    """

    name = "room_size"
    needs: ClassVar[str] = "a 3D layout with the area of the room (room_area_square_metres)"

    def serves(self, clip: Clip) -> bool:
        """Whether the area is known."""
        return super().serves(clip) and clip.room_area_square_metres is not None

    def candidates(self, scene: Scene, generator: np.random.Generator) -> Iterator[Candidate | Refusal]:  # noqa: ARG002
        """The one question there is."""
        area = round(scene.clip.room_area_square_metres or 0.0, 1)
        yield Candidate({}, f"{area:.1f}") if area > 0 else Refusal("too small")
