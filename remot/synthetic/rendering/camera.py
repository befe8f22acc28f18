"""Clips of a camera that turns in a far-away world with one landmark."""

from dataclasses import dataclass

import numpy as np

from remot.structures import CameraTrack, FloatArray, ObjectTrack
from remot.synthetic.rendering.canvas import SHAPES, Canvas, Colour, Paint, Shape, paint_shape, to_image
from remot.synthetic.rendering.panorama import Panorama, direction_of, draw_panorama, frame_towards
from remot.synthetic.rendering.profile import level_profile, wander
from remot.synthetic.rendering.scene import (
    IMAGE_SIZE,
    NUM_FRAMES,
    PLAIN,
    Palette,
    RenderedScene,
    draw_colours,
    draw_shape,
    grain,
)

FIELD_OF_VIEW_DEGREES = 70.0
FOCAL_PIXELS = IMAGE_SIZE / 2 / np.tan(np.deg2rad(FIELD_OF_VIEW_DEGREES / 2))
#: Pinhole matrix [3, 3] of every camera clip.
INTRINSICS = np.array([[FOCAL_PIXELS, 0, IMAGE_SIZE / 2], [0, FOCAL_PIXELS, IMAGE_SIZE / 2], [0, 0, 1]])
#: The controlled angle stays within this distance of the middle.
MAX_TURN_DEGREES = 23.5
#: Smallest distance between two levels of the controlled angle.
LEVEL_GAP_DEGREES = 14.5
WANDER_DEGREES = 1.5
#: Angle between the landmark and everything else that is painted.
CLEARANCE_DEGREES = 19.0
NUM_OUTLINE_POINTS = 1024


@dataclass(frozen=True)
class Landmark:
    """A conspicuous thing that stands still in the world."""

    name: str
    shape: Shape
    azimuth_degrees: float
    elevation_degrees: float
    radius_degrees: float

    @property
    def direction(self) -> FloatArray:
        """Unit vector [3] in world axes."""
        return direction_of(self.azimuth_degrees, self.elevation_degrees)

    def boxes_xyxy(self, rotations: FloatArray) -> FloatArray:
        """[N, 4] pixels, from camera-to-world rotations [N, 3, 3]."""
        turn = np.linspace(0, 2 * np.pi, NUM_OUTLINE_POINTS, dtype=np.float32)
        x, y = np.cos(turn), np.sin(turn)
        scales = np.linspace(0.2, 1.5, 200, dtype=np.float32)[:, None]
        reach = np.where(self.shape.distance(scales * x, scales * y) <= 0, scales, 0).max(axis=0)
        plane = np.tan(np.deg2rad(self.radius_degrees)) * (reach * np.stack([x, y]))
        local = np.concatenate([plane, np.ones((1, plane.shape[1]))])
        outline = (frame_towards(self.direction) @ local).T  # [points, 3] directions along the edge
        pixels = project(outline @ rotations)  # [N, points, 2]
        return np.concatenate([pixels.min(axis=1), pixels.max(axis=1)], axis=1)


def project(camera_directions: FloatArray) -> FloatArray:
    """Pixels [..., 2] at which directions [..., 3] in camera axes are seen."""
    plane = camera_directions[..., :2] / camera_directions[..., 2:]
    return np.asarray(plane * FOCAL_PIXELS + IMAGE_SIZE / 2)


def turned(yaw_degrees: float, pitch_degrees: float) -> FloatArray:
    """Camera-to-world rotation [3, 3] of a camera turned right by the yaw, then up by the pitch."""
    yaw, pitch = np.deg2rad(yaw_degrees), np.deg2rad(pitch_degrees)
    about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    return np.asarray(about_y @ about_x)


def render_camera_scene(generator: np.random.Generator, palette: Palette = PLAIN, *, is_pitch: bool) -> RenderedScene:
    """A camera that turns to the sides or up and down while a landmark stays in view."""
    turn = level_profile(generator, NUM_FRAMES, -MAX_TURN_DEGREES, MAX_TURN_DEGREES, LEVEL_GAP_DEGREES)
    other = wander(generator, NUM_FRAMES, WANDER_DEGREES)
    yaw, pitch = (other, turn) if is_pitch else (turn, other)
    rotations = np.stack([turned(*angles) for angles in zip(yaw, pitch, strict=True)])
    colours = draw_colours(generator, palette)
    landmark = _draw_landmark(generator, colours.pop(), turn, is_pitch=is_pitch)
    panorama = draw_panorama(generator)
    if palette.grain:
        panorama.texture += grain(generator, palette, *panorama.texture.shape[:2])
    _paint_bystanders(generator, panorama, landmark, colours, palette)
    paint = palette.paints[landmark.name.split()[0]]
    panorama.paint(landmark.shape, landmark.direction, landmark.radius_degrees, paint)
    steps = (np.arange(IMAGE_SIZE) + 0.5 - IMAGE_SIZE / 2) / FOCAL_PIXELS
    x, y = np.meshgrid(steps, steps)
    rays = np.stack([x, y, np.ones_like(x)], axis=-1).astype(np.float32)  # [H, W, 3] through the pixels' centres
    views = [panorama.view(rays, rotation) for rotation in rotations]
    if generator.random() < 0.5:
        _paint_flyer(generator, views, rotations, landmark, palette.paints[colours.pop()])
    track = ObjectTrack(landmark.boxes_xyxy(rotations), is_landmark=True)
    frames = np.stack([to_image(view) for view in views])
    poses = np.tile(np.eye(4), (len(rotations), 1, 1))  # the world's own heading and origin mean nothing
    poses[:, :3, :3] = turned(float(generator.uniform(-180, 180)), 0.0) @ rotations
    poses[:, :3, 3] = generator.uniform(-3, 3, 3)
    return RenderedScene(frames, CameraTrack(poses, INTRINSICS), objects={landmark.name: track})


def _draw_landmark(generator: np.random.Generator, colour: str, turn: FloatArray, *, is_pitch: bool) -> Landmark:
    """A landmark that stays within the image for every angle in ``turn``."""
    radius = float(generator.uniform(6.6, 7.6))
    shape = draw_shape(generator)
    reach = radius * max(SHAPES[shape].half_width, SHAPES[shape].half_height) + WANDER_DEGREES
    room = FIELD_OF_VIEW_DEGREES / 2 - reach - 0.5
    middle, half_range = (turn.max() + turn.min()) / 2, (turn.max() - turn.min()) / 2
    slack = max(room - half_range, 0.0)  # a wide turn and a large landmark leave no choice of where it stands
    along = float(generator.uniform(middle - slack, middle + slack))
    aside = float(generator.uniform(-14, 14))
    azimuth, elevation = (aside, along) if is_pitch else (along, aside)
    return Landmark(f"{colour} {shape}", SHAPES[shape], azimuth, elevation, radius)


def _paint_bystanders(
    generator: np.random.Generator, panorama: Panorama, landmark: Landmark, colours: list[str], palette: Palette
) -> None:
    """Two to four things that stand still elsewhere; their colours are taken from ``colours``."""
    for _ in range(int(generator.integers(2, 5))):
        azimuth, elevation = generator.uniform(-55, 55), generator.uniform(-40, 40)
        direction = direction_of(azimuth, elevation)
        if direction @ landmark.direction < np.cos(np.deg2rad(CLEARANCE_DEGREES)):
            shape = SHAPES[draw_shape(generator)]
            panorama.paint(shape, direction, float(generator.uniform(4, 6.5)), palette.paints[colours.pop()])


def _paint_flyer(
    generator: np.random.Generator,
    views: list[Canvas],
    rotations: FloatArray,
    landmark: Landmark,
    paint: Colour | Paint,
) -> None:
    """Something small that flies about on its own, above or below the landmark."""
    shape = SHAPES[draw_shape(generator)]
    side = -1 if landmark.elevation_degrees > 0 else 1
    elevation = landmark.elevation_degrees + side * CLEARANCE_DEGREES
    phase, swing = generator.uniform(0, 2 * np.pi), generator.uniform(10, 35)
    for frame, (view, rotation) in enumerate(zip(views, rotations, strict=True)):
        azimuth = landmark.azimuth_degrees + swing * np.sin(phase + frame * 0.4)
        seen = direction_of(azimuth, elevation) @ rotation
        if seen[2] > 0.3:
            paint_shape(view, shape, project(seen), 6.0, paint)
