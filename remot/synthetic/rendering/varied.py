"""Materials, light and camera that differ from clip to clip, and a camera that goes about in a room."""

import colorsys
from collections import Counter
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from remot.structures import CameraTrack, ObjectTrack
from remot.synthetic.rendering import tracing
from remot.synthetic.rendering.canvas import COLOURS, Colour, Paint
from remot.synthetic.rendering.profile import level_profile
from remot.synthetic.rendering.rooms import CAMERA_HEIGHT, draw_room, ring_of
from remot.synthetic.rendering.scene import NUM_FRAMES, PLAIN, Palette, RenderedScene
from remot.synthetic.rendering.texture import value_noise

#: How far the camera turns to either side and goes in each direction, and the least between two levels of each.
MAX_TURN_DEGREES, TURN_GAP_DEGREES = 24.0, 14.5
MAX_WAY_METRES, WAY_GAP_METRES = 0.8, 0.45
#: Shares of the roaming clips in which the camera turns, goes ahead or back, and to the sides.
ROAMING_SHARES = (0.8, 0.7, 0.7)


def draw_palette(generator: np.random.Generator) -> Palette:
    """Colours near the plain ones, matte, glossy or patterned, under one light; the main thing has any of them."""
    angle, strength = generator.uniform(0, 2 * np.pi), generator.uniform(0.2, 2.0)
    slope = (float(strength * np.cos(angle)), float(strength * np.sin(angle)))
    paints = {name: _draw_paint(generator, colour, slope) for name, colour in COLOURS.items()}
    return Palette(paints, grain=float(generator.choice([0.0, 8.0, 18.0])))


def _draw_paint(generator: np.random.Generator, colour: Colour, slope: tuple[float, float]) -> Paint:
    hue, saturation, value = colorsys.rgb_to_hsv(*(part / 255 for part in colour))
    hue, saturation = hue + generator.uniform(-0.02, 0.02), saturation * generator.uniform(0.75, 1.0)
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value * generator.uniform(0.75, 1.05))
    rgb = (min(round(255 * red), 255), min(round(255 * green), 255), min(round(255 * blue), 255))
    gloss = float(generator.choice([0.0, 0.0, generator.uniform(0.3, 0.8)]))
    if generator.random() < 0.5:
        return Paint(rgb, slope, gloss)
    waves = (float(generator.uniform(0, 1.8)), float(generator.uniform(0, 1.8)))
    return Paint(rgb, slope, gloss, waves, float(generator.uniform(0.15, 0.45)))


def photographed(frames: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """Images [N, H, W, 3] as one camera takes them: exposure, tint, uneven light, and noise of each frame."""
    height, width = frames.shape[1:3]
    gamma, tint = generator.uniform(0.65, 1.5), generator.uniform(0.85, 1.12, 3)
    light = 1 + generator.uniform(0, 0.25) * value_noise(generator, height, width, 2)
    noise = generator.uniform(0, 7)
    seen = 255 * (frames / 255.0) ** gamma * tint * light[..., None]
    seen += noise * generator.standard_normal(frames.shape, dtype=np.float32)
    shot: NDArray[np.uint8] = np.clip(seen + 0.5, 0, 255).astype(np.uint8)
    return shot


def render_roaming_scene(generator: np.random.Generator, palette: Palette = PLAIN) -> RenderedScene:
    """A camera that turns, goes ahead and sidesteps among the things of a room, each at its own times."""
    room = draw_room(generator)
    solids = [replace(solid, colour=palette.rgb(solid.kind.split()[0])) for solid in ring_of(generator, room)]
    turns, *goes = generator.random(3) < ROAMING_SHARES
    yaw = level_profile(generator, NUM_FRAMES, -MAX_TURN_DEGREES, MAX_TURN_DEGREES, TURN_GAP_DEGREES) * turns
    ways = [
        level_profile(generator, NUM_FRAMES, -MAX_WAY_METRES, MAX_WAY_METRES, WAY_GAP_METRES) * is_used
        for is_used in goes
    ]
    heading, down = generator.uniform(0, 360), float(generator.uniform(6, 20))
    axes = tracing.looking(np.zeros(3), heading, 0)[:3, [2, 0]]  # ahead and to the right
    middle = np.array([*room.size_metres[:2] / 2, CAMERA_HEIGHT])
    places = middle + np.stack(ways, axis=1) @ axes.T
    poses = [tracing.looking(place, heading - turn, down) for place, turn in zip(places, yaw, strict=True)]
    traced = [tracing.trace_frame(pose, room, solids) for pose in poses]
    frames, camera = np.stack([one.image for one in traced]), CameraTrack(np.stack(poses), tracing.INTRINSICS)
    return RenderedScene(frames, camera, objects=_landmarks(traced, [solid.kind for solid in solids]))


def _landmarks(traced: list[tracing.TracedFrame], kinds: list[str]) -> dict[str, ObjectTrack]:
    """What is seen of the things whose name is theirs alone."""
    counts = Counter(kinds)
    tracks = {
        kind: ObjectTrack(np.stack([one.box_xyxy(number) for one in traced]), is_landmark=True)
        for number, kind in enumerate(kinds)
        if counts[kind] == 1
    }
    return {kind: track for kind, track in tracks.items() if np.isfinite(track.boxes_xyxy).any()}
