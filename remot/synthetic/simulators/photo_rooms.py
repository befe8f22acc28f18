"""Clips of a camera that turns and goes about in rooms papered with photographs.

The images have the statistics of real ones, which no texture of a game or a renderer has, and the poses are exact all
the same. Axes of the world are those of OpenCV (x right, y down, z ahead), in metres.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from remot.data.media.images import IMAGE_SUFFIXES, read_image
from remot.errors import ConfigError
from remot.files import files_in, number_order
from remot.seeding import numpy_generator
from remot.structures import CameraTrack, FloatArray
from remot.synthetic.rendering.camera import turned
from remot.synthetic.rendering.canvas import Canvas
from remot.synthetic.rendering.profile import level_profile
from remot.synthetic.rendering.scene import FPS, NUM_FRAMES, named_clip
from remot.synthetic.rendering.texture import value_noise
from remot.synthetic.rendering.varied import photographed
from remot.synthetic.simulators.common import Recording

SOURCE, LICENCE = "photographs given to remot record photos", "that of the photographs"
#: Photographs of a room: those of its walls, then those of the things that stand in it.
PHOTOS_PER_ROOM, NUM_WALL_PHOTOS = 6, 3
#: Pixels of a photograph along its longer side: about as many as an image shows of it.
TEXELS = 192
MAX_CARDS = 5
#: Width and height of the images in pixels, each equally often.
IMAGE_SIZES = ((128, 96), (128, 72), (112, 112))
FIELDS_OF_VIEW_DEGREES = (45.0, 80.0)
#: Shares of the clips in which the camera does each; ``around`` goes to the side as it turns, around a thing ahead.
MOTION_SHARES = {"yaw": 0.85, "pitch": 0.35, "ahead": 0.35, "aside": 0.25, "around": 0.35}
#: How far the camera turns to either side of the middle, drawn by its logarithm.
YAWS_DEGREES, PITCHES_DEGREES = (5.0, 32.0), (5.0, 20.0)
#: The same of one who walks, who also tilts the camera in a share of the clips.
WALKING_YAWS_DEGREES, WALKING_PITCH_SHARE = (4.0, 25.0), 0.35
#: Directions of a walk, to the right of what the camera looks at first, each equally often.
WALKS_DEGREES = (0.0, 0.0, 90.0, -90.0, 45.0, -45.0, 180.0)


@dataclass(frozen=True, eq=False)
class Card:
    """A flat thing that stands upright in a room.

    Args:
        texture: [1, 4, H, W] colours from 0 to 255, and how opaque it is from 0 to 1.
        centre: [3] metres.
        right: [3] unit vector along its width.
        half_size: Half its width and height in metres.
    """

    texture: Tensor
    centre: FloatArray
    right: FloatArray
    half_size: tuple[float, float]


@dataclass(frozen=True, eq=False)
class PhotoRoom:
    """A box with photographs on its walls, and things in front of them.

    Args:
        half_size: [3] metres from the middle to the walls.
        walls: For each axis the texture [1, 3, H, W] of the two walls across it, repeated in mirror images.
        photo_metres: Width and height of a photograph on a wall.
        cards: What stands in the room.
    """

    half_size: FloatArray
    walls: Sequence[Tensor]
    photo_metres: float
    cards: Sequence[Card] = ()


def photos_in(folder: Path) -> list[Path]:
    """The images of a folder in the order of their numbers.

    Raises:
        ConfigError: If there are too few for a room.
    """
    found = files_in(folder, IMAGE_SUFFIXES) if folder.is_dir() else []
    photos = sorted(found, key=lambda path: number_order(path.name))
    if len(photos) < PHOTOS_PER_ROOM:
        msg = f"photos: {folder} holds {len(photos)} images, {PHOTOS_PER_ROOM} are needed for a room"
        raise ConfigError(msg)
    return photos


def record_photo_room(photos: Sequence[Path], seed: int, index: int, *, walks: bool = False) -> Recording:
    """Clip number ``index``; the same arguments always give the same.

    Photographs are dealt into rooms, and all clips of a room are one scene, so that no two scenes share a photograph.

    Args:
        photos: To paper the rooms with.
        seed: Of all choices.
        index: Number of the clip; the rooms take turns.
        walks: Let the camera go on through the room all the time, whether it turns or not.

    Raises:
        DecodeError: If a photograph cannot be read.
    """
    number = index % (len(photos) // PHOTOS_PER_ROOM)
    dealt = numpy_generator(seed, "photographs").permutation(len(photos))[number * PHOTOS_PER_ROOM :]
    generator = numpy_generator(seed, "photo walk" if walks else "photo clip", index)
    room = _draw_room(generator, [_texture(photos[place]) for place in dealt[:PHOTOS_PER_ROOM]])
    width, height = IMAGE_SIZES[int(generator.integers(len(IMAGE_SIZES)))]
    focal = width / 2 / np.tan(np.deg2rad(generator.uniform(*FIELDS_OF_VIEW_DEGREES) / 2))
    intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    reach_metres = float(room.half_size[[0, 2]].min()) * 0.3
    poses = _draw_walk(generator, reach_metres) if walks else _draw_poses(generator, reach_metres)
    views = np.stack([view_of(room, intrinsics, (width, height), pose) for pose in poses])
    frames = photographed(np.clip(views + 0.5, 0, 255).astype(np.uint8), generator)
    camera = CameraTrack(poses, intrinsics)
    name = "photo-walk" if walks else "photos"
    clip = named_clip(f"{name}-{seed}-{index}", "camera", np.arange(NUM_FRAMES) / FPS, camera=camera)
    return Recording(replace(clip, scene_id=f"photos-{seed}-room-{number}"), frames, FPS)


def view_of(room: PhotoRoom, intrinsics: FloatArray, size: tuple[int, int], pose: FloatArray) -> Canvas:
    """What a camera in a room sees.

    Args:
        room: Around the camera.
        intrinsics: Pinhole matrix [3, 3].
        size: Width and height in pixels.
        pose: [4, 4] from camera to world.

    Returns:
        [H, W, 3] values 0 to 255.
    """
    pixels = np.stack([*np.meshgrid(*(np.arange(side) + 0.5 for side in size)), np.ones(size[::-1])], axis=-1)
    rays = (pixels @ (pose[:3, :3] @ np.linalg.inv(intrinsics)).T).astype(np.float32)  # [H, W, 3] in the world
    start = pose[:3, 3].astype(np.float32)
    # the wall that a ray ends at is the nearest of the three ahead of it
    walls = (np.sign(rays) * room.half_size.astype(np.float32) - start) / _not_zero(rays)
    nearest, depth = walls.argmin(axis=-1), walls.min(axis=-1)
    places = (start + depth[..., None] * rays) / np.float32(room.photo_metres / 2)
    canvas = np.zeros_like(rays)
    for across, (right, down) in enumerate(((2, 1), (0, 2), (0, 1))):
        seen = _sampled(room.walls[across], places[..., right], places[..., down])
        canvas = np.where((nearest == across)[..., None], seen, canvas)
    for card in sorted(room.cards, key=lambda card: -float(np.linalg.norm(card.centre - start))):
        canvas = _with_card(canvas, card, rays, start, depth)
    return canvas


def _with_card(canvas: Canvas, card: Card, rays: Canvas, start: Canvas, depth: Canvas) -> Canvas:
    """[H, W, 3] with a card where it is nearer than the wall at ``depth`` [H, W]."""
    ahead = np.cross(card.right, [0.0, 1.0, 0.0]).astype(np.float32)
    reach = np.float32((card.centre - start) @ ahead) / _not_zero(rays @ ahead)
    points = start + reach[..., None] * rays - card.centre.astype(np.float32)
    sides = np.stack([points @ card.right.astype(np.float32), points[..., 1]])
    x, y = sides / np.array(card.half_size, np.float32)[:, None, None]
    inside = (np.abs(x) < 1) & (np.abs(y) < 1) & (reach > 0.1) & (reach < depth)
    seen = _sampled(card.texture, x, y)
    opaque = (seen[..., 3] * inside)[..., None]
    covered: Canvas = canvas + opaque * (seen[..., :3] - canvas)
    return covered


def _not_zero(values: Canvas) -> Canvas:
    return np.where(np.abs(values) < 1e-6, np.float32(1e-6), values)


def _sampled(texture: Tensor, x: Canvas, y: Canvas) -> Canvas:
    """[H, W, C] of a texture [1, C, h, w] at places that are -1 to 1 within it, mirrored beyond."""
    places = torch.from_numpy(np.stack([x, y], axis=-1).astype(np.float32))[None]  # [1, H, W, 2]
    seen = grid_sample(texture, places, padding_mode="reflection", align_corners=False)[0]
    sampled: Canvas = seen.permute(1, 2, 0).numpy()
    return sampled


def _texture(photo: Path) -> Tensor:
    """[1, 3, H, W] of a photograph, :data:`TEXELS` along its longer side."""
    image = read_image(photo)[None].float()
    sides = [max(side * TEXELS // max(image.shape[-2:]), 1) for side in image.shape[-2:]]
    return interpolate(image, sides, mode="bilinear", antialias=True, align_corners=False)


def _draw_room(generator: np.random.Generator, textures: Sequence[Tensor]) -> PhotoRoom:
    half_size = np.array([generator.uniform(2, 6), generator.uniform(1.2, 3), generator.uniform(2, 6)])
    things = textures[NUM_WALL_PHOTOS:]
    cards = [
        _draw_card(generator, things[int(generator.integers(len(things)))], half_size)
        for _ in range(int(generator.integers(MAX_CARDS + 1)))
    ]
    walls = [textures[place] for place in generator.permutation(NUM_WALL_PHOTOS)]
    return PhotoRoom(half_size, walls, float(generator.uniform(3, 8)), cards)


def _draw_card(generator: np.random.Generator, texture: Tensor, half_size: FloatArray) -> Card:
    height, width = texture.shape[-2:]
    opaque = np.ones((height, width), np.float32)
    if generator.random() >= 0.5:  # an outline as irregular as a real thing's
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        inside = 0.8 + 0.35 * value_noise(generator, height, width, 3) - np.hypot(x, y)
        opaque = np.clip(inside * 12, 0, 1).astype(np.float32)
    angle = generator.uniform(0, 2 * np.pi)
    ahead, right = (np.array([np.sin(turn), 0.0, np.cos(turn)]) for turn in (angle, angle + np.pi / 2))
    centre = generator.uniform(0.35, 0.8) * ahead * half_size + [0, generator.uniform(-0.4, 0.6), 0]
    half_width = float(generator.uniform(0.25, 0.9))
    with_opacity = torch.cat([texture, torch.from_numpy(opaque)[None, None]], dim=1)
    return Card(with_opacity, centre, right, (half_width, half_width * height / width))


def _draw_poses(generator: np.random.Generator, reach_metres: float) -> FloatArray:
    """[N, 4, 4] from camera to world: it looks in any direction at first, and stays within twice the reach."""
    used = {name: float(generator.random() < share) for name, share in MOTION_SHARES.items()}
    yaw, pitch = (
        _draw_path(generator, float(np.exp(generator.uniform(*np.log(spans))))) * used[name]
        for name, spans in (("yaw", YAWS_DEGREES), ("pitch", PITCHES_DEGREES))
    )
    ahead, aside = (
        _draw_path(generator, float(generator.uniform(0.2, 1.0)) * reach_metres) * used[name]
        for name in ("ahead", "aside")
    )
    # around something ahead, to the left while it turns right; or, in a third of these clips, with the turn
    away = generator.choice([1.0, 1.0, -1.0]) * generator.uniform(0.5, 2.5) * used["around"]
    aside = np.clip(aside - away * np.sin(np.deg2rad(yaw)), -2 * reach_metres, 2 * reach_metres)
    return _posed(generator, yaw, pitch, np.stack([aside, np.zeros(NUM_FRAMES), ahead], axis=-1))


def _draw_walk(generator: np.random.Generator, reach_metres: float) -> FloatArray:
    """[N, 4, 4] from camera to world of a camera that goes on, straight or as it turns, within twice the reach."""
    yaw = _draw_path(generator, float(np.exp(generator.uniform(*np.log(WALKING_YAWS_DEGREES)))))
    tilts = float(generator.random() < WALKING_PITCH_SHARE)
    pitch = _draw_path(generator, float(np.exp(generator.uniform(*np.log(PITCHES_DEGREES))))) * tilts
    follows = float(generator.random() < 0.4)
    bearings = np.deg2rad(generator.choice(WALKS_DEGREES) + generator.normal(0, 15) + follows * yaw)
    speeds = 1 + 0.6 * _draw_path(generator, 1.0)
    places = np.cumsum(speeds[:, None] * np.stack([np.sin(bearings), 0 * bearings, np.cos(bearings)], axis=-1), axis=0)
    places -= (places.max(axis=0) + places.min(axis=0)) / 2
    furthest = np.linalg.norm(places, axis=-1).max()
    return _posed(generator, yaw, pitch, places / furthest * generator.uniform(0.6, 2.0) * reach_metres)


def _posed(generator: np.random.Generator, yaw: FloatArray, pitch: FloatArray, places: FloatArray) -> FloatArray:
    """[N, 4, 4] from camera to world, in any direction.

    Args:
        generator: Draws where the camera looks at first, and how it rolls.
        yaw: [N] degrees to the right of there.
        pitch: [N] degrees up.
        places: [N, 3] metres to the right, down and ahead, as seen at first.
    """
    heading, tilt = generator.uniform(-180, 180), generator.uniform(-12, 6)
    roll = _draw_path(generator, float(generator.uniform(0.3, 2.0))) * float(generator.random() < 0.4)
    poses = np.tile(np.eye(4), (NUM_FRAMES, 1, 1))
    for frame, pose in enumerate(poses):
        pose[:3, :3] = turned(heading + yaw[frame], tilt + pitch[frame]) @ _rolled(roll[frame])
        pose[:3, 3] = turned(heading, 0.0) @ places[frame]
    return poses


def _draw_path(generator: np.random.Generator, span: float) -> FloatArray:
    """[N] values in [-span, span] that rest on a few levels, or never rest."""
    if generator.random() < 0.5:
        return level_profile(generator, NUM_FRAMES, -span, span, 0.62 * span)
    time = np.linspace(0, 2 * np.pi, NUM_FRAMES)
    waves = [
        share * np.sin(generator.uniform(0.25, 1.3) * time + generator.uniform(0, 2 * np.pi)) for share in (0.65, 0.35)
    ]
    path: FloatArray = span * np.sum(waves, axis=0)
    return path


def _rolled(degrees: float) -> FloatArray:
    """Rotation [3, 3] about the optical axis."""
    sine, cosine = np.sin(np.deg2rad(degrees)), np.cos(np.deg2rad(degrees))
    return np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]])
