"""How many things of a kind come into the image?"""

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from remot.data.questions.text import called
from remot.data.tasks.shared.candidates import Refusal
from remot.data.tasks.shared.places import kind_of
from remot.data.tasks.tracks.base import TrackCandidate, TrackTask
from remot.data.tasks.tracks.scene import TrackScene
from remot.structures import Clip


class TrackCounting(TrackTask):
    """The number of different tracks of a kind that the shown frames show; each clearly seen in one of them.

    Args:
        min_count: Fewest of a kind.
        shared: Settings of all questions about tracks, see :class:`TrackTask`.
    """

    name = "track_counting"
    needs: ClassVar[str] = "tracked objects of which all of a kind are annotated (complete_kinds)"

    def __init__(self, min_count: int = 2, **shared: Any) -> None:
        super().__init__(**shared)
        self.min_count = min_count

    def serves(self, clip: Clip) -> bool:
        """Whether enough of a kind are annotated, and all of them."""
        kinds = [kind_of(name) for name in clip.objects]
        return any(kinds.count(kind) >= self.min_count for kind in map(called, clip.complete_kinds or ()))

    def candidates(self, scene: TrackScene, generator: np.random.Generator) -> Iterator[TrackCandidate | Refusal]:  # noqa: ARG002
        """One for each kind; balanced over the numbers within a clip."""
        complete = {called(kind) for kind in scene.clip.complete_kinds or ()} - {""}
        all_kinds = {kind_of(name) for name in scene.clip.objects}
        for kind in sorted(all_kinds):
            tracks = [name for name in scene.clip.objects if kind_of(name) == kind and scene.shown(name).any()]
            if kind not in complete:
                yield Refusal("not every one is annotated")
            elif any(other != kind and other.lower() == kind.lower() for other in all_kinds):
                yield Refusal("written in two ways")
            elif len(tracks) < self.min_count:
                yield Refusal("too few")
            elif not all(scene.clear(name).any() for name in tracks):
                yield Refusal("one is hardly seen")
            else:
                number = len(tracks)
                yield TrackCandidate({"kind": kind}, str(number), verdict=str(number), number=number)
