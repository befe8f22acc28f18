"""How many things of a kind are in the room?"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from remot.data.tasks.rooms.base import Candidate, RoomTask
from remot.data.tasks.rooms.scene import Scene, complete_names, kind_counts
from remot.data.tasks.shared.candidates import Refusal
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
