"""A room's layout, and which of its boxes the shown frames show."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from remot.data.questions.text import called
from remot.data.tasks.geometry.views import Visibility, visibilities
from remot.structures import Clip, FloatArray, LayoutBox

#: A camera that looks more steeply than this has no direction on the ground.
_MIN_LEVEL = 0.2
#: Share of an image's pixels from which a thing is clearly seen, where that is annotated; SIMS-V's (arXiv 2511.04668).
MIN_SHARE = 0.05


@dataclass(frozen=True, eq=False)
class Scene:
    """A clip, the annotated frames that are shown and what they show. Names are those that a prompt uses."""

    clip: Clip
    frames: tuple[int, ...]
    min_seen: float
    min_pixels: float = 0.0
    min_share: float = MIN_SHARE

    @cached_property
    def layout(self) -> tuple[LayoutBox, ...]:
        """All boxes of the room."""
        return tuple(replace(box, name=called(box.name)) for box in self.clip.layout)

    @cached_property
    def visibilities(self) -> tuple[Visibility, ...] | None:
        """For each box how much of it the frames show, annotated or by projection; None if the camera is not known."""
        annotated = [box.image_shares[list(self.frames)] for box in self.layout if box.image_shares is not None]
        if annotated:
            return tuple(Visibility((share >= self.min_share).astype(float), share > 0) for share in annotated)
        camera = self.clip.camera
        if camera is None or camera.intrinsics is None:
            return None
        return tuple(visibilities(self.layout, camera, self.frames, min_pixels=self.min_pixels))

    @cached_property
    def is_seen(self) -> tuple[bool, ...]:
        """For each box whether at least one of the frames clearly shows it; True if the camera is not known."""
        if self.visibilities is None:
            return (True,) * len(self.layout)
        return tuple(bool(np.any(one.seen >= self.min_seen)) for one in self.visibilities)

    @cached_property
    def kinds(self) -> Mapping[str, tuple[LayoutBox, ...]]:
        """Boxes by name, of the names of which everything has a box and every box is clearly seen; in order."""
        unseen = {box.name for box, is_seen in zip(self.layout, self.is_seen, strict=True) if not is_seen}
        names = sorted(complete_names(self.clip) - unseen)
        return {name: tuple(box for box in self.layout if box.name == name) for name in names}

    @cached_property
    def single(self) -> Mapping[str, LayoutBox]:
        """Boxes of :attr:`kinds` whose name the room has once, so that the name points at one thing."""
        return {name: boxes[0] for name, boxes in self.kinds.items() if len(boxes) == 1}

    @property
    def heading(self) -> FloatArray | None:
        """[2] direction on the ground of the first shown frame's view; None if not known."""
        if self.clip.camera is None:
            return None
        forward = self.clip.camera.camera_to_world[self.frames[0]][:2, 2]  # world z is up
        level = float(np.linalg.norm(forward))
        return forward / level if level > _MIN_LEVEL else None


def kind_counts(clip: Clip) -> Mapping[str, int]:
    """How many things the layout has of each kind of which every one has a box."""
    names = complete_names(clip)
    return Counter(name for box in clip.layout if (name := called(box.name)) in names)


def complete_names(clip: Clip) -> frozenset[str]:
    """Names of the layout of which every thing has a box; none that differ in capitals alone."""
    found = {called(box.name) for box in clip.layout} - {""}
    small = Counter(map(str.lower, found))
    names = frozenset(name for name in found if small[name.lower()] == 1)
    return names if clip.complete_kinds is None else names & frozenset(map(called, clip.complete_kinds))
