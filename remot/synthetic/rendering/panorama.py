"""A far-away world around the camera: a texture over azimuth and elevation, and views of it through a pinhole.

Directions are unit vectors in OpenCV axes of the world (x right, y down, z ahead); azimuth grows to the right and
elevation upwards.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from remot.structures import FloatArray
from remot.synthetic.rendering.canvas import Canvas, Colour, Paint, Shape, blend, edge_coverage, lit
from remot.synthetic.rendering.texture import muted_colour, value_noise

TEXELS_PER_DEGREE = 2.2
MAX_AZIMUTH_DEGREES = 88.0
MAX_ELEVATION_DEGREES = 78.0


def direction_of(azimuth_degrees: float, elevation_degrees: float) -> FloatArray:
    """Unit vector [3] that points there."""
    azimuth, elevation = np.deg2rad(azimuth_degrees), np.deg2rad(elevation_degrees)
    return np.array([np.sin(azimuth) * np.cos(elevation), -np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])


def frame_towards(direction: FloatArray) -> FloatArray:
    """Rotation [3, 3] whose columns are right, down and ahead of a camera that looks along ``direction``."""
    right = np.cross([0.0, 1.0, 0.0], direction)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(direction, right), direction], axis=1)


@dataclass(eq=False)
class Panorama:
    """The texture; paint first, look afterwards.

    Args:
        texture: [rows, columns, 3], values 0 to 255; row 0 is the highest elevation, column 0 the leftmost azimuth.
    """

    texture: Canvas

    @cached_property
    def directions(self) -> Canvas:
        """[rows, columns, 3] where each texel lies."""
        elevation, azimuth = (np.deg2rad(angles).astype(np.float32) for angles in texel_angles())
        across = np.stack([np.sin(azimuth), np.zeros_like(azimuth), np.cos(azimuth)], axis=-1)
        upright = np.array([0, -1, 0], np.float32)
        parts = np.cos(elevation)[:, None, None] * across[None] + np.sin(elevation)[:, None, None] * upright
        return np.asarray(parts, dtype=np.float32)

    def paint(self, shape: Shape, direction: FloatArray, radius_degrees: float, colour: Colour | Paint) -> None:
        """Paint a flat shape that faces the camera, centred on ``direction``."""
        right, down, ahead = (self.directions @ axis.astype(np.float32) for axis in frame_towards(direction).T)
        radius = np.tan(np.deg2rad(radius_degrees))
        depth = np.maximum(ahead, 0.05) * np.float32(radius)
        x, y = right / depth, down / depth
        distance_texels = shape.distance(x, y) * np.float32(radius_degrees * TEXELS_PER_DEGREE)
        blend(self.texture, edge_coverage(distance_texels) * (ahead > 0.3), lit(colour, x, y))

    def view(self, rays: Canvas, rotation: FloatArray) -> Canvas:
        """What a camera sees.

        Args:
            rays: [H, W, 3] through the pixels' centres, in camera axes.
            rotation: [3, 3] from camera to world axes.

        Returns:
            [H, W, 3] values 0 to 255.
        """
        x, y, z = np.moveaxis(rays @ rotation.T.astype(np.float32), -1, 0)
        azimuth, elevation = np.rad2deg(np.arctan2(x, z)), np.rad2deg(np.arctan2(-y, np.hypot(x, z)))
        columns = (azimuth + MAX_AZIMUTH_DEGREES) * TEXELS_PER_DEGREE
        rows = (MAX_ELEVATION_DEGREES - elevation) * TEXELS_PER_DEGREE
        # read at fractional rows and columns; positions outside read the border
        rows = np.clip(rows, 0, self.texture.shape[0] - 1.001).astype(np.float32)
        columns = np.clip(columns, 0, self.texture.shape[1] - 1.001).astype(np.float32)
        row, column = rows.astype(np.intp), columns.astype(np.intp)
        down, right = (rows - row)[..., None], (columns - column)[..., None]
        upper = self.texture[row, column] * (1 - right) + self.texture[row, column + 1] * right
        lower = self.texture[row + 1, column] * (1 - right) + self.texture[row + 1, column + 1] * right
        between: Canvas = upper * (1 - down) + lower * down
        return between


def texel_angles() -> tuple[FloatArray, FloatArray]:
    """Elevations of the texture's rows and azimuths of its columns, in degrees."""
    rows, columns = (int(2 * limit * TEXELS_PER_DEGREE) + 1 for limit in (MAX_ELEVATION_DEGREES, MAX_AZIMUTH_DEGREES))
    return (
        MAX_ELEVATION_DEGREES - np.arange(rows) / TEXELS_PER_DEGREE,
        np.arange(columns) / TEXELS_PER_DEGREE - MAX_AZIMUTH_DEGREES,
    )


def draw_panorama(generator: np.random.Generator) -> Panorama:
    """A muted landscape: sky with clouds, hills or buildings on the horizon, patterned ground."""
    elevation, azimuth = texel_angles()
    shape = (len(elevation), len(azimuth))
    horizon = float(generator.uniform(-8, 4))
    sky = _fade(muted_colour(generator, 130, 210), muted_colour(generator, 110, 190), (elevation - horizon) / 70)
    ground = _fade(muted_colour(generator, 60, 130), muted_colour(generator, 50, 110), (horizon - elevation) / 60)
    is_ground = (elevation < horizon)[:, None, None]
    texture = np.broadcast_to(np.where(is_ground, ground, sky), (*shape, 3)).astype(np.float32)
    texture += value_noise(generator, *shape, int(generator.integers(5, 12)))[..., None] * 16
    # tiles on the ground, which get smaller towards the horizon
    above = elevation - horizon
    rings = np.log(1 / np.tan(np.deg2rad(np.clip(-above, 6, 89)))) * generator.uniform(1.5, 3.0)
    sectors = np.floor(azimuth / generator.uniform(9, 20)).astype(int)
    signs = ((np.floor(rings).astype(int)[:, None] + sectors[None, :]) % 2) * 2 - 1
    tiles = signs * (above < -3)[:, None] * generator.uniform(4, 16)
    texture += tiles.astype(np.float32)[..., None]
    for _ in range(int(generator.integers(1, 3))):
        _paint_hills(generator, texture, above, azimuth)
    if generator.random() < 0.6:
        _paint_buildings(generator, texture, above, azimuth)
    return Panorama(np.clip(texture, 25, 225))


def _fade(near: FloatArray, far: FloatArray, share: FloatArray) -> FloatArray:
    """[rows, 1, 3] from ``near`` to ``far`` as ``share`` [rows] goes from 0 to 1."""
    share = np.clip(share, 0, 1)[:, None, None]
    return near * (1 - share) + far * share


def _paint_hills(generator: np.random.Generator, texture: Canvas, above: FloatArray, azimuth: FloatArray) -> None:
    waves = [
        generator.uniform(0.5, 3.5) * np.sin(np.deg2rad(azimuth) * generator.uniform(1.5, 9) + generator.uniform(0, 6))
        for _ in range(4)
    ]
    height = generator.uniform(3, 9) + np.sum(waves, axis=0)
    inside = np.minimum(above[:, None], height[None, :] - above[:, None]) * TEXELS_PER_DEGREE
    blend(texture, edge_coverage(-inside.astype(np.float32)), muted_colour(generator, 60, 150).astype(np.float32))


def _paint_buildings(generator: np.random.Generator, texture: Canvas, above: FloatArray, azimuth: FloatArray) -> None:
    for middle in generator.uniform(-80, 80, int(generator.integers(5, 14))):
        width, height, foot = generator.uniform(4, 12), generator.uniform(5, 22), generator.uniform(-4, 0)
        inside = np.minimum((width / 2 - np.abs(azimuth - middle))[None, :], (height - above)[:, None])
        inside = np.minimum(inside, (above - foot)[:, None]) * TEXELS_PER_DEGREE
        shade = muted_colour(generator, 70, 190).astype(np.float32)
        windows = (np.sin(azimuth * 2.2)[None, :] > 0.2) & (np.sin(above * 2.2)[:, None] > 0.2)
        colour = shade * (1 - 0.25 * windows.astype(np.float32)[..., None])
        blend(texture, edge_coverage(-inside.astype(np.float32)), colour)
