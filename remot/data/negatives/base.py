"""What every negative does: lay out the images a triplet can be made of, annotated anew where they are transformed.

Notation: K candidate frames of a clip, M images that can be shown of them.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from remot.data.experts.base import IntArray
from remot.structures import Clip, ImageTransform

BoolMatrix = NDArray[np.bool_]


class Case(NamedTuple):
    """Which images may stand in which places: [M, M] matrices for the pairs (1, 2), (1, 3) and (2, 3).

    A triplet is allowed if all three of its pairs are.
    """

    one_two: BoolMatrix
    one_three: BoolMatrix
    two_three: BoolMatrix


@dataclass(frozen=True, eq=False)
class View:
    """The images a triplet can be made of.

    Args:
        clip: Annotations of what is shown; the source clip itself if nothing is transformed.
        positions: [M] annotated frame of ``clip`` for each image.
        source_frames: [M] annotated frame of the source clip for each image.
        transforms: What is done to each image, None for nothing.
        cases: A triplet has to be allowed by one of them; empty if all are.
    """

    clip: Clip
    positions: IntArray
    source_frames: IntArray
    transforms: tuple[ImageTransform | None, ...]
    cases: tuple[Case, ...] = ()

    @property
    def is_plain(self) -> bool:
        """True if no image is transformed."""
        return all(transform is None for transform in self.transforms)


class Negative(ABC):
    """A way to find or make the third image."""

    #: Name in labels and reports.
    name: ClassVar[str]
    #: Triplets drawn for each prompt, one of which :meth:`choose` picks.
    num_draws: int = 1

    @abstractmethod
    def view(self, clip: Clip, frames: IntArray) -> View | None:
        """The images of ``clip`` that triplets are made of, or None if the clip does not allow this negative.

        Args:
            clip: The source.
            frames: [K] candidate frames.

        Raises:
            DecodeError: If an image is needed for its size and cannot be decoded.
        """

    def choose(self, view: View, drawn: Sequence[IntArray]) -> IntArray:  # noqa: ARG002
        """One of the triplets [3] of images that were drawn; the first unless a negative prefers another."""
        return drawn[0]


def plain_view(clip: Clip, frames: IntArray, cases: tuple[Case, ...] = ()) -> View:
    """The images as they are."""
    return View(clip, frames, frames, (None,) * len(frames), cases)
