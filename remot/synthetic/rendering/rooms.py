"""Clips of rooms with coloured boxes: one where the camera turns among them, one where some of them move."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from remot.structures import CameraTrack, Clip, Event, FloatArray, LayoutBox, ObjectTrack
from remot.synthetic.rendering.canvas import COLOURS
from remot.synthetic.rendering.scene import named_clip
from remot.synthetic.rendering.texture import muted_colour
from remot.synthetic.rendering.tracing import INTRINSICS, Room, Solid, TracedFrame, looking, places, trace_frame

NUM_FRAMES, FPS = 32, 5
#: Sizes in metres by what a viewer would call them.
SIZES: dict[str, tuple[float, float, float]] = {
    "crate": (0.55, 0.55, 0.55),
    "cabinet": (0.6, 0.45, 1.5),
    "table": (1.1, 0.7, 0.7),
    "stool": (0.38, 0.38, 0.5),
    "bench": (1.3, 0.4, 0.42),
    "pillar": (0.32, 0.32, 1.7),
}
#: What goes over a floor; a pillar stands.
MOVABLE = ("crate", "cabinet", "table", "stool", "bench")
CAMERA_HEIGHT = 1.55
#: Pixels that every thing of a room shows in at least one frame.
MIN_BEST_PIXELS = 60
#: Places tried for a thing before the room goes without it.
MAX_TRIES = 200


def render_room(generator: np.random.Generator, name: str) -> tuple[Clip, NDArray[np.uint8]]:
    """The camera turns in the middle of a room; every thing in it is seen at some time."""
    while True:  # about one draw in two will do
        room = draw_room(generator)
        solids = ring_of(generator, room)
        middle = np.array([*room.size_metres[:2] / 2, CAMERA_HEIGHT])
        start, turn = generator.uniform(0, 360), generator.choice([-1, 1]) * generator.uniform(200, 320)
        angles = start + turn * np.linspace(0, 1, NUM_FRAMES)
        steps = 0.25 * np.stack([np.cos(np.deg2rad(angles)), np.sin(np.deg2rad(angles)), 0 * angles], axis=1)
        poses = [looking(middle - step, angle, 18) for step, angle in zip(steps, angles, strict=True)]
        traced = [trace_frame(pose, room, solids) for pose in poses]
        most_pixels = [max(int((one.numbers == k).sum()) for one in traced) for k in range(len(solids))]
        if min(most_pixels, default=MIN_BEST_PIXELS) >= MIN_BEST_PIXELS:
            break
    camera = CameraTrack(np.stack(poses), INTRINSICS)
    objects = {
        called: _track(traced, number, camera, np.tile(solid.centre_metres, (NUM_FRAMES, 1)), solid, stands=True)
        for number, (called, solid) in enumerate(zip(numbered([s.kind for s in solids]), solids, strict=True))
    }
    layout = tuple(LayoutBox(one.kind, one.centre_metres, one.size_metres, one.axes) for one in solids)
    clip = replace(_clip(name, "rooms", camera, objects, room, solids), layout=layout)
    return clip, np.stack([one.image for one in traced])


def render_floor(generator: np.random.Generator, name: str) -> tuple[Clip, NDArray[np.uint8]]:
    """The camera rests; two things go over the floor one after the other, the rest stands."""
    while True:  # about one draw in five will do
        room = draw_room(generator)
        pose = looking(np.array([room.size_metres[0] / 2, 0.25, CAMERA_HEIGHT + 0.5]), 90, 26)
        solids = _scattered(generator, room)
        paths, events = _moves(generator, solids)
        if not _keep_apart(paths, solids, room):
            continue
        traced = [trace_frame(pose, room, _at(solids, paths, frame)) for frame in range(NUM_FRAMES)]
        if all(np.isfinite(one.box_xyxy(k)).all() for one in traced for k in range(len(solids))):
            break
    camera = CameraTrack(np.tile(pose, (NUM_FRAMES, 1, 1)), INTRINSICS)
    objects = {
        called: _track(traced, number, camera, paths[number], solids[number], stands=False)
        for number, called in enumerate(numbered([solid.kind for solid in solids]))
    }
    clip = replace(_clip(name, "floors", camera, objects, room, solids), events=events)
    return clip, np.stack([one.image for one in traced])


def numbered(kinds: Sequence[str]) -> list[str]:
    """Names for things: the kind where there is one of it, ``red crate 1`` and ``red crate 2`` where there are more."""
    counts, seen = Counter(kinds), Counter[str]()
    names = []
    for kind in kinds:
        seen[kind] += 1
        names.append(kind if counts[kind] == 1 else f"{kind} {seen[kind]}")
    return names


def _clip(
    name: str, domain: str, camera: CameraTrack, objects: dict[str, ObjectTrack], room: Room, solids: Sequence[Solid]
) -> Clip:
    return named_clip(
        name,
        domain,
        np.arange(NUM_FRAMES) / FPS,
        camera=camera,
        objects=objects,
        room_area_square_metres=round(float(room.size_metres[0] * room.size_metres[1]), 4),
        complete_kinds=tuple(sorted({solid.kind for solid in solids})),
    )


def _track(
    traced: Sequence[TracedFrame], number: int, camera: CameraTrack, path: FloatArray, solid: Solid, *, stands: bool
) -> ObjectTrack:
    boxes = np.stack([one.box_xyxy(number) for one in traced])
    seen = np.asarray(np.isfinite(boxes).all(axis=1))
    centres = places(camera, path)  # [N, 3] in the axes of the camera
    return ObjectTrack(
        boxes_xyxy=boxes,
        is_landmark=stands,
        depths_metres=np.where(seen, centres[:, 2], np.nan),
        size_metres=solid.size_metres,
        centres_metres=None if stands else np.where(seen[:, None], centres, np.nan),
    )


def draw_room(generator: np.random.Generator) -> Room:
    """An empty room in muted colours."""
    size = np.array([generator.uniform(4.2, 6.5), generator.uniform(4.2, 6.5), 2.8]).round(2)
    return Room(size, np.stack([muted_colour(generator, 90, 180) for _ in range(4)]))


def _kinds(generator: np.random.Generator, counts: Sequence[int], figures: Sequence[str]) -> list[str]:
    """As many kinds as ``counts``, each as often as it says; no colour and no figure is used for two kinds."""
    colours, drawn = generator.permutation(list(COLOURS)), generator.permutation(list(figures))
    pairs = zip(colours, drawn, counts, strict=False)
    return [f"{colour} {figure}" for colour, figure, count in pairs for _ in range(count)]


def _apart(solid: Solid, others: Sequence[Solid], gap: float = 0.15) -> bool:
    return all(
        np.hypot(*(solid.centre_metres - other.centre_metres)[:2]) > solid.radius_metres + other.radius_metres + gap
        for other in others
    )


def ring_of(generator: np.random.Generator, room: Room) -> list[Solid]:
    """Things around the middle of the room, where the camera turns."""
    repeated = [int(generator.choice([1, 2, 3])) for _ in range(int(generator.integers(1, 3)))]
    single = [1] * int(generator.integers(3, 5))
    kinds = _kinds(generator, repeated + single, list(SIZES))
    middle = room.size_metres[:2] / 2

    def draw_place() -> FloatArray:
        angle, reach = generator.uniform(0, 2 * np.pi), generator.uniform(1.3, 1.0 + 0.5 * middle.min())
        return np.asarray(middle + reach * np.array([np.cos(angle), np.sin(angle)]))

    return _placed(generator, kinds, draw_place)


def _placed(generator: np.random.Generator, kinds: Sequence[str], draw_place: Callable[[], FloatArray]) -> list[Solid]:
    """A thing of each kind, apart from the others; one that finds no place is left out."""
    solids = list[Solid]()
    for kind in kinds:
        for _ in range(MAX_TRIES):
            colour, figure = kind.split()
            size = np.array(SIZES[figure])
            centre = np.array([*np.round(draw_place(), 3), size[2] / 2])
            solid = Solid(kind, COLOURS[colour], centre, size, round(float(generator.uniform(0, 90)), 1))
            if _apart(solid, solids):
                solids.append(solid)
                break
    return solids


def _scattered(generator: np.random.Generator, room: Room) -> list[Solid]:
    """Two things that will move, of one each, and some that stand."""
    kinds = _kinds(generator, [1, 1, int(generator.integers(1, 3))], MOVABLE)
    low, high = np.array([1.0, 1.9]), np.array([room.size_metres[0] - 1.0, room.size_metres[1] - 0.7])
    return _placed(generator, kinds, lambda: generator.uniform(low, high))


#: Ways over the floor in the words of an observer behind the camera, and their direction in the world.
WAYS: dict[str, tuple[float, float]] = {
    "to the left": (-1, 0),
    "to the right": (1, 0),
    "away from the camera": (0, 1),
    "towards the camera": (0, -1),
}


def _moves(generator: np.random.Generator, solids: Sequence[Solid]) -> tuple[list[FloatArray], tuple[Event, ...]]:
    """For each thing its place in each frame [N, 3], and what happens: two things move, never at the same time."""
    paths = [np.tile(solid.centre_metres, (NUM_FRAMES, 1)) for solid in solids]
    events, start = [], int(generator.integers(2, 6))
    for number in (int(k) for k in generator.permutation(2)):
        frames = int(generator.integers(7, 10))
        way = str(generator.choice(list(WAYS)))
        offset = np.array([*WAYS[way], 0.0]) * generator.uniform(1.0, 1.8)
        paths[number] += np.clip((np.arange(NUM_FRAMES) - start) / frames, 0, 1)[:, None] * offset
        events.append(Event(f"the {solids[number].kind} moves {way}", start / FPS, (start + frames) / FPS))
        start += frames + int(generator.integers(2, 5))
    return paths, tuple(events)


def _at(solids: Sequence[Solid], paths: Sequence[FloatArray], frame: int) -> list[Solid]:
    return [replace(solid, centre_metres=path[frame]) for solid, path in zip(solids, paths, strict=True)]


def _keep_apart(paths: Sequence[FloatArray], solids: Sequence[Solid], room: Room) -> bool:
    """Whether nothing runs into anything else or a wall."""
    for frame in range(NUM_FRAMES):
        standing = _at(solids, paths, frame)
        for k, solid in enumerate(standing):
            inside = (solid.centre_metres[:2] > 0.5).all() and (solid.centre_metres < room.size_metres - 0.5)[:2].all()
            if not inside or not _apart(solid, standing[k + 1 :], gap=0.05):
                return False
    return True
