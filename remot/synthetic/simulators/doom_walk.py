"""Game clips of a player who walks, turns and stands among monsters, with everything the engine knows about them.

See :mod:`remot.synthetic.simulators.vizdoom` for the engine's conventions. Boxes and masks come from the engine's label
buffer, so that they show what is visible of a thing. Things of one kind look the same, so a name stands for one of
them, and only in images in which no other of its kind is visible.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remot.data.annotations.camera_axes import seen_from
from remot.seeding import derive_seed, numpy_generator
from remot.structures import AgentTrack, CameraTrack, Clip, FloatArray, ObjectTrack
from remot.synthetic.simulators.common import MIN_PIXELS, Recording, label_boxes
from remot.synthetic.simulators.vizdoom import (
    MAPS,
    TICS_PER_FRAME,
    TICS_PER_SECOND,
    UNITS_PER_METRE,
    brightened,
    face_something,
    intrinsics,
    pose,
    running_game,
    walk,
)

WIDTH, HEIGHT = 320, 240
NUM_FRAMES = 60
#: Kinds of things that last; blood, puffs of smoke and the player are none.
CATEGORIES = frozenset({"Ammo", "Armor", "Gore", "Hazard", "Health", "Key", "Monster", "Weapon"})
#: Things of these kinds may walk, even if they do not in a clip.
MOVERS = frozenset({"Monster"})
#: How far a thing may shift, in map units, and still stand still.
REST_UNITS = 1.0
#: Most things with a name in a clip; label images have 8 bits.
MAX_THINGS = 40
STRETCHES = ("stand", "turn", "stand", "walk", "turn")
TURN_DEGREES = (12.0, 40.0)
AWAY_DEGREES = (80.0, 140.0)
WALK_SPEED = (15.0, 30.0)
#: Slower than this while walking, in map units per frame, is walking into a wall.
BLOCKED_UNITS = 6.0
FULL_CIRCLE = 360.0


@dataclass(frozen=True, eq=False)
class RecordedFrame:
    """One recorded frame.

    Args:
        image: [H, W, 3] RGB.
        buffer: [H, W] the engine's labels, whose numbers differ from frame to frame.
        things: For each thing in the buffer its (number in the buffer, identity, kind, category, place [3]).
        camera: x, y, z in map units and heading in degrees.
        player: The same of the player.
        tic: On the game's clock.
    """

    image: NDArray[np.uint8]
    buffer: NDArray[np.uint8]
    things: tuple["Thing", ...]
    camera: FloatArray
    player: FloatArray
    tic: int


@dataclass(frozen=True, eq=False)
class Thing:
    """A thing in one frame."""

    number: int
    identity: int
    kind: str
    category: str
    place: FloatArray


def record_walk(seed: int, index: int, maps: Sequence[str] = MAPS) -> Recording:
    """One clip of walking, turning and standing, the maps taking turns.

    Raises:
        ConfigError: If the simulator is not installed.
    """
    game_map = maps[index % len(maps)]
    generator = numpy_generator(seed, "doom-walk", game_map, index)
    with running_game(game_map, derive_seed(seed, "doom-walk", index) % 2**31, annotated=True) as game:
        walk(game, generator)
        face_something(game)
        game.make_action([0, 0, 1], TICS_PER_FRAME)  # a shot into the air: monsters that hear it come
        game.make_action([0, 0, 0], TICS_PER_SECOND)
        frames = _wander(game, generator)
    return _recording(f"doom-walk-{seed}-{index}", f"doom-{game_map.lower()}", frames)


def _wander(game: Any, generator: np.random.Generator) -> list[RecordedFrame]:  # noqa: ANN401
    """Stretches of turning, walking and standing in turn; after walking into a wall the player turns away from it."""
    frames: list[RecordedFrame] = []
    step, blocked = int(generator.integers(len(STRETCHES))), False
    while len(frames) < NUM_FRAMES:
        moves = _moves("away" if blocked else STRETCHES[step % len(STRETCHES)], generator)
        step, blocked = step + (not blocked), False
        for number, (ahead, side) in enumerate(moves[: NUM_FRAMES - len(frames)]):
            game.make_action([0, side], 1)
            game.make_action([ahead, 0], TICS_PER_FRAME - 1)
            frames.append(_recorded_frame(game))
            if ahead > 0 and number > 1:
                blocked = bool(np.linalg.norm(frames[-1].player[:2] - frames[-2].player[:2]) < BLOCKED_UNITS)
            if blocked:
                break
    return frames


def _moves(stretch: str, generator: np.random.Generator) -> list[tuple[float, float]]:
    """For each frame how fast to walk and by how many degrees to turn to the right."""
    if stretch == "walk":
        return [(float(generator.uniform(*WALK_SPEED)), 0.0)] * int(generator.integers(5, 10))
    if stretch == "stand":
        return [(0.0, 0.0)] * int(generator.integers(5, 10))
    low, high = AWAY_DEGREES if stretch == "away" else TURN_DEGREES
    side = float(generator.choice([-1, 1])) * float(generator.uniform(low, high))
    return [(0.0, side / 3)] * 3 + [(0.0, 0.0)] * 3


def _recorded_frame(game: Any) -> RecordedFrame:  # noqa: ANN401
    state = game.get_state()
    numbers = np.array([float(value) for value in state.game_variables])
    things = tuple(
        Thing(
            int(label.value),
            int(label.object_id),
            str(label.object_name),
            str(label.object_category),
            np.array([label.object_position_x, label.object_position_y, label.object_position_z]),
        )
        for label in state.labels
    )
    buffer = np.array(state.labels_buffer)
    # the middle of each block of pixels that is averaged into one
    step = buffer.shape[0] // HEIGHT
    image = brightened(state.screen_buffer, WIDTH, HEIGHT)
    return RecordedFrame(
        image, buffer[step // 2 :: step, step // 2 :: step], things, numbers[:4], numbers[4:8], int(state.tic)
    )


def _recording(name: str, scene: str, frames: list[RecordedFrame]) -> Recording:
    poses = np.stack([pose(frame.camera[:3], float(frame.camera[3])) for frame in frames])
    objects, labels = _objects(frames, poses)
    places = np.stack([frame.player for frame in frames])
    clip = Clip(
        clip_id=name,
        scene_id=scene,
        domain="game",
        media=Path(f"{name}.mp4"),
        pts_seconds=np.array([frame.tic - frames[0].tic for frame in frames]) / TICS_PER_SECOND,
        camera=CameraTrack(poses, intrinsics(WIDTH, HEIGHT)),
        objects=objects,
        agent=AgentTrack(places[:, :2] / UNITS_PER_METRE, places[:, 3] % FULL_CIRCLE),
    )
    return Recording(clip, np.stack([frame.image for frame in frames]), TICS_PER_SECOND / TICS_PER_FRAME, labels)


def _objects(frames: list[RecordedFrame], poses: FloatArray) -> tuple[dict[str, ObjectTrack], NDArray[np.uint8]]:
    """Tracks of the things with a name, and images of their labels."""
    labels = np.zeros((len(frames), HEIGHT, WIDTH), dtype=np.uint8)
    tracks: dict[str, ObjectTrack] = {}
    for value, (kind, identity) in enumerate(_chosen(frames), start=1):
        places, category = np.full((len(frames), 3), np.nan), ""
        for index, frame in enumerate(frames):
            alone = _alone(frame, kind)
            if alone is not None and alone.identity == identity:
                labels[index][frame.buffer == alone.number] = value
                places[index], category = alone.place, alone.category
        boxes = label_boxes(labels, value)
        hidden = np.isnan(boxes[:, 0])
        labels[hidden[:, None, None] & (labels == value)] = 0
        depths = np.where(hidden, np.nan, seen_from(poses, places / UNITS_PER_METRE)[:, 2])
        still = bool(np.all(np.nanmax(places, axis=0) - np.nanmin(places, axis=0) <= REST_UNITS))
        tracks[readable(kind)] = ObjectTrack(boxes, still and category not in MOVERS, depths, mask_value=value)
    return tracks, labels


def _chosen(frames: list[RecordedFrame]) -> list[tuple[str, int]]:
    """For each kind the thing that is most often seen alone, the kinds in the order of their names."""
    seen: dict[str, Counter[int]] = {}
    for frame in frames:
        for kind in {thing.kind for thing in frame.things}:
            alone = _alone(frame, kind)
            if alone is not None and np.count_nonzero(frame.buffer == alone.number) >= MIN_PIXELS:
                seen.setdefault(kind, Counter())[alone.identity] += 1
    chosen = {kind: max(counts.items(), key=lambda item: (item[1], -item[0])) for kind, counts in seen.items()}
    return [(kind, chosen[kind][0]) for kind in sorted(chosen) if chosen[kind][1] > 1][:MAX_THINGS]


def _alone(frame: RecordedFrame, kind: str) -> Thing | None:
    """The only visible thing of a kind."""
    found = [thing for thing in frame.things if thing.kind == kind and thing.category in CATEGORIES]
    return found[0] if len(found) == 1 else None


def readable(kind: str) -> str:
    """The engine's name of a kind as words: ``DoomImp`` is an imp, ``HealthBonus`` a health bonus."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind).lower().removeprefix("doom ")
