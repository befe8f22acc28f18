"""Muted backgrounds: never as saturated as the things that matter in a scene."""

import colorsys

import numpy as np

from remot.structures import FloatArray
from remot.synthetic.rendering.canvas import Canvas


def muted_colour(generator: np.random.Generator, low: float = 70, high: float = 170) -> FloatArray:
    """A weakly saturated colour [3] of brightness ``low`` to ``high``."""
    rgb = colorsys.hsv_to_rgb(generator.random(), generator.uniform(0.05, 0.28), 1.0)
    return np.array(rgb) * generator.uniform(low, high)


def value_noise(generator: np.random.Generator, height: int, width: int, cells: int) -> Canvas:
    """Smooth noise [height, width] in [-1, 1] with about ``cells`` bumps along each side."""
    grid = generator.uniform(-1, 1, (cells + 2, cells + 2)).astype(np.float32)
    rows, columns = np.linspace(0, cells, height, dtype=np.float32), np.linspace(0, cells, width, dtype=np.float32)
    return _blend_rows(_blend_rows(grid, rows).T, columns).T


def _blend_rows(grid: Canvas, positions: Canvas) -> Canvas:
    index = positions.astype(np.int64)
    share = (positions - index)[:, None]
    share = share * share * (3 - 2 * share)
    blended: Canvas = grid[index] * (1 - share) + grid[index + 1] * share
    return blended


def tabletop(generator: np.random.Generator, size: int) -> Canvas:
    """A still background [size, size, 3]: cloth, planks, tiles or a table before a wall."""
    base, other = muted_colour(generator), muted_colour(generator)
    across = np.linspace(0, 1, size, dtype=np.float32)
    canvas = np.broadcast_to(base.astype(np.float32), (size, size, 3)).copy()
    pattern = _pattern(generator, across)
    canvas += (pattern[..., None] * (other - base)).astype(np.float32)
    if generator.random() < 0.5:
        canvas = canvas.transpose(1, 0, 2).copy()
    canvas += value_noise(generator, size, size, int(generator.integers(2, 7)))[..., None] * 12
    bounded: Canvas = np.clip(canvas, 30, 205)
    return bounded


def _pattern(generator: np.random.Generator, across: Canvas) -> Canvas:
    """Share [S, S] of the second colour: planks, tiles, a wall behind the table, or a plain slope."""
    kind = ("planks", "tiles", "wall", "plain")[int(generator.integers(4))]
    if kind == "tiles":
        cells = (across * int(generator.integers(3, 7))).astype(int)
        squares: Canvas = ((cells[:, None] + cells[None, :]) % 2).astype(np.float32)
        return squares * np.float32(generator.uniform(0.3, 0.8))
    if kind == "plain":
        down, right = np.float32(generator.uniform(0, 1)), np.float32(generator.uniform(0, 1))
        return across[:, None] * down + across[None, :] * right
    if kind == "planks":
        shades = generator.uniform(0.2, 0.8, int(generator.integers(4, 9))).astype(np.float32)
        rows = shades[np.minimum((across * len(shades)).astype(int), len(shades) - 1)]
    else:
        rows = (across > generator.uniform(0.2, 0.6)).astype(np.float32)
    return np.broadcast_to(rows[:, None], (len(across), len(across)))
