"""Boxes in a room as a pinhole camera sees them: one ray a sample, the nearest box wins.

Notation: K boxes, R rays. World axes in metres with z up; the room reaches from the origin to its size.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from remot.structures import CameraTrack, FloatArray
from remot.synthetic.rendering.canvas import Canvas, Colour

IMAGE_SIZE = 128
FIELD_OF_VIEW_DEGREES = 75.0
FOCAL_PIXELS = IMAGE_SIZE / 2 / np.tan(np.deg2rad(FIELD_OF_VIEW_DEGREES / 2))
#: Pinhole matrix [3, 3].
INTRINSICS = np.array([[FOCAL_PIXELS, 0, IMAGE_SIZE / 2], [0, FOCAL_PIXELS, IMAGE_SIZE / 2], [0, 0, 1]])
#: Rays along each side of a pixel; the mean of their colours is shown.
SAMPLES = 2
#: A thing with fewer visible pixels counts as not visible.
MIN_PIXELS = 12
#: Light on faces across each of a box's own axes.
_FACE_LIGHT = np.array([0.86, 0.68, 1.0], dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Solid:
    """A coloured box that stands on the floor.

    Args:
        kind: What a viewer would call it, such as ``red cabinet``.
        colour: RGB.
        centre_metres: [3] in the world.
        size_metres: [3] along its own axes.
        heading_degrees: Its turn about the vertical.
    """

    kind: str
    colour: Colour
    centre_metres: FloatArray
    size_metres: FloatArray
    heading_degrees: float

    @property
    def axes(self) -> FloatArray:
        """[3, 3] its own axes in rows."""
        cos, sin = np.cos(np.deg2rad(self.heading_degrees)), np.sin(np.deg2rad(self.heading_degrees))
        return np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])

    @property
    def radius_metres(self) -> float:
        """Of the circle about its place on the floor."""
        return float(np.hypot(*self.size_metres[:2])) / 2


@dataclass(frozen=True, eq=False)
class Room:
    """Four walls and a floor with half-metre tiles.

    Args:
        size_metres: [3].
        colours: [4, 3] of the two tiles and of the walls across x and y.
    """

    size_metres: FloatArray
    colours: FloatArray


@dataclass(frozen=True, eq=False)
class TracedFrame:
    """What one frame shows.

    Args:
        image: [H, W, 3].
        numbers: [H, W] of each pixel's middle the number of its solid, -1 for the room.
    """

    image: NDArray[np.uint8]
    numbers: NDArray[np.int64]

    def box_xyxy(self, number: int) -> FloatArray:
        """[4] pixels around what is seen of a solid, NaN if that is too little."""
        rows, columns = np.nonzero(self.numbers == number)
        if len(rows) < MIN_PIXELS:
            return np.full(4, np.nan)
        return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], dtype=np.float64)


def looking(place_metres: FloatArray, azimuth_degrees: float, down_degrees: float) -> FloatArray:
    """Camera-to-world [4, 4] of a level camera: columns are its right, down and forward axes.

    Args:
        place_metres: [3] in the world.
        azimuth_degrees: Where it looks, counter-clockwise from x.
        down_degrees: How far below the horizon.
    """
    turn, tilt = np.deg2rad(azimuth_degrees), np.deg2rad(down_degrees)
    forward = np.array([np.cos(turn) * np.cos(tilt), np.sin(turn) * np.cos(tilt), -np.sin(tilt)])
    right = np.array([np.sin(turn), -np.cos(turn), 0.0])
    pose = np.eye(4)
    pose[:3, :3] = np.stack([right, np.cross(forward, right), forward], axis=1)
    pose[:3, 3] = place_metres
    return pose


def places(camera: CameraTrack, centres_metres: FloatArray) -> FloatArray:
    """[N, 3] points [N, 3] of the world in the axes of the camera, one for each pose."""
    poses = camera.camera_to_world
    return np.asarray(np.einsum("nji,nj->ni", poses[:, :3, :3], centres_metres - poses[:, :3, 3]))


def trace_frame(pose: FloatArray, room: Room, solids: Sequence[Solid]) -> TracedFrame:
    """What a camera sees."""
    middles = (np.arange(IMAGE_SIZE * SAMPLES) + 0.5) / SAMPLES - IMAGE_SIZE / 2
    x, y = np.meshgrid(middles / FOCAL_PIXELS, middles / FOCAL_PIXELS)
    local = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)  # [R, 3] in camera axes, in rows of the image
    eye, rays = pose[:3, 3], local @ pose[:3, :3].T
    colours = _room_colours(eye, rays, room)
    nearest = np.full(len(rays), np.inf)
    numbers = np.full(len(rays), -1, dtype=np.int64)
    for number, solid in enumerate(solids):
        distance, face = _hits(solid.axes @ (eye - solid.centre_metres), rays @ solid.axes.T, solid.size_metres / 2)
        seen = distance < nearest
        nearest[seen], numbers[seen] = distance[seen], number
        colours[seen] = np.array(solid.colour, np.float32) * _FACE_LIGHT[face[seen]][:, None]
    side = IMAGE_SIZE * SAMPLES
    fine = colours.reshape(IMAGE_SIZE, SAMPLES, IMAGE_SIZE, SAMPLES, 3)
    image = np.clip(fine.mean(axis=(1, 3)) + 0.5, 0, 255).astype(np.uint8)
    return TracedFrame(image, numbers.reshape(side, side)[::SAMPLES, ::SAMPLES])


def _hits(eye: FloatArray, rays: FloatArray, half: FloatArray) -> tuple[FloatArray, NDArray[np.int64]]:
    """[R] distance to a box about the origin, infinite where it is missed, and the axis of the face that is hit."""
    with np.errstate(divide="ignore", invalid="ignore"):
        one, other = (-half - eye) / rays, (half - eye) / rays
    enter, leave = np.minimum(one, other), np.maximum(one, other)
    face = enter.argmax(axis=1)
    distance = enter.max(axis=1)
    missed = (distance > leave.min(axis=1)) | (distance <= 0)
    return np.where(missed, np.inf, distance), face


def _room_colours(eye: FloatArray, rays: FloatArray, room: Room) -> Canvas:
    with np.errstate(divide="ignore", invalid="ignore"):
        leave = np.maximum(-eye / rays, (room.size_metres - eye) / rays)
    face = leave.argmin(axis=1)
    points = eye + rays * leave.min(axis=1)[:, None]
    tile = np.floor(points[:, :2] * 2).sum(axis=1).astype(np.int64) % 2
    surface = np.where(face == 2, tile, face + 2)
    ceiling = (face == 2) & (rays[:, 2] > 0)
    colours = room.colours[surface]
    colours[ceiling] = 190.0
    colours[face < 2] *= (0.8 + 0.2 * points[face < 2, 2:] / room.size_metres[2]).clip(0.8, 1.0)
    return np.asarray(colours, dtype=np.float32)
