"""Which things of one image are nearer to the camera than others?"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np

from remot.data.tasks.shared.candidates import Refusal
from remot.data.tasks.shared.orders import MIN_THINGS, order_options
from remot.data.tasks.tracks.scene import TrackScene
from remot.data.tasks.views.base import ViewCandidate, ViewTask
from remot.errors import ConfigError
from remot.structures import Clip

#: How an order may be asked for.
NEAREST, FARTHEST = "the nearest first", "the farthest first"


class DepthOrder(ViewTask):
    """The order of things in one image by how far their middles are from the camera, along its view.

    OpenSpatial's depth ordering, which compares the shallowest tenth of each thing's depths; here it is the annotated
    depth of the middle (``depths_metres``, else the last of ``centres_metres``). Asked for from the nearest or from the
    farthest, each as often, so that no thing stands first more often than last.

    Args:
        num_things: How many are ordered; fewer, down to three, where no more are clearly apart.
        num_options: Orders that are offered.
        min_gap_metres: How much farther each must be than the one before.
        min_ratio: How many times as far each must be.
        shared: Settings of all questions about views, see :class:`ViewTask`.
    """

    name = "depth_order"
    needs: ClassVar[str] = "three tracked objects with depths (depths_metres or centres_metres) in one frame"

    def __init__(
        self,
        num_things: int = 4,
        num_options: int = 4,
        min_gap_metres: float = 0.2,
        min_ratio: float = 1.1,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        if not MIN_THINGS <= num_things <= 6 or not 2 <= num_options <= 6 or min_gap_metres < 0 or min_ratio < 1:
            msg = (
                f"{self.name}: {num_things} things, {num_options} options, a gap of {min_gap_metres} m, a ratio of "
                f"{min_ratio}; choose 3 to 6 things, 2 to 6 options, a gap from 0 and a ratio from 1"
            )
            raise ConfigError(msg)
        self.num_things = num_things
        self.num_options = num_options
        self.min_gap_metres = min_gap_metres
        self.min_ratio = min_ratio

    def serves(self, clip: Clip) -> bool:
        """Whether enough things have depths."""
        known = [track.depths_metres is not None or track.centres_metres is not None for track in clip.objects.values()]
        return sum(known) >= MIN_THINGS

    def candidates(self, scene: TrackScene, generator: np.random.Generator) -> Iterator[ViewCandidate | Refusal]:
        """For each drawn frame a drawn set of things, with one thing less while two are about as far."""
        for shown in range(len(scene.frames)):
            depths = depths_of(scene, shown)
            names = sorted(depths)
            drawn = [names[k] for k in generator.permutation(len(names))[: self.num_things]]
            while len(drawn) >= MIN_THINGS and not self._are_apart([depths[name] for name in drawn]):
                drawn.pop()
            if len(drawn) < MIN_THINGS:
                yield Refusal("two are about as far" if len(names) >= MIN_THINGS else "too few with a depth")
                continue
            asked = (NEAREST, FARTHEST)[int(generator.integers(2))]
            ordered = sorted(drawn, key=depths.__getitem__, reverse=asked == FARTHEST)
            words = [scene.names[name] for name in ordered]
            right, wrong, listed = order_options(words, self.num_options, generator)
            places = {"things": listed, "order": asked}
            yield ViewCandidate(places, right, wrong, tracks=tuple(sorted(drawn)), shown=(shown,))

    def _are_apart(self, metres: list[float]) -> bool:
        """Whether each depth is clearly larger than the one before, in order."""
        return all(
            after - before >= self.min_gap_metres and after >= self.min_ratio * before
            for before, after in pairwise(sorted(metres))
        )


def depths_of(scene: TrackScene, shown: int) -> dict[str, float]:
    """Metres along the view of the clearly seen tracks in a frame of a scene, those before the camera."""
    frame, found = scene.frames[shown], {}
    for name in scene.names:
        track = scene.clip.objects[name]
        depths = track.depths_metres
        if depths is None and track.centres_metres is not None:
            depths = track.centres_metres[:, 2]
        if depths is not None and depths[frame] > 0 and scene.clear(name)[shown]:  # NaN is not above 0
            found[name] = float(depths[frame])
    return found
