"""What of a room's layout the shown frames let a viewer know."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from remot.data.questions.text import called
from remot.data.tasks.geometry.maps import heading_of
from remot.data.tasks.geometry.views import Visibility, sights
from remot.structures import Clip, FloatArray, LayoutBox


@dataclass(frozen=True, eq=False)
class Scene:
    """A clip, the frames that are shown and what they show. Names are those that a prompt uses.

    Args:
        clip: The source.
        frames: Annotated frames that are shown.
        layout: All boxes of the room.
        is_seen: For each of them whether at least one of the frames clearly shows it; True if the camera is not known.
        sight: For each of them how much of it the frames show; None if the camera is not known.
        min_seen: Share of a box's surface that makes it clearly seen.
    """

    clip: Clip
    frames: tuple[int, ...]
    layout: tuple[LayoutBox, ...]
    is_seen: tuple[bool, ...]
    sight: tuple[Visibility, ...] | None
    min_seen: float

    @property
    def seen(self) -> tuple[LayoutBox, ...]:
        """The boxes that are clearly seen."""
        return tuple(box for box, is_seen in zip(self.layout, self.is_seen, strict=True) if is_seen)

    @property
    def kinds(self) -> Mapping[str, tuple[LayoutBox, ...]]:
        """Boxes by name, of the names of which everything has a box and every box is clearly seen; in order."""
        unseen = {box.name for box, is_seen in zip(self.layout, self.is_seen, strict=True) if not is_seen}
        names = sorted(complete_names(self.clip) - unseen)
        return {name: tuple(box for box in self.layout if box.name == name) for name in names}

    @property
    def single(self) -> Mapping[str, LayoutBox]:
        """Boxes of :attr:`kinds` whose name the room has once, so that the name points at one thing."""
        return {name: boxes[0] for name, boxes in self.kinds.items() if len(boxes) == 1}

    @property
    def heading(self) -> FloatArray | None:
        """[2] direction on the ground of the first shown frame's view; None if not known."""
        return None if self.clip.camera is None else heading_of(self.clip.camera.camera_to_world[self.frames[0]])


def scene_of(clip: Clip, frames: Sequence[int], min_seen: float, min_pixels: float = 0.0) -> Scene:
    """What ``frames`` show of the layout of ``clip``; what is smaller than ``min_pixels`` in a frame is not shown."""
    camera, layout = clip.camera, tuple(replace(box, name=called(box.name)) for box in clip.layout)
    if camera is None or camera.intrinsics is None:
        return Scene(clip, tuple(frames), layout, (True,) * len(layout), None, min_seen)
    found = tuple(sights(layout, camera, frames, min_pixels=min_pixels))
    is_seen = tuple(bool(np.any(one.seen >= min_seen)) for one in found)
    return Scene(clip, tuple(frames), layout, is_seen, found, min_seen)


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
