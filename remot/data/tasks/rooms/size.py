"""How long is a thing, and how large the room?"""

from collections.abc import Iterator
from typing import ClassVar

import numpy as np

from remot.data.tasks.geometry.boxes import longest_side_metres
from remot.data.tasks.rooms.base import Candidate, RoomTask
from remot.data.tasks.rooms.scene import Scene
from remot.data.tasks.shared.candidates import Refusal
from remot.structures import Clip


class ObjectSize(RoomTask):
    """The longest side of the only thing of its name, in whole centimetres, as VSI-Bench asks."""

    name = "object_size"
    num_single = 1

    def candidates(self, scene: Scene, generator: np.random.Generator) -> Iterator[Candidate | Refusal]:  # noqa: ARG002
        """One for each thing that its name points at."""
        for name in sorted({box.name for box in scene.layout}):
            box = scene.single.get(name)
            centimetres = 0 if box is None else round(100 * longest_side_metres(box))
            if box is None:
                yield Refusal("several, or not clearly seen")
            elif centimetres < 1:
                yield Refusal("too small")
            else:
                yield Candidate({"thing": name}, str(centimetres))


class RoomSize(RoomTask):
    """The floor area in square metres with one decimal, where it is annotated.

    VSI-Bench estimates areas from the scan by an alpha shape; boxes do not say where the walls are, so it is never
    worked out from them.
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
