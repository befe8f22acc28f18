"""Synthetic clips: what the annotations say is what the images show."""

import json
from functools import cache
from itertools import pairwise, product

import numpy as np
import pytest

from remot.data.annotations.native.reader import NativeReader
from remot.data.clips.bundled import clips_root, embedded_clips_root
from remot.data.experts import EffectorComposite
from remot.errors import ConfigError
from remot.motion import CONSISTENT_TRIPLES
from remot.seeding import numpy_generator
from remot.synthetic.rendering import clips as renderer
from remot.synthetic.rendering.camera import turned
from remot.synthetic.rendering.canvas import COLOURS
from remot.synthetic.rendering.clips import KINDS, VARIED_KINDS, kind_of, render_dataset, render_varied_clip
from remot.synthetic.rendering.profile import level_profile, wander
from remot.synthetic.simulators.vizdoom import pose
from tests.helpers import assert_close

INDICES = range(3)

#: Tests share clips, which none of them changes.
render_clip = cache(renderer.render_clip)


def centres(boxes_xyxy):
    return (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2


def centroid(image, name):
    """Mean pixel position of everything in the colour that ``name`` starts with."""
    colour = np.array(COLOURS[name.split()[0]], float)
    pixels = image.astype(float)
    direction = colour / np.linalg.norm(colour)
    shade = pixels / np.maximum(np.linalg.norm(pixels, axis=-1, keepdims=True), 1)
    rows, columns = np.nonzero((shade @ direction > 0.99) & (pixels.max(axis=-1) > 130))
    return np.array([columns.mean(), rows.mean()]) + 0.5


def controlled(clip, kind):
    """The quantity that a clip of ``kind`` varies, [N], in the sense of its attribute's positive value."""
    track = next(iter(clip.objects.values()))
    if kind.startswith("camera"):
        relative = clip.camera.camera_to_world[0, :3, :3].T @ clip.camera.camera_to_world[:, :3, :3]
        ahead = relative[:, :, 2]
        yaw = np.degrees(np.arctan2(ahead[:, 0], ahead[:, 2]))
        return yaw if kind == "camera_yaw" else np.degrees(np.arcsin(-ahead[:, 1]))
    if kind == "gripper":
        return clip.effectors["arm"].opening
    axis, sign = (0, 1) if kind.endswith("horizontal") else (1, -1)
    if kind.startswith("effector"):
        return sign * clip.effectors["arm"].positions[:, axis]
    return sign * centres(track.boxes_xyxy)[:, axis]


#: Distance that tells two levels of each kind apart: degrees, metres (1 m is the image's width), opening or pixels.
GAPS = {"camera": 14, "effector": 0.24, "gripper": 0.3, "object": 0.24 * 128}


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_clip_and_another_seed_another(kind):
    (clip, frames), (again, same_frames) = (renderer.render_clip(3, 5, kind) for _ in range(2))
    assert np.array_equal(frames, same_frames)
    assert np.array_equal(controlled(clip, kind), controlled(again, kind))
    assert not np.array_equal(frames, render_clip(4, 5, kind)[1])
    assert not np.array_equal(frames, render_clip(3, 6, kind)[1])


def test_files_do_not_depend_on_the_run(tmp_path):
    for name in ("a", "b"):
        render_dataset(tmp_path / name, 3, seed=1)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(files) == 6
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("index", INDICES)
def test_every_ordering_of_three_frames_occurs(kind, index):
    values = controlled(render_clip(0, index, kind)[0], kind)
    gap = GAPS[kind.split("_")[0]]
    signs = np.where(np.abs(values[None] - values[:, None]) < gap * 0.2, 0, np.sign(values[None] - values[:, None]))
    seen = {(signs[i, j], signs[i, k], signs[j, k]) for i, j, k in product(range(20), repeat=3) if len({i, j, k}) == 3}
    assert set(CONSISTENT_TRIPLES) <= seen


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("index", INDICES)
def test_levels_are_well_apart(kind, index):
    """Frames that rest (their neighbour is the same) are either at one level or at clearly different ones."""
    values = controlled(render_clip(0, index, kind)[0], kind)
    gap, resting = GAPS[kind.split("_")[0]], []
    for before, after in pairwise(values):
        if abs(after - before) < 0.05 * gap:
            resting.append(before)
    distances = np.abs(np.subtract.outer(resting, resting))
    assert np.all((distances < 0.1 * gap) | (distances > 0.97 * gap))
    assert distances.max() >= 1.94 * gap
    if kind.startswith("camera"):
        assert np.ptp(values) <= 50


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize(("kind", "axis", "sign"), [("camera_yaw", 0, -1), ("camera_pitch", 1, 1)])
def test_a_landmark_moves_against_the_camera(kind, axis, sign, index):
    """Turning right moves it to the left (smaller x), turning up moves it down (larger y)."""
    clip, frames = render_clip(0, index, kind)
    ((name, track),) = clip.objects.items()
    turn, places = controlled(clip, kind), centres(track.boxes_xyxy)[:, axis]
    assert track.is_landmark
    assert np.corrcoef(turn, places)[0, 1] * sign > 0.99
    first, last = int(turn.argmin()), int(turn.argmax())
    seen = centroid(frames[last], name)[axis] - centroid(frames[first], name)[axis]
    assert seen * sign > 0.2 * 128


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("kind", ["camera_yaw", "camera_pitch"])
def test_a_landmark_lies_where_the_poses_put_it(kind, index):
    """Its direction, estimated from the first box, projects into all boxes through K and R, and into the images."""
    clip, frames = render_clip(0, index, kind)
    ((name, track),) = clip.objects.items()
    rotations, matrix = clip.camera.camera_to_world[:, :3, :3], clip.camera.intrinsics
    places = centres(track.boxes_xyxy)
    rays = np.concatenate([places, np.ones((20, 1))], axis=1) @ np.linalg.inv(matrix).T
    in_world = np.einsum("nab,nb->na", rotations, rays / np.linalg.norm(rays, axis=1, keepdims=True))
    seen = np.einsum("nba,b->na", rotations, in_world.mean(axis=0)) @ matrix.T
    assert np.abs(seen[:, :2] / seen[:, 2:] - places).max() < 1.5
    assert np.all((track.boxes_xyxy >= 0) & (track.boxes_xyxy <= 128))
    for frame in (0, 9, 19):
        height = track.boxes_xyxy[frame, 3] - track.boxes_xyxy[frame, 1]
        sunk = height / 6 if name.endswith("cone") else 0.0  # a triangle's centroid lies below the middle of its box
        assert np.abs(centroid(frames[frame], name) - places[frame] - [0, sunk]).max() < 2.5


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("kind", ["object_horizontal", "object_vertical"])
def test_objects_are_where_their_boxes_are(kind, index):
    clip, frames = render_clip(0, index, kind)
    for name, track in clip.objects.items():
        assert (track.boxes_xyxy[:, 2:] - track.boxes_xyxy[:, :2]).min() >= 18
        for frame in (0, 7, 19):
            assert np.abs(centroid(frames[frame], name) - centres(track.boxes_xyxy)[frame]).max() < 5


@pytest.mark.parametrize("index", INDICES)
@pytest.mark.parametrize("kind", ["effector_horizontal", "effector_vertical", "gripper"])
def test_effector_positions_project_into_their_boxes(kind, index):
    clip, _ = render_clip(0, index, kind)
    positions, matrix = clip.effectors["arm"].positions, clip.camera.intrinsics
    pixels = positions @ matrix.T
    assert_close(pixels[:, :2] / pixels[:, 2:], centres(clip.objects["arm"].boxes_xyxy), atol=1e-6)
    assert_close(positions[:, 2], np.ones(20))


def is_colour(image, colour):
    return np.abs(image.astype(int) - colour).max(axis=-1) < 12


@pytest.mark.parametrize("index", INDICES)
def test_a_diagonal_arm_moves_as_far_up_as_sideways(index):
    clip, _ = render_clip(0, index, "effector_composite")
    positions, track = clip.effectors["arm"].positions, clip.objects["arm"]
    ways = np.diff(positions, axis=0)
    assert_close(np.abs(ways[:, 0]), np.abs(ways[:, 1]))
    assert np.ptp(positions[:, 0]) > 0.24 * 2
    assert_close(128 * positions[:, :2] + 64, centres(track.boxes_xyxy))
    assert EffectorComposite().judge(clip, np.arange(20))["arm"].codes.max() > 0


def test_the_clips_of_the_benchmark_are_those_of_the_command(tmp_path):
    """``remot data render --collection bench --num_clips 72 --seed 1``; videos depend on the codec's version."""
    renderer.render_bench_clips(tmp_path, 8, 1)
    files = sorted(tmp_path.glob("*.json"))
    assert len(files) == len(renderer.BENCH_KINDS)
    for file in files:
        assert json.loads(file.read_text()) == json.loads((clips_root("embedded/bench") / file.name).read_text())


@pytest.mark.parametrize("index", INDICES)
def test_the_gap_between_the_fingers_is_forty_pixels_times_the_opening(index):
    """Measured along the line through the middle of the box, which crosses both fingers."""
    clip, frames = render_clip(0, index, "gripper")
    for frame, opening in enumerate(clip.effectors["arm"].opening):
        x0, y0, x1, y1 = clip.objects["arm"].boxes_xyxy[frame].round().astype(int)
        inside = frames[frame, y0:y1, x0:x1] if x1 - x0 > y1 - y0 else frames[frame, y0:y1, x0:x1].transpose(1, 0, 2)
        fingers = np.flatnonzero(is_colour(inside[inside.shape[0] // 2], COLOURS["red"]))
        gap = fingers[-1] - fingers[0] + 1 - len(fingers)
        assert abs(gap - 40 * opening) <= 3


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("camera")])
def test_a_still_camera_is_annotated_as_still(kind):
    clip, _ = render_clip(0, 0, kind)
    assert_close(clip.camera.camera_to_world, np.tile(np.eye(4), (20, 1, 1)))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_meant_to_move_hardly_does(kind):
    for index in INDICES:
        clip, _ = render_clip(0, index, kind)
        for name, track in clip.objects.items():
            spread = np.ptp(centres(track.boxes_xyxy), axis=0) / 128
            limit = [0.07, 0.07]
            if kind == "gripper":
                limit = [0.12, 0.07]
            elif kind.startswith("camera"):
                limit = [1.0, 0.15] if kind == "camera_yaw" else [0.15, 1.0]
            else:
                limit[0 if kind.endswith("horizontal") else 1] = 1.0
            assert np.all(spread <= limit), (name, index, spread)


def hue_of(image, box_xyxy):
    """Mean unit vector of colour in the middle of a box."""
    x0, y0, x1, y1 = box_xyxy
    middle = np.array([[(3 * y0 + y1) / 4, (y0 + 3 * y1) / 4], [(3 * x0 + x1) / 4, (x0 + 3 * x1) / 4]]).round()
    inside = image[slice(*middle[0].astype(int)), slice(*middle[1].astype(int))].reshape(-1, 3).astype(float)
    return (inside / np.maximum(np.linalg.norm(inside, axis=1, keepdims=True), 1)).mean(axis=0)


def test_varied_clips_show_what_their_annotations_say_in_any_colour():
    """The colour in a thing's box is more like the one that its name says than like any other; no colour is fixed."""
    units = {name: np.array(rgb) / np.linalg.norm(rgb) for name, rgb in COLOURS.items()}
    named, found = [], []
    for index in [number for number in range(64) if list(VARIED_KINDS)[number % 8].startswith("object")]:
        clip, frames = render_varied_clip(7, index)
        for name, track in clip.objects.items():
            if name.split()[1] == "ring":  # its middle shows the background
                continue
            hue = hue_of(frames[10], track.boxes_xyxy[10])
            named.append(name.split()[0])
            found.append(max(units, key=lambda colour: units[colour] @ hue))
    assert len(named) >= 16
    assert len(set(named)) >= 5
    assert np.mean([one == other for one, other in zip(named, found, strict=True)]) > 0.9


def test_varied_clips_are_a_function_of_seed_and_number():
    (clip, frames), (_, again) = (render_varied_clip(7, 5) for _ in range(2))
    assert np.array_equal(frames, again)
    assert not np.array_equal(frames, render_varied_clip(8, 5)[1])
    assert clip.clip_id == "varied-7-5"


@pytest.mark.parametrize("index", [7, *(pytest.param(index, marks=pytest.mark.slow) for index in (15, 23, 31))])
def test_what_stands_in_a_room_moves_against_the_turn_of_a_camera_that_roams(index):
    """Between frames of nearly the same place: to the right moves things to the left."""
    clip, _ = render_varied_clip(3, index)
    poses = clip.camera.camera_to_world
    yaw, agreed = controlled(clip, "camera_yaw"), []
    assert np.abs(poses[:, 2, 3] - poses[0, 2, 3]).max() < 1e-9
    for track in clip.objects.values():
        assert track.is_landmark
        whole = (track.boxes_xyxy[:, :2] > 1).all(axis=1) & (track.boxes_xyxy[:, 2:] < 127).all(axis=1)
        for i, j in product(np.flatnonzero(whole), repeat=2):
            way = np.linalg.norm(poses[j, :3, 3] - poses[i, :3, 3])
            if yaw[j] - yaw[i] > 10 and way < 0.05:
                agreed.append(centres(track.boxes_xyxy)[j, 0] < centres(track.boxes_xyxy)[i, 0] - 5)
    assert all(agreed)
    assert np.ptp(yaw) > 20 or np.ptp(poses[:, :2, 3], axis=0).max() > 0.4


def test_names_are_unambiguous():
    for kind, index in product(("object_horizontal", "object_vertical"), range(12)):
        colours = [name.split()[0] for name in render_clip(0, index, kind)[0].objects]
        assert len(set(colours)) == len(colours)


def test_kinds_take_turns_and_unknown_ones_are_refused():
    assert [kind_of(index) for index in range(len(KINDS))] == list(KINDS)
    assert kind_of(len(KINDS)) == kind_of(0)
    with pytest.raises(ConfigError, match="camera_yaw"):
        render_clip(0, 0, "camera_roll")


def test_positive_turns_are_right_and_up():
    assert_close(turned(90, 0)[:, 2], [1, 0, 0], atol=1e-12)  # x is right
    assert_close(turned(0, 90)[:, 2], [0, -1, 0], atol=1e-12)  # y is down, so up is negative


def test_profiles_stay_in_their_range_and_wander_in_its():
    for index in range(50):
        generator = numpy_generator(0, "test", index)
        values = level_profile(generator, 20, 10.0, 90.0, 20.0)
        assert values.shape == (20,)
        assert values.min() >= 10
        assert values.max() <= 90
        assert np.abs(wander(generator, 20, 3.0)).max() <= 3


def test_a_doom_heading_becomes_an_opencv_pose():
    """Heading 0 looks east, along x; the camera's right is then south (-y) and its down is -z."""
    east, north = pose(np.array([32.0, 64.0, 0.0]), 0), pose(np.zeros(3), 90)
    assert_close(east[:3, :3], [[0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    assert_close(east[:3, 3], [1, 2, 0])
    assert_close(north[:3, 2], [0, 1, 0], atol=1e-12)


def test_game_clips_turn_to_both_sides_on_the_spot():
    clips = [clip for clip in NativeReader().read(embedded_clips_root()) if clip.domain == "game"]
    assert len({clip.scene_id for clip in clips}) >= 2
    for clip in clips:
        rotations = clip.camera.camera_to_world[:, :3, :3]
        steps = np.einsum("nba,nbc->nac", rotations[:-1], rotations[1:])[:, :, 2]
        assert steps[:, 0].max() > 0.03
        assert steps[:, 0].min() < -0.03
        assert np.abs(steps[:, 1]).max() < 1e-3
        assert np.ptp(clip.camera.camera_to_world[:, :3, 3], axis=0).max() < 1e-2
