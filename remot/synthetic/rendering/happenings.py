"""Clips in which named things move one after the other, each move an event with its times."""

import numpy as np
from numpy.typing import NDArray

from remot.structures import Clip, Event, FloatArray, ObjectTrack
from remot.synthetic.rendering.canvas import Canvas
from remot.synthetic.rendering.scene import IMAGE_SIZE, draw_colours, draw_prop, fixed_camera, named_clip, painted
from remot.synthetic.rendering.texture import tabletop

NUM_FRAMES, FPS = 48, 8
#: Moves in words and directions in the image.
WAYS: dict[str, tuple[int, int]] = {
    "to the left": (-1, 0),
    "to the right": (1, 0),
    "up": (0, -1),
    "down": (0, 1),
}
MIN_STEP_PIXELS, MAX_STEP_PIXELS = 38.0, 64.0
MARGIN_PIXELS = 16.0
#: No two things come nearer to each other than this, so that each can be seen.
MIN_DISTANCE_PIXELS = 27.0
MAX_TRIES = 400
#: First and last frame of the two moves of :func:`render_returns`.
OUT_FRAMES, BACK_FRAMES = (8, 16), (32, 40)
RETURN_STEP_PIXELS = (30.0, 46.0)


def render_happenings(generator: np.random.Generator, name: str) -> tuple[Clip, NDArray[np.uint8]]:
    """Three or four moves of two or three things on a table."""
    background, colours = tabletop(generator, IMAGE_SIZE), draw_colours(generator)
    paths, moves = _draw_paths(generator, int(generator.integers(2, 4)))
    return _painted(generator, name, "happenings", background, colours, paths, moves)


def render_returns(generator: np.random.Generator, name: str) -> tuple[Clip, NDArray[np.uint8]]:
    """One red thing that moves and comes back, at the same times in each clip.

    First and last frame are the same, and its place in them leaves room for either way, so that they tell nothing.
    """
    way = str(generator.choice(list(WAYS)))
    back = next(other for other, direction in WAYS.items() if direction == tuple(-one for one in WAYS[way]))
    offset = np.array(WAYS[way]) * generator.uniform(*RETURN_STEP_PIXELS)
    border = MARGIN_PIXELS + np.abs(offset)
    frames = np.arange(NUM_FRAMES)
    away = np.clip((frames - OUT_FRAMES[0]) / np.ptp(OUT_FRAMES), 0, 1)
    away -= np.clip((frames - BACK_FRAMES[0]) / np.ptp(BACK_FRAMES), 0, 1)
    path = generator.uniform(border, IMAGE_SIZE - border) + away[:, None] * offset
    moves = [(0, way, *OUT_FRAMES), (0, back, *BACK_FRAMES)]
    return _painted(generator, name, "returns", tabletop(generator, IMAGE_SIZE), ["red"], [path], moves)


def _painted(
    generator: np.random.Generator,
    name: str,
    domain: str,
    background: Canvas,
    colours: list[str],
    paths: list[FloatArray],
    moves: list[tuple[int, str, int, int]],
) -> tuple[Clip, NDArray[np.uint8]]:
    props = [draw_prop(generator, colours.pop(), float(generator.uniform(10.5, 12.5)), path) for path in paths]
    events = tuple(
        Event(f"the {props[who].name} moves {way}", first / FPS, last / FPS) for who, way, first, last in moves
    )
    clip = named_clip(
        name,
        domain,
        np.arange(NUM_FRAMES) / FPS,
        camera=fixed_camera(NUM_FRAMES),
        objects={prop.name: ObjectTrack(prop.boxes_xyxy) for prop in props},
        events=events,
    )
    return clip, painted(background, [prop.paint for prop in props], NUM_FRAMES)


def _draw_paths(
    generator: np.random.Generator, num_things: int
) -> tuple[list[FloatArray], list[tuple[int, str, int, int]]]:
    """Places [N, 2] of each thing in pixels, and who moves which way from which frame to which."""
    while True:
        places = generator.uniform(MARGIN_PIXELS, IMAGE_SIZE - MARGIN_PIXELS, (num_things, 2))
        gaps = np.linalg.norm(places[:, None] - places[None], axis=-1) + 1e9 * np.eye(len(places))
        if gaps.min() > 1.3 * MIN_DISTANCE_PIXELS:
            break
    paths = [np.tile(place, (NUM_FRAMES, 1)) for place in places]
    moves, start = [], int(generator.integers(2, 6))
    for _ in range(int(generator.integers(3, 5))):
        frames = int(generator.integers(5, 9))
        who, way, offset = _draw_move(generator, places)
        if not way or start + frames > NUM_FRAMES - 2:
            break
        paths[who] += np.clip((np.arange(NUM_FRAMES) - start) / frames, 0, 1)[:, None] * offset
        places[who] += offset
        moves.append((who, way, start, start + frames))
        start += frames + int(generator.integers(3, 7))
    return paths, moves


def _draw_move(generator: np.random.Generator, places: FloatArray) -> tuple[int, str, FloatArray]:
    """Who moves, which way in words, and how far; no way if nothing can move."""
    for _ in range(MAX_TRIES):
        who, way = int(generator.integers(len(places))), str(generator.choice(list(WAYS)))
        offset = np.array(WAYS[way]) * generator.uniform(MIN_STEP_PIXELS, MAX_STEP_PIXELS)
        stations = places[who] + np.linspace(0, 1, 9)[:, None] * offset
        others = np.delete(places, who, axis=0)
        gaps = np.linalg.norm(stations[:, None] - others[None], axis=-1)
        inside = ((stations > MARGIN_PIXELS) & (stations < IMAGE_SIZE - MARGIN_PIXELS)).all()
        if inside and gaps.min() > MIN_DISTANCE_PIXELS:
            return who, way, offset
    return 0, "", np.zeros(2)
