"""Questions about one image or two of a clip, drawn from all its annotated frames."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any, ClassVar

import numpy as np

from remot.data.tasks.base import TaskPlan
from remot.data.tasks.shared.frames import FrameSampling
from remot.data.tasks.shared.marks import Mark, Marks
from remot.data.tasks.tracks.base import TrackCandidate, TrackTask
from remot.data.tasks.tracks.scene import TrackScene
from remot.structures import Clip

#: Frames of a clip that are drawn, of which a prompt shows one or two.
MAX_VIEWS = 8
#: How often a clip is halved at most before frames are drawn.
MAX_HALVINGS = 4


@dataclass(frozen=True)
class ViewCandidate(TrackCandidate):
    """Something that can be asked about some of a scene's frames.

    Args:
        shown: The frames of the scene that the prompt shows.
        marks: What is drawn in each of them; empty if nothing is.
    """

    shown: tuple[int, ...] = ()
    marks: tuple[tuple[Mark, ...], ...] = ()


class ViewTask(TrackTask):
    """A question about images that are drawn anew for each prompt.

    OpenSpatial (arXiv 2604.07296) has such questions; margins, words and what counts as shown are ours.

    Args:
        shared: ``min_pixels``, ``refer`` and ``wordings``, see :class:`remot.data.tasks.tracks.base.TrackTask`.
    """

    family = "openspatial"
    num_views: ClassVar[int] = 1

    def __init__(self, **shared: Any) -> None:
        super().__init__(num_graphs=0, frames=FrameSampling(self.num_views, as_video=False), **shared)

    def scene(self, clip: Clip, generator: np.random.Generator | None = None) -> TrackScene:
        """The tracks, with drawn frames of a drawn stretch; without a generator those spread over the whole clip.

        The stretch is the clip, or half of it, a quarter and so on, so that views are far from each other or near.
        """
        count = min(MAX_VIEWS, clip.num_frames)
        if generator is None:
            frames = np.linspace(0, clip.num_frames - 1, count).round().astype(int)
        else:
            length = max(count, clip.num_frames >> int(generator.integers(MAX_HALVINGS + 1)))
            start = int(generator.integers(clip.num_frames - length + 1))
            frames = start + np.sort(generator.choice(length, count, replace=False))
        return replace(super().scene(clip, generator), frames=tuple(int(frame) for frame in frames))

    def prompt_scene(self, scene: TrackScene, chosen: TrackCandidate) -> TrackScene:
        """The scene with the frames of a candidate alone."""
        assert isinstance(chosen, ViewCandidate)
        return replace(scene, frames=tuple(scene.frames[k] for k in chosen.shown))

    def plan_of(self, scene: TrackScene, chosen: TrackCandidate, generator: np.random.Generator) -> TaskPlan:
        """The prompt, with the candidate's marks drawn."""
        assert isinstance(chosen, ViewCandidate)
        plan = super().plan_of(scene, chosen, generator)
        return replace(plan, transforms=tuple(map(Marks, chosen.marks))) if chosen.marks else plan


def view_pairs(scene: TrackScene) -> Iterator[tuple[int, int]]:
    """Two frames of a scene, the earlier one first."""
    return combinations(range(len(scene.frames)), 2)
