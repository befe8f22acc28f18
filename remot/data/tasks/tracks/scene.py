"""A clip's tracks, and what the shown frames show of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from remot.data.questions.text import called
from remot.data.tasks.shared.places import camera_places, kind_of, not_hidden, visible
from remot.structures import Clip, FloatArray

#: How a prompt refers to tracks, see :class:`remot.data.tasks.tracks.base.TrackTask`.
Refer = Literal["names", "boxes", "drawn_boxes", "outlines"]


@dataclass(frozen=True, eq=False)
class TrackScene:
    """A clip and the S annotated frames of it that are shown.

    Boxes are clearly seen from a shorter side of ``min_pixels`` on; ``renumbered`` are other names than the clip's, and
    all that there are unless the prompt refers by ``names``.
    """

    clip: Clip
    frames: tuple[int, ...]
    min_pixels: float
    renumbered: Mapping[str, str] = field(default_factory=dict)
    refer: Refer = "names"

    @cached_property
    def names(self) -> Mapping[str, str]:
        """What a prompt calls each track, by its name in the clip; no two alike but for capitals."""
        words = {
            name: self.renumbered.get(name, called(name) if self.refer == "names" else "") for name in self.clip.objects
        }
        small = [word.lower() for word in words.values()]
        return {name: word for name, word in words.items() if word and small.count(word.lower()) == 1}

    def shown(self, name: str) -> NDArray[np.bool_]:
        """[S] frames with a box of a track."""
        return np.asarray(visible(self.clip, name)[list(self.frames)])

    def clear(self, name: str) -> NDArray[np.bool_]:
        """[S] frames with a box of a track that is large enough, and not of one stated to be largely hidden."""
        boxes = self.clip.objects[name].boxes_xyxy[list(self.frames)]
        sides = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
        large = np.nan_to_num(sides, nan=-1.0) >= self.min_pixels
        return np.asarray(large & not_hidden(self.clip, name)[list(self.frames)])

    def is_pointed_out(self, name: str) -> bool:
        """Whether the prompt must point out which track a name means."""
        return self.refer != "names" or is_numbered(name)

    def box(self, name: str, shown: int) -> FloatArray:
        """Box [4] in pixels of a track in a shown frame."""
        return np.asarray(self.clip.objects[name].boxes_xyxy[self.frames[shown]])

    def seconds(self, shown: int) -> str:
        """Time of a shown frame as prompts write it."""
        return f"{float(self.clip.pts_seconds[self.frames[shown]]):.2f}"

    def places(self, shown: int) -> dict[str, FloatArray]:
        """Places [3] of the clearly seen tracks whose places are known, in the axes of a shown frame's camera."""
        places = camera_places(self.clip, self.frames[shown])
        return {name: place for name, place in places.items() if name in self.names and self.clear(name)[shown]}

    def common(self, names: Sequence[str]) -> list[int]:
        """Shown frames in which all of ``names`` are clearly seen."""
        if not names:
            return list(range(len(self.frames)))
        return [int(k) for k in np.flatnonzero(np.all([self.clear(name) for name in names], axis=0))]


def renumbered(clip: Clip, generator: np.random.Generator) -> dict[str, str]:
    """Names for the numbered tracks of a clip in which their numbers change places within each kind.

    Annotators count in the order in which things come into view, so that their numbers would give it away.
    """
    kinds: dict[str, list[str]] = {}
    for name in clip.objects:
        if is_numbered(name):
            kinds.setdefault(kind_of(name), []).append(name)
    found: dict[str, str] = {}
    for names in kinds.values():
        order = generator.permutation(len(names))
        found |= {name: called(names[k]) for name, k in zip(names, order, strict=True)}
    return found


def is_numbered(name: str) -> bool:
    """Whether the question must point out which one is meant."""
    return kind_of(name) != called(name)
