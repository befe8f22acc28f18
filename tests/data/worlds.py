"""Images of a smooth world taken by cameras whose poses are known, and clips with images for hand-made tracks."""

from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from remot.data.experts import (
    AgentAdvance,
    AgentTurn,
    CameraForward,
    CameraHeight,
    CameraPitch,
    CameraRoll,
    CameraSideways,
    CameraYaw,
    EffectorComposite,
    EffectorDepth,
    EffectorHorizontal,
    EffectorVertical,
    Gripper,
    MaskFrame,
    ObjectDepth,
    ObjectHorizontal,
    ObjectVertical,
)
from remot.structures import AgentTrack, CameraTrack, EffectorTrack, ObjectTrack
from remot.synthetic.rendering.panorama import Panorama, texel_angles
from tests.data.handmade import boxes, clip_of, poses

#: Images of 96 x 64; the principal point is not in the middle.
SIZE = (96, 64)
INTRINSICS = np.array([[70.0, 0, 50], [0, 72.0, 30], [0, 0, 1]])
CENTRED = np.array([[70.0, 0, 48], [0, 72.0, 32], [0, 0, 1]])


def smooth_world():
    """Three colours that vary slowly and differently with azimuth and elevation, so that every turn shows."""
    elevation, azimuth = (np.radians(angles) for angles in texel_angles())
    up, right = np.meshgrid(elevation, azimuth, indexing="ij")
    waves = np.stack([np.sin(5 * right + 1), np.sin(4 * up + 3 * right), np.cos(6 * up - 2 * right)], axis=-1)
    return Panorama((127 + 100 * waves).astype(np.float32))


WORLD = smooth_world()


def photograph(rotation, intrinsics=INTRINSICS, size=SIZE):
    """uint8 [3, H, W] of the world through a pinhole: rays through the middles of the pixels."""
    columns, rows = np.meshgrid(np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5)
    rays = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ np.linalg.inv(intrinsics).T
    seen = WORLD.view(rays.astype(np.float32), rotation)
    return torch.from_numpy(np.clip(seen + 0.5, 0, 255).astype(np.uint8)).permute(2, 0, 1)


def grey_levels(one, other):
    """Mean difference of two images."""
    return (one.float() - other.float()).abs().mean().item()


def with_images(clip, folder, images=None):
    """The clip with lossless images, [3, H, W] each; without ``images`` those its camera takes of the world."""
    folder = folder / clip.clip_id
    folder.mkdir(parents=True)
    if images is None:
        cameras = np.tile(np.eye(4), (clip.num_frames, 1, 1)) if clip.camera is None else clip.camera.camera_to_world
        images = [photograph(pose[:3, :3]) for pose in cameras]
    files = []
    for number, image in enumerate(images):
        files.append(folder / f"{number:04d}.png")
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(files[-1])
    return replace(clip, media=tuple(files))


def moving_camera(clip_id="camera", intrinsics=INTRINSICS, **names):
    """Levels of yaw, of pitch, of roll, and places, one after another."""
    still = [0.0] * 6
    yaw = [0, 15, 30, 0.3, -12, 15.2, *still, *still, *still]
    pitch = [*still, 0, 14, -14, 0.2, 28, 14.1, *still, *still]
    roll = [*still, *still, 0, 20, -20, 0.4, 40, 20.3, *still]
    places = np.zeros((24, 3))
    places[18:] = [(0.3, 0, 0), (0.6, 0.3, 0.3), (0, -0.3, 0.6), (0.31, 0, 0.01), (0.6, 0.6, 0.6), (0, 0, 0.3)]
    track = CameraTrack(poses(yaw, pitch, roll, places), intrinsics)
    return clip_of(24, clip_id, clip_id, camera=track, **names)


def tabletop(clip_id="table", **names):
    """Two arms, two objects of which one recedes, a landmark and an agent before a camera that rests."""
    generator = np.random.default_rng(3)
    levels = np.array([[0.0, 0.3, 0.6], [0.3, 0.0, 0.6]])[:, generator.integers(3, size=(24, 3)).T]  # [2, 3, 24]
    opening = np.array([0.0, 0.5, 1.0])[generator.integers(3, size=24)]
    arms = {
        "left arm": EffectorTrack(levels[0].T, opening),
        "right_arm": EffectorTrack(levels[1].T * [1, -1, 1]),
    }
    centres = np.array([15, 48, 81])[generator.integers(3, size=(24, 2))] * [1, 0.5]
    depths = np.array([1.0, 2.0, 3.5])[generator.integers(3, size=24)]
    objects = {
        "red ball": ObjectTrack(boxes(centres, 8), depths_metres=depths),
        "left_cup": ObjectTrack(boxes(centres[::-1], 8)),
        "tower": ObjectTrack(boxes(centres, 5), is_landmark=True, depths_metres=depths),
    }
    agent = AgentTrack(
        np.array([0.0, 0.7, 1.5])[generator.integers(3, size=(24, 2))],
        30 + np.array([0.0, 20.0, 40.0])[generator.integers(3, size=24)],
    )
    camera = CameraTrack(poses([25.0] * 24), INTRINSICS)
    return clip_of(24, clip_id, clip_id, camera=camera, effectors=arms, objects=objects, agent=agent, **names)


def all_experts():
    """One of each, with thresholds for these clips."""
    return [
        CameraYaw(),
        CameraPitch(),
        CameraRoll(),
        CameraForward(),
        CameraSideways(),
        CameraHeight(),
        EffectorHorizontal(),
        EffectorVertical(),
        EffectorDepth(),
        EffectorComposite(),
        Gripper(),
        AgentTurn(),
        AgentAdvance(),
        ObjectHorizontal(),
        ObjectVertical(),
        ObjectDepth(),
        MaskFrame(),
    ]
