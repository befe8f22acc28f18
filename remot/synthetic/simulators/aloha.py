"""Clips of two robot arms at a table, recorded from MuJoCo with the models of gym-aloha.

MuJoCo's world is right-handed with z up, in metres; its cameras look along their own -z with y up (OpenGL). The arms
are called by their own sides, which are the viewer's as well in the views recorded here. Each gripper follows a body
that is moved by hand and welded to it; what is annotated is where the gripper really is. Its opening is the distance of
its fingers as a share of the reach of their joints. Colours and the camera's place differ from clip to clip, so that
each is a scene of its own.
"""

import importlib.util
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remot.data.annotations.camera_axes import seen_from
from remot.errors import ConfigError
from remot.seeding import numpy_generator
from remot.structures import CameraTrack, Clip, EffectorTrack, FloatArray, ObjectTrack
from remot.synthetic.simulators.aloha_moves import Pose, grasp, levels, pose_at
from remot.synthetic.simulators.common import Recording, label_boxes, looking, pinhole, required

SOURCE, LICENCE = "MuJoCo (Apache-2.0) with the ViperX 300 models of gym-aloha", "Apache-2.0"
INSTALL = 'pip install "remot[sim]" and pip install --no-deps gym-aloha'
EGL = "without a screen MuJoCo draws with EGL: apt-get install libegl1 libgl1-mesa-dri, or choose MUJOCO_GL=osmesa"
MODEL = "bimanual_viperx_end_effector_transfer_cube.xml"
WIDTH, HEIGHT = 320, 240
NUM_FRAMES = 60
FRAMES_PER_SECOND = 10
#: Reach of a finger's joint in metres: closed and open.
CLOSED, OPEN = 0.01844, 0.058
SIDES = ("left", "right")
#: Joints of an arm at the start, its two fingers last.
START_JOINTS = (0.0, -0.96, 1.16, 0.0, -0.3, 0.0, 0.02239, -0.02239)
SETTLE_STEPS = 300
CUBE_START = ((0.0, 0.2), (0.4, 0.6))
CUBE_HEIGHT = 0.05
#: Views, each a place and a point looked at.
VIEWS = {"front": ((0.0, -0.35, 0.75), (0.0, 0.5, 0.15)), "high": ((0.0, 0.0, 1.15), (0.0, 0.55, 0.1))}
FOV_DEGREES = 52.0
CAMERA_JITTER = 0.08
#: Spans of the colours of the sky below and above and of the floor's dark and light tiles.
SHADES = ((0.1, 0.4), (0.5, 0.8), (0.2, 0.45), (0.45, 0.75))
#: Distance at which the weld of the stock model holds the gripper from the body it follows; here there is none.
WELD_AT = (0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
FROM_OPENGL = np.diag([1.0, -1.0, -1.0])


@dataclass(frozen=True, eq=False)
class Table:
    """The simulated scene.

    Args:
        mujoco: The module.
        model: What does not change.
        data: What does. Its arrays are live: copy what is kept.
        camera: Number of the camera.
    """

    mujoco: Any
    model: Any
    data: Any
    camera: int


@dataclass
class Track:
    """What is noted in each frame."""

    images: list[NDArray[np.uint8]] = field(default_factory=list)
    labels: list[NDArray[np.uint8]] = field(default_factory=list)
    places: list[FloatArray] = field(default_factory=list)
    openings: list[FloatArray] = field(default_factory=list)


def record_arms(seed: int, index: int) -> Recording:
    """One clip; arms that move between places and clips of a cube that is picked up take turns.

    Raises:
        ConfigError: If the simulator or the models are not installed, or nothing can be drawn.
    """
    generator = numpy_generator(seed, "aloha", index)
    view = tuple(VIEWS)[index // 2 % len(VIEWS)]
    table = _table(view, generator)
    start = tuple(np.array(place) for place in table.data.mocap_pos[:2])
    seconds = NUM_FRAMES / FRAMES_PER_SECOND
    if index % 2:
        path = grasp(start, np.array(table.data.body("box").xpos), seconds)
    else:
        path = levels(start, generator, seconds)
    return _recording(f"aloha-{seed}-{index}", table, _run(table, path))


def _table(view: str, generator: np.random.Generator) -> Table:
    os.environ.setdefault("MUJOCO_GL", "egl")
    with required("recording robot arms", INSTALL):
        import mujoco
    found = importlib.util.find_spec("gym_aloha")
    if found is None or found.origin is None:
        msg = f"recording robot arms needs the models of gym-aloha: {INSTALL}"
        raise ConfigError(msg)
    spec = mujoco.MjSpec.from_file(str(Path(found.origin).parent / "assets" / MODEL))
    _paint(mujoco, spec, generator)
    _add_camera(mujoco, spec, view, generator)
    model = spec.compile()
    model.eq_data[:, 3:10] = WELD_AT
    model.site_rgba[:, 3] = 0  # the marks of the bodies that lead the grippers
    data = mujoco.MjData(model)
    data.qpos[:16] = START_JOINTS * 2
    data.qpos[16:23] = [*(generator.uniform(*span) for span in CUBE_START), CUBE_HEIGHT, 1, 0, 0, 0]
    mujoco.mj_forward(model, data)
    for side, name in enumerate(SIDES):
        data.mocap_pos[side] = data.body(f"vx300s_{name}/gripper_link").xpos
        data.mocap_quat[side] = data.body(f"vx300s_{name}/gripper_link").xquat
    data.ctrl[:] = (CLOSED, -CLOSED) * 2
    for _ in range(SETTLE_STEPS):
        mujoco.mj_step(model, data)
    return Table(mujoco, model, data, model.camera(view).id)


def _paint(mujoco: Any, spec: Any, generator: np.random.Generator) -> None:  # noqa: ANN401
    """A sky and a floor in colours of their own: the stock scene is grey on black."""
    low, high, dark, light = (generator.uniform(*span, 3).tolist() for span in SHADES)
    sky = {"type": mujoco.mjtTexture.mjTEXTURE_SKYBOX, "builtin": mujoco.mjtBuiltin.mjBUILTIN_GRADIENT}
    spec.add_texture(name="sky", rgb1=high, rgb2=low, width=64, height=384, **sky)
    checks = {"type": mujoco.mjtTexture.mjTEXTURE_2D, "builtin": mujoco.mjtBuiltin.mjBUILTIN_CHECKER}
    spec.add_texture(name="tiles", rgb1=dark, rgb2=light, width=64, height=64, **checks)
    tiles = spec.add_material(name="tiles", texrepeat=[10, 10])
    tiles.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "tiles"
    plane = {"type": mujoco.mjtGeom.mjGEOM_PLANE, "contype": 0, "conaffinity": 0}
    spec.worldbody.add_geom(name="tiled floor", size=[3, 3, 0.1], pos=[0, 0, -0.7], material="tiles", **plane)


def _add_camera(mujoco: Any, spec: Any, view: str, generator: np.random.Generator) -> None:  # noqa: ANN401
    place, target = (np.array(point) for point in VIEWS[view])
    place = place + generator.uniform(-CAMERA_JITTER, CAMERA_JITTER, 3)
    # an OpenGL camera looks along its own -z: its y and z axes are the other way round
    turn = np.zeros(4)
    mujoco.mju_mat2Quat(turn, (looking(place, target - place)[:3, :3] @ FROM_OPENGL).ravel())
    spec.worldbody.add_camera(name=view, pos=place, quat=turn, fovy=FOV_DEGREES)


def _run(table: Table, path: Sequence[Pose]) -> Track:
    """Follow the path and note each frame."""
    mujoco, model, data = table.mujoco, table.model, table.data
    track, start_seconds = Track(), float(data.time)
    num_steps = round(1 / FRAMES_PER_SECOND / model.opt.timestep)
    rest = np.array(data.mocap_quat[:2])
    with _renderer(table) as renderer:
        renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False  # shadows take four times as long on a CPU
        labels_of = _label_table(table)
        for _ in range(NUM_FRAMES):
            _note(table, renderer, labels_of, track)
            for _ in range(num_steps):
                _lead(table, pose_at(path, float(data.time) - start_seconds), rest)
                mujoco.mj_step(model, data)
    return track


def _renderer(table: Table) -> Any:  # noqa: ANN401
    try:
        return table.mujoco.Renderer(table.model, HEIGHT, WIDTH)
    except Exception as error:  # the reason differs with the graphics library
        msg = f"MuJoCo cannot draw ({error}); {EGL}"
        raise ConfigError(msg) from error


def _lead(table: Table, pose: Pose, rest: FloatArray) -> None:
    """Move the bodies that the grippers follow, and the fingers."""
    for side in range(2):
        table.data.mocap_pos[side] = pose.places[side]
        half = np.radians(pose.pitches_degrees[side]) / 2
        turned = np.zeros(4)
        table.mujoco.mju_mulQuat(turned, rest[side], np.array([np.cos(half), 0, np.sin(half), 0]))
        table.data.mocap_quat[side] = turned
        finger = CLOSED + pose.openings[side] * (OPEN - CLOSED)
        table.data.ctrl[2 * side : 2 * side + 2] = finger, -finger


def _note(table: Table, renderer: Any, labels_of: NDArray[np.uint8], track: Track) -> None:  # noqa: ANN401
    data = table.data
    renderer.update_scene(data, table.camera)
    track.images.append(np.array(renderer.render()))
    renderer.enable_segmentation_rendering()
    renderer.update_scene(data, table.camera)
    numbers, kinds = np.moveaxis(np.array(renderer.render()), 2, 0)
    renderer.disable_segmentation_rendering()
    is_geom = kinds == int(table.mujoco.mjtObj.mjOBJ_GEOM)
    track.labels.append(np.where(is_geom, labels_of[np.where(is_geom, numbers, 0)], 0).astype(np.uint8))
    bodies = [*(f"vx300s_{side}/gripper_link" for side in SIDES), "box"]
    track.places.append(np.stack([np.array(data.body(name).xpos) for name in bodies]))
    fingers = [[data.joint(f"vx300s_{side}/{finger}_finger").qpos[0] for finger in ("left", "right")] for side in SIDES]
    left, right = np.array(fingers, dtype=np.float64).T
    track.openings.append(np.clip(((left - right) / 2 - CLOSED) / (OPEN - CLOSED), 0, 1))  # 0 closed to 1 open


def _label_table(table: Table) -> NDArray[np.uint8]:
    """For each shape of the model its object's number: 1 the left gripper, 2 the right one, 3 the cube, 0 others."""
    model = table.model
    numbers = np.zeros(model.ngeom, dtype=np.uint8)
    for shape in range(model.ngeom):
        body = model.body(int(model.geom_bodyid[shape])).name
        for number, side in enumerate(SIDES, start=1):
            if body.startswith(f"vx300s_{side}/") and ("gripper" in body or "finger" in body):
                numbers[shape] = number
    numbers[model.geom("red_box").id] = len(SIDES) + 1
    return numbers


def _recording(name: str, table: Table, track: Track) -> Recording:
    pose = np.eye(4)
    pose[:3, :3] = np.array(table.data.cam_xmat[table.camera]).reshape(3, 3) @ FROM_OPENGL
    pose[:3, 3] = table.data.cam_xpos[table.camera]
    poses = np.tile(pose, (NUM_FRAMES, 1, 1))
    labels, openings = np.stack(track.labels), np.stack(track.openings)
    seen = [seen_from(poses, places) for places in np.moveaxis(np.stack(track.places), 1, 0)]
    names = [*(f"{side} arm" for side in SIDES), "red cube"]
    objects = {}
    for number, (thing, places) in enumerate(zip(names, seen, strict=True), start=1):
        boxes = label_boxes(labels, number)
        depths = np.where(np.isnan(boxes[:, 0]), np.nan, places[:, 2])
        objects[thing] = ObjectTrack(boxes, depths_metres=depths, mask_value=number)
    clip = Clip(
        clip_id=name,
        scene_id=name,
        domain="manipulation",
        media=Path(f"{name}.mp4"),
        pts_seconds=np.arange(NUM_FRAMES) / FRAMES_PER_SECOND,
        camera=CameraTrack(poses, pinhole(WIDTH, HEIGHT, FOV_DEGREES)),
        effectors={names[side]: EffectorTrack(seen[side], openings[:, side], "camera") for side in range(2)},
        objects=objects,
    )
    return Recording(clip, np.stack(track.images), FRAMES_PER_SECOND, labels)
