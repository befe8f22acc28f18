"""An image to paint plain shapes on, with soft edges and known boxes.

Pixel coordinates are continuous: the image's upper left corner is (0, 0), the first pixel's centre (0.5, 0.5).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from remot.structures import FloatArray

Canvas = NDArray[np.float32]
Distance = Callable[[Canvas, Canvas], Canvas]
Colour = tuple[int, int, int]

#: Saturated colours by the word a viewer would use; a scene gives each to one thing only.
COLOURS: dict[str, Colour] = {
    "red": (225, 35, 35),
    "green": (35, 185, 50),
    "blue": (40, 70, 235),
    "yellow": (245, 220, 30),
    "purple": (165, 45, 205),
    "cyan": (30, 210, 225),
}


@dataclass(frozen=True)
class Paint:
    """What a thing is made of, and the light on it.

    Args:
        colour: RGB.
        slope_xy: How steeply brightness falls to the right and downwards, 1 for the usual light from the upper left.
        gloss: Brightness of the highlight, 0 for none.
        waves_xy: Stripes in a radius to the right and downwards, for a pattern; both 0 for none.
        depth: How much darker the dark stripes are.
    """

    colour: Colour
    slope_xy: tuple[float, float] = (1.0, 1.0)
    gloss: float = 0.0
    waves_xy: tuple[float, float] = (0.0, 0.0)
    depth: float = 0.0


@dataclass(frozen=True)
class Shape:
    """A figure around the origin.

    Args:
        distance: Signed distance (negative inside) from local coordinates in units of the radius.
        half_width: Half the width of its box, in radii.
        half_height: Half the height of its box, in radii.
    """

    distance: Distance
    half_width: float = 1.0
    half_height: float = 1.0


SHAPES: dict[str, Shape] = {
    "ball": Shape(lambda x, y: np.hypot(x, y) - np.float32(1)),
    "box": Shape(lambda x, y: np.maximum(np.abs(x) - 0.92, np.abs(y) - 0.92), 0.92, 0.92),
    "cone": Shape(lambda x, y: np.maximum(y - 1, (2 * np.abs(x) - y - 1) / np.float32(5**0.5))),
    "diamond": Shape(lambda x, y: (np.abs(x) + np.abs(y) - np.float32(1)) / np.float32(2**0.5)),
    "cross": Shape(
        lambda x, y: np.minimum(
            np.maximum(np.abs(x) - 1, np.abs(y) - 0.38), np.maximum(np.abs(x) - 0.38, np.abs(y) - 1)
        )
    ),
    "ring": Shape(lambda x, y: np.abs(np.hypot(x, y) - np.float32(0.72)) - np.float32(0.28)),
    "tower": Shape(lambda x, y: np.maximum(np.abs(x) - 0.85, np.abs(y) - 1.15), 0.85, 1.15),
}


def to_image(canvas: Canvas) -> NDArray[np.uint8]:
    """Rounded to bytes."""
    image: NDArray[np.uint8] = np.clip(canvas + 0.5, 0, 255).astype(np.uint8)
    return image


def blend(canvas: Canvas, coverage: Canvas, colour: Canvas) -> None:
    """Paint ``colour`` ([3] or [H, W, 3]) where ``coverage`` [H, W] is 1, in place."""
    canvas += coverage[..., None] * (colour - canvas)


def paint_shape(
    canvas: Canvas, shape: Shape, centre_xy: FloatArray, radius_pixels: float, colour: Colour | Paint
) -> None:
    """Paint a lit shape, in place; parts outside the image are cut off."""
    reach = radius_pixels * max(shape.half_width, shape.half_height) + 2
    window, x, y = _window(canvas, centre_xy - reach, centre_xy + reach)
    x, y = (x - np.float32(centre_xy[0])) / radius_pixels, (y - np.float32(centre_xy[1])) / radius_pixels
    blend(canvas[window], edge_coverage(shape.distance(x, y) * radius_pixels), lit(colour, x, y))


def paint_bar(canvas: Canvas, start_xy: FloatArray, end_xy: FloatArray, half_width: float, colour: Colour) -> None:
    """Paint a thick line with round ends, in place."""
    low, high = np.minimum(start_xy, end_xy) - half_width - 2, np.maximum(start_xy, end_xy) + half_width + 2
    window, x, y = _window(canvas, low, high)
    along = (end_xy - start_xy).astype(np.float32)
    x, y = x - np.float32(start_xy[0]), y - np.float32(start_xy[1])
    share = np.clip((x * along[0] + y * along[1]) / max(float(along @ along), 1e-6), 0, 1)
    distance = np.hypot(x - share * along[0], y - share * along[1])
    blend(canvas[window], edge_coverage(distance - half_width), np.array(colour, np.float32))


def paint_rectangle(canvas: Canvas, low_xy: FloatArray, high_xy: FloatArray, colour: Colour) -> None:
    """Paint an upright rectangle, in place."""
    window, x, y = _window(canvas, low_xy - 1, high_xy + 1)
    outside_x = np.maximum(np.float32(low_xy[0]) - x, x - np.float32(high_xy[0]))
    outside_y = np.maximum(np.float32(low_xy[1]) - y, y - np.float32(high_xy[1]))
    blend(canvas[window], edge_coverage(np.maximum(outside_x, outside_y)), np.array(colour, np.float32))


def edge_coverage(distance_pixels: Canvas) -> Canvas:
    """Share of a pixel that lies inside, from the signed distance of its centre."""
    coverage: Canvas = np.clip(np.float32(0.5) - distance_pixels, 0, 1)
    return coverage


def lit(colour: Colour | Paint, x: Canvas, y: Canvas) -> Canvas:
    """``colour`` under light from the upper left, or from where its paint says, [H, W, 3]."""
    paint = colour if isinstance(colour, Paint) else Paint(colour)
    right, down = (np.float32(slope) for slope in paint.slope_xy)
    light = np.clip(1 - np.float32(0.13) * (right * x + down * y), 0.7, 1.2)
    if paint.depth:
        waves = np.sin(2 * np.pi * paint.waves_xy[0] * x) * np.cos(2 * np.pi * paint.waves_xy[1] * y)
        light = light * (1 - np.float32(paint.depth) * (waves < 0))
    shaded: Canvas = np.minimum(light[..., None] * np.array(paint.colour, np.float32), 255)
    if paint.gloss:
        spot = np.exp(-4 * ((x + 0.35 * right) ** 2 + (y + 0.35 * down) ** 2))
        shaded = shaded + np.float32(paint.gloss) * spot[..., None] * (255 - shaded)
    return shaded


def _window(canvas: Canvas, low_xy: FloatArray, high_xy: FloatArray) -> tuple[tuple[slice, slice], Canvas, Canvas]:
    """The part of an image between two corners, and the coordinates of its pixels' centres, which broadcast."""
    height, width = canvas.shape[:2]
    columns = np.clip([np.floor(low_xy[0]), np.ceil(high_xy[0])], 0, width).astype(int)
    rows = np.clip([np.floor(low_xy[1]), np.ceil(high_xy[1])], 0, height).astype(int)
    x = np.arange(*columns, dtype=np.float32)[None, :] + np.float32(0.5)
    y = np.arange(*rows, dtype=np.float32)[:, None] + np.float32(0.5)
    return (slice(*rows), slice(*columns)), x, y
