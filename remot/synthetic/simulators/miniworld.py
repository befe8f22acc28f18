"""Clips of a walk through a room full of things, recorded from MiniWorld.

MiniWorld's world is right-handed with y up, in metres; a heading of 0 looks along x and grows counter-clockwise seen
from above. Here x stays x, which is called east, MiniWorld's -z is y, north, and its y is z, up. Its pitch is a true
rotation. The engine has no label buffer, and its own query of what is visible only asks whether a wall hides a thing's
foot. So the pixels of a thing are found from the depth buffer: those whose points lie inside its box in the world.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remot.data.annotations.camera_axes import seen_from
from remot.errors import ConfigError
from remot.seeding import derive_seed, numpy_generator
from remot.structures import AgentTrack, CameraTrack, Clip, FloatArray, LayoutBox, ObjectTrack
from remot.synthetic.simulators.common import Recording, label_boxes, looking, pinhole, required

SOURCE, LICENCE = "MiniWorld (Apache-2.0), its models and textures", "Apache-2.0"
INSTALL = 'pip install "remot[sim]"'
EGL = "without a screen MiniWorld draws with EGL: apt-get install libegl1 libgl1-mesa-dri libglu1-mesa"
WIDTH, HEIGHT = 320, 240
NUM_FRAMES = 60
FRAMES_PER_SECOND = 10
ROOM_METRES = (7.0, 10.0)
#: Name in the questions, kind, what the engine calls it, and its height in metres.
THINGS = (
    ("red box", "Box", "red", 0.8),
    ("blue box", "Box", "blue", 0.6),
    ("yellow box", "Box", "yellow", 0.7),
    ("green ball", "Ball", "green", 0.7),
    ("purple ball", "Ball", "purple", 0.6),
    ("office chair", "MeshEnt", "office_chair", 1.1),
    ("office desk", "MeshEnt", "office_desk", 0.8),
    ("barrel", "MeshEnt", "barrel", 1.0),
    ("rubber duck", "MeshEnt", "duckie", 0.5),
    ("traffic cone", "MeshEnt", "cone", 0.8),
    ("medkit", "MeshEnt", "medkit", 0.4),
)
NUM_THINGS = 6
WALLS = ("brick_wall", "concrete", "stucco", "drywall", "cinder_blocks", "rock")
FLOORS = ("floor_tiles_bw", "asphalt", "grass", "concrete_tiles", "marble")
#: MiniWorld's x, y, z in the world of the clip.
TO_WORLD = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
STRETCHES = ("turn", "rest", "walk", "rest", "tilt", "rest")
TURN_DEGREES = (12.0, 45.0)
PITCHES_DEGREES = (-36.0, -24.0, -12.0, 2.0)
STEP_METRES = (0.06, 0.16)
#: What the engine draws with.
FOV_DEGREES, CLIP_NEAR, CLIP_FAR = 60.0, 0.04, 100.0
#: How far outside its box a point of a thing may seem, as the depth buffer has 16 bits, and what is floor.
SLACK_METRES, FLOOR_METRES = 0.03, 0.03


@dataclass(frozen=True, eq=False)
class RecordedFrame:
    """One recorded frame.

    Args:
        image: [H, W, 3] RGB.
        pose: [4, 4] of the camera in the world of the clip.
        place: [3] of the agent's feet in the world of the clip.
        heading: Radians, counter-clockwise from east.
        depths: [H, W] metres along the optical axis.
    """

    image: NDArray[np.uint8]
    pose: FloatArray
    place: FloatArray
    heading: float
    depths: FloatArray


def record_room(seed: int, index: int) -> Recording:
    """One clip of an agent who turns, walks, looks up and down, and rests in between.

    Raises:
        ConfigError: If the simulator is not installed or cannot draw.
    """
    generator = numpy_generator(seed, "miniworld", index)
    room, names = _room(generator, derive_seed(seed, "miniworld", index) % 2**31)
    try:
        frames = _walk(room, generator)
        layout = tuple(_layout_box(name, thing) for name, thing in zip(names, room.things, strict=True))
    finally:
        room.close()
    return _recording(f"miniworld-{seed}-{index}", frames, layout)


def _room(generator: np.random.Generator, seed: int) -> tuple[Any, list[str]]:
    """A room in which no two things look alike, and the names of the things."""
    with required("recording rooms", INSTALL):
        import pyglet

        if "DISPLAY" not in os.environ:
            pyglet.options["headless"] = True
        try:
            from miniworld import entity
            from miniworld.miniworld import MiniWorldEnv
        except ImportError as error:
            if isinstance(error, ModuleNotFoundError):
                raise
            msg = f"MiniWorld cannot draw ({error}); {EGL}"
            raise ConfigError(msg) from error
    chosen = [THINGS[number] for number in sorted(generator.permutation(len(THINGS))[:NUM_THINGS])]
    wall, floor = str(generator.choice(WALLS)), str(generator.choice(FLOORS))
    width, depth = (float(generator.uniform(*ROOM_METRES)) for _ in range(2))

    class Room(MiniWorldEnv):  # type: ignore[misc]
        def _gen_world(self) -> None:
            self.add_rect_room(
                min_x=0, max_x=width, min_z=0, max_z=depth, wall_tex=wall, floor_tex=floor, no_ceiling=True
            )
            self.things = []
            for _, kind, detail, height in chosen:
                if kind == "MeshEnt":
                    made = entity.MeshEnt(mesh_name=detail, height=height)
                else:
                    made = getattr(entity, kind)(color=detail, size=height)
                self.things.append(self.place_entity(made))
            self.place_agent()

    try:
        room = Room(obs_width=WIDTH, obs_height=HEIGHT, max_episode_steps=10**6, render_mode="rgb_array")
        room.reset(seed=seed)
    except Exception as error:  # the reason differs with the graphics library
        msg = f"MiniWorld cannot draw ({error}); {EGL}"
        raise ConfigError(msg) from error
    return room, [thing[0] for thing in chosen]


def _walk(room: Any, generator: np.random.Generator) -> list[RecordedFrame]:  # noqa: ANN401
    """Stretches of one motion each, with rests in between; the agent first faces the middle of all things."""
    agent = room.agent
    frames: list[RecordedFrame] = []
    away = np.mean([thing.pos for thing in room.things], axis=0) - agent.pos
    agent.dir = float(np.arctan2(-away[2], away[0]))
    agent.cam_pitch = float(generator.choice(PITCHES_DEGREES[1:3]))
    step = int(generator.integers(len(STRETCHES)))
    while len(frames) < NUM_FRAMES:
        stretch, step = STRETCHES[step % len(STRETCHES)], step + 1
        length = int(generator.integers(4, 8))
        side = float(generator.choice([-1, 1])) * float(generator.uniform(*TURN_DEGREES))
        pitch = float(generator.choice([level for level in PITCHES_DEGREES if level != agent.cam_pitch]))
        lift, pace = (pitch - agent.cam_pitch) / length, float(generator.uniform(*STEP_METRES))
        for _ in range(min(length, NUM_FRAMES - len(frames))):
            if stretch == "turn":
                agent.dir -= float(np.radians(side)) / length
            elif stretch == "tilt":
                agent.cam_pitch += lift
            elif stretch == "walk":
                place = agent.pos + agent.dir_vec * pace
                if not room.intersect(agent, place, agent.radius):
                    agent.pos = place
            frames.append(_recorded_frame(room))
        if stretch == "tilt":
            agent.cam_pitch = round(agent.cam_pitch, 6)
    return frames


def _recorded_frame(room: Any) -> RecordedFrame:  # noqa: ANN401
    agent = room.agent
    return RecordedFrame(
        image=np.array(room.render_obs()),
        pose=looking(TO_WORLD @ agent.cam_pos, TO_WORLD @ agent.cam_dir),
        place=TO_WORLD @ agent.pos,
        heading=float(agent.dir),
        depths=room.obs_fb.get_depth_map(CLIP_NEAR, CLIP_FAR)[:, :, 0].astype(np.float64),
    )


def _layout_box(name: str, thing: Any) -> LayoutBox:  # noqa: ANN401
    """The box of a thing in the world; a model's is that of its points, which need not lie about its place."""
    if hasattr(thing, "mesh"):
        low, high = (np.array(corner) * thing.scale for corner in (thing.mesh.min_coords, thing.mesh.max_coords))
    else:
        half = np.array(thing.size) / 2
        low, high = np.array([-half[0], 0, -half[2]]), np.array([half[0], 2 * half[1], half[2]])
    cosine, sine = np.cos(thing.dir), np.sin(thing.dir)
    axes = np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]])  # of x, of -z and of y
    middle = TO_WORLD @ ((low + high) / 2)
    size = high - low
    return LayoutBox(name, TO_WORLD @ thing.pos + axes.T @ middle, size[[0, 2, 1]], axes)


def _recording(name: str, frames: list[RecordedFrame], layout: tuple[LayoutBox, ...]) -> Recording:
    poses, intrinsics = np.stack([frame.pose for frame in frames]), pinhole(WIDTH, HEIGHT, FOV_DEGREES)
    labels = np.stack([_labels(frame, layout, intrinsics) for frame in frames])
    objects = {}
    for number, box in enumerate(layout, start=1):
        boxes = label_boxes(labels, number)
        if np.isnan(boxes).all():
            continue
        depths = seen_from(poses, np.tile(box.centre_metres, (len(poses), 1)))[:, 2]
        depths = np.where(np.isnan(boxes[:, 0]), np.nan, depths)
        objects[box.name] = ObjectTrack(boxes, is_landmark=True, depths_metres=depths, mask_value=number)
    clip = Clip(
        clip_id=name,
        scene_id=name,
        domain="navigation",
        media=Path(f"{name}.mp4"),
        pts_seconds=np.arange(len(frames)) / FRAMES_PER_SECOND,
        camera=CameraTrack(poses, intrinsics),
        objects=objects,
        agent=AgentTrack(
            np.stack([frame.place[:2] for frame in frames]), np.degrees([frame.heading for frame in frames])
        ),
        layout=layout,
    )
    return Recording(clip, np.stack([frame.image for frame in frames]), FRAMES_PER_SECOND, labels)


def _labels(frame: RecordedFrame, layout: tuple[LayoutBox, ...], intrinsics: FloatArray) -> NDArray[np.uint8]:
    """[H, W] number of the thing, counted from 1, whose box holds a pixel's point; 0 for none."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    rays = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ np.linalg.inv(intrinsics).T
    points = (rays * frame.depths[:, :, None]) @ frame.pose[:3, :3].T + frame.pose[:3, 3]
    labels = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    for number, box in enumerate(layout, start=1):
        away = np.abs((points - box.centre_metres) @ box.axes.T)
        inside = (away <= box.size_metres / 2 + SLACK_METRES).all(axis=-1)
        labels[inside & (points[:, :, 2] > FLOOR_METRES)] = number
    return labels
