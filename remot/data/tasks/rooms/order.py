"""In which order do things come into view?"""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from remot.data.tasks.rooms.base import RoomTask
from remot.data.tasks.rooms.scene import Scene
from remot.data.tasks.shared.candidates import Candidate, Refusal
from remot.data.tasks.shared.orders import MIN_THINGS, clear_orders, order_options
from remot.errors import ConfigError
from remot.structures import Clip


class AppearanceOrder(RoomTask):
    """The order in which kinds are first seen in the shown frames, as VSI-Bench asks.

    A kind comes into view between the first frame that may show a bit of it and the first that clearly shows one of
    it. Only kinds are asked about whose stretches follow each other. VSI-Bench looks at pixels of the scan instead.

    Args:
        num_kinds: How many are ordered; fewer, down to three, where a clip does not show so many in a clear order.
        num_options: Orders that are offered.
        shared: Settings of all questions about rooms, see :class:`RoomTask`.
    """

    name = "appearance_order"
    needs: ClassVar[str] = "a 3D layout with a camera path and intrinsics, or with image_shares"

    def __init__(self, num_kinds: int = 4, num_options: int = 4, **shared: Any) -> None:
        super().__init__(**shared)
        if not MIN_THINGS <= num_kinds <= 6 or not 2 <= num_options <= 6:
            msg = f"{self.name}: {num_kinds} kinds and {num_options} options; choose 3 to 6 kinds and 2 to 6 options"
            raise ConfigError(msg)
        self.num_kinds = num_kinds
        self.num_options = num_options

    def serves(self, clip: Clip) -> bool:
        """Whether the annotations determine what the camera sees."""
        has_camera = clip.camera is not None and clip.camera.intrinsics is not None
        return super().serves(clip) and (has_camera or clip.layout[0].image_shares is not None)

    def candidates(self, scene: Scene, generator: np.random.Generator) -> Iterator[Candidate | Refusal]:
        """Drawn sets of kinds whose order is clear."""
        for found in clear_orders(first_views(scene), self.num_kinds, generator, "too few kinds come into view"):
            if isinstance(found, Refusal):
                yield found
            else:
                right, wrong, listed = order_options(found, self.num_options, generator)
                yield Candidate({"kinds": listed}, right, wrong)


def first_views(scene: Scene) -> dict[str, tuple[int, int]]:
    """For each name the first shown frame that may show one of it and the first that clearly does, if any does."""
    found: dict[str, tuple[int, int]] = {}
    for name in {box.name for box in scene.layout}:
        of_name = [one for box, one in zip(scene.layout, scene.visibilities or (), strict=True) if box.name == name]
        possible = np.any([one.possible for one in of_name], axis=0)
        clear = np.any([one.seen >= scene.min_seen for one in of_name], axis=0)
        if clear.any():
            found[name] = int(np.argmax(possible)), int(np.argmax(clear))
    return found
