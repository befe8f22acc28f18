"""Boxes, outlines and points that are drawn in an image, each in a colour by which a question refers to it."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from remot.data.media.masks import draw_mask
from remot.structures import Box, ImageEdit, ObjectTrack, Point

#: Red, green and blue of each colour as questions call it.
COLOURS: Mapping[str, tuple[int, int, int]] = {
    "red": (255, 0, 0),
    "green": (0, 200, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "magenta": (255, 0, 255),
    "cyan": (0, 255, 255),
    "orange": (255, 140, 0),
    "white": (255, 255, 255),
}

#: Width of the rim around marks.
RIM_PIXELS = 1


def line_pixels(height: int) -> int:
    """How thick lines are in an image of that height."""
    return max(2, round(height / 100))


@dataclass(frozen=True, eq=False)
class Mark(ABC):
    """Something drawn in a ``colour`` of :data:`COLOURS`."""

    colour: str

    @abstractmethod
    def pixels(self, image: Tensor) -> Tensor:
        """[H, W] bool, which pixels of an image [3, H, W] it covers."""


@dataclass(frozen=True, eq=False)
class BoxMark(Mark):
    """The border of a box in pixels, on its inside; what lies outside the image is not drawn."""

    box_xyxy: Box

    def pixels(self, image: Tensor) -> Tensor:
        """See :meth:`Mark.pixels`."""
        height, width = image.shape[-2:]
        line = line_pixels(height)
        left, top = (max(math.floor(edge), 0) for edge in self.box_xyxy[:2])
        right, bottom = min(math.ceil(self.box_xyxy[2]), width), min(math.ceil(self.box_xyxy[3]), height)
        covered = torch.zeros((height, width), dtype=torch.bool)
        covered[top:bottom, left:right] = True
        covered[top + line : max(bottom - line, 0), left + line : max(right - line, 0)] = False
        return covered


@dataclass(frozen=True, eq=False)
class OutlineMark(Mark):
    """A line around the mask of an object in an annotated frame, on its outside; a DecodeError without that mask."""

    track: ObjectTrack
    frame: int

    def pixels(self, image: Tensor) -> Tensor:
        """See :meth:`Mark.pixels`."""
        inside = draw_mask(self.track, self.frame, image)[0] > 0
        return grown(inside, line_pixels(image.shape[-2])) & ~inside


@dataclass(frozen=True, eq=False)
class PointMark(Mark):
    """A disc around a place [x, y] in pixels."""

    place: Point

    def pixels(self, image: Tensor) -> Tensor:
        """See :meth:`Mark.pixels`."""
        height, width = image.shape[-2:]
        rows, columns = torch.arange(height)[:, None] + 0.5, torch.arange(width)[None] + 0.5
        x, y = self.place
        return (columns - x) ** 2 + (rows - y) ** 2 <= (1.5 * line_pixels(height)) ** 2


@dataclass(frozen=True, eq=False)
class Marks(ImageEdit):
    """Draws marks in an image, later ones over earlier ones, all with a black rim that parts them from their like."""

    marks: tuple[Mark, ...]

    def __call__(self, image: Tensor) -> Tensor:
        """The image with the marks."""
        drawn, covered = image.clone(), [mark.pixels(image) for mark in self.marks]
        for pixels in covered:
            drawn[:, grown(pixels, RIM_PIXELS)] = 0
        for mark, pixels in zip(self.marks, covered, strict=True):
            drawn[:, pixels] = torch.tensor(COLOURS[mark.colour], dtype=torch.uint8)[:, None]
        return drawn


def grown(pixels: Tensor, distance: int) -> Tensor:
    """Pixels [H, W] and all within a square around them, ``distance`` pixels to each side."""
    size = 2 * distance + 1
    return max_pool2d(pixels[None].float(), size, stride=1, padding=distance)[0] > 0
