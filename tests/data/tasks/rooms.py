"""Hand-made and random rooms, and the same measures worked out in another way."""

import itertools

import numpy as np
from scipy.optimize import lsq_linear
from scipy.spatial.transform import Rotation

from remot.structures import CameraTrack, Clip, LayoutBox

INTRINSICS = np.array([[100.0, 0, 100], [0, 100.0, 75], [0, 0, 1]])


def box(name, centre, size=(1.0, 1.0, 1.0), yaw_degrees=0.0, axes=None):
    """A box turned about the vertical, or with the rows of ``axes``."""
    if axes is None:
        axes = Rotation.from_euler("z", yaw_degrees, degrees=True).as_matrix().T
    return LayoutBox(name, np.array(centre, dtype=float), np.array(size, dtype=float), np.asarray(axes, dtype=float))


def pose(place, yaw_degrees, pitch_degrees=0.0):
    """Camera to world [4, 4], world z up: at ``place``, looking ``yaw_degrees`` counter-clockwise from the east."""
    yaw, pitch = np.radians([yaw_degrees, pitch_degrees])
    forward = np.array([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), np.sin(pitch)])
    right = np.array([np.sin(yaw), -np.cos(yaw), 0.0])
    found = np.eye(4)
    found[:3, :3] = np.column_stack([right, np.cross(forward, right), forward])
    found[:3, 3] = place
    return found


def room(layout, poses=None, clip_id="room", intrinsics=INTRINSICS, **kwargs):
    """A clip of a layout, with a camera if there are poses."""
    num_frames = 1 if poses is None else len(poses)
    camera = None if poses is None else CameraTrack(np.stack(poses), intrinsics)
    return Clip(
        clip_id, clip_id, "room", None, np.arange(num_frames) / 2, camera=camera, layout=tuple(layout), **kwargs
    )


def contains(one, points):
    """Which of the points [R, 3] lie in the box or on it, [R] bool."""
    return (np.abs((points - one.centre_metres) @ one.axes.T) <= one.size_metres / 2 + 1e-12).all(axis=1)


def random_box(rng, name="thing", spread=4.0, level=False):
    """A box anywhere in a room, turned anyhow or about the vertical only."""
    axes = Rotation.random(random_state=rng).as_matrix()
    if level:
        axes = Rotation.from_euler("z", rng.uniform(0, 360), degrees=True).as_matrix()
    return LayoutBox(name, rng.uniform(-spread, spread, 3), rng.uniform(0.1, 2.0, 3), axes)


def solved_distance(first, second):
    """Closest points of two boxes as a least-squares problem with bounds: p of the one, q of the other, p - q small."""
    matrix = np.hstack([first.axes.T, -second.axes.T])
    half = np.concatenate([first.size_metres, second.size_metres]) / 2
    found = lsq_linear(matrix, second.centre_metres - first.centre_metres, (-half, half), method="bvls", tol=1e-14)
    return np.sqrt(2 * found.cost)


def sampled_distance(first, second, num=9):
    """Smallest distance between points of a grid in the one and of one in the other: never too small."""
    grids = []
    for one in (first, second):
        ticks = np.array(list(itertools.product(np.linspace(-0.5, 0.5, num), repeat=3)))
        grids.append(one.centre_metres + (ticks * one.size_metres) @ one.axes)
    return np.sqrt(((grids[0][:, None] - grids[1][None]) ** 2).sum(-1).min())
