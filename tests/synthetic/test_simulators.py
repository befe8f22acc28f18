"""What recorders work out without a simulator: boxes, poses, paths of arms, names of things, and what is missing."""

import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from remot.commands.data import record as commands
from remot.data.annotations import NativeReader
from remot.data.annotations.camera_axes import seen_from
from remot.data.experts.camera import turn_degrees
from remot.data.media import check_media
from remot.errors import AnnotationError, ConfigError
from remot.structures import AgentTrack, CameraTrack, Clip, EffectorTrack, LayoutBox, ObjectTrack
from remot.synthetic.simulators import aloha, aloha_moves, common, doom_walk, miniworld, vizdoom
from tests.helpers import assert_close

NAN = float("nan")


def test_boxes_reach_from_the_first_pixel_to_the_end_of_the_last():
    labels = np.zeros((2, 20, 30), dtype=np.uint8)
    labels[0, 4:9, 10:16] = 7  # 5 rows of 6 pixels: the 30 that are needed
    labels[1, 4:9, 10:16] = 7
    labels[1, 4, 10] = 0  # 29
    assert_close(common.label_boxes(labels, 7), [[10, 4, 16, 9], [NAN] * 4])
    assert np.isnan(common.label_boxes(labels, 6)).all()


def test_looking_is_upright():
    """Looking north: right is east, down is down. Looking up to the north-east tilts the axes with the view."""
    assert_close(common.looking(np.array([1.0, 2, 3]), np.array([0.0, 5, 0])), [
        [1, 0, 0, 1],
        [0, 0, 1, 2],
        [0, -1, 0, 3],
        [0, 0, 0, 1],
    ])  # fmt: skip
    level, lifted = (common.looking(np.zeros(3), np.array([1.0, 1, z])) for z in (0, np.sqrt(2)))
    yaw, pitch, roll = turn_degrees(level[:3, :3].T @ lifted[:3, :3])
    assert_close([yaw, pitch, roll], [0, 45, 0])


def test_a_pinhole_sees_half_its_field_at_the_edge():
    matrix = common.pinhole(320, 240, 60)
    assert_close(matrix @ [0, np.tan(np.radians(30)), 1], [160, 240, 1])


def test_points_come_into_the_cameras_axes():
    pose = common.looking(np.array([0.0, 0, 1]), np.array([0.0, 1, 0]))
    assert_close(seen_from(pose[None], np.array([[2.0, 10, 0]])), [[2, 1, 10]])


def sample_recording():
    labels = np.zeros((2, 16, 16), dtype=np.uint8)
    labels[:, :8] = 3
    track = ObjectTrack(common.label_boxes(labels, 3), mask_value=3)
    clip = Clip("made-0-0", "made", "test", None, np.array([0.0, 0.1]), objects={"lid": track})
    return common.Recording(clip, np.zeros((2, 16, 16, 3), np.uint8), 10, labels)


def test_recordings_are_written_with_their_masks(tmp_path):
    common.write_recording(sample_recording(), tmp_path / "new", source="test", licence="CC0-1.0")
    (clip,) = NativeReader().read(tmp_path / "new")
    check_media(clip)
    assert clip.objects["lid"].masks == (tmp_path / "new" / "made-0-0-masks").resolve()
    assert clip.objects["lid"].mask_value == 3
    assert_close(clip.objects["lid"].boxes_xyxy[1], [0, 0, 16, 8])


def test_a_reduced_recording_keeps_every_second_frame_and_scales_with_its_images():
    """320 x 240 to 128 x 96 is a factor of 0.4, of boxes and of the pinhole alike; two of four frames are kept."""
    poses = np.tile(np.eye(4), (4, 1, 1))
    poses[:, 0, 3] = 1, 2, 3, 4
    camera = CameraTrack(poses, common.pinhole(320, 240, 60.0))
    boxes = np.tile([10.0, 20, 50, 100], (4, 1))
    objects = {
        "lid": ObjectTrack(boxes, masks=Path("masks"), depths_metres=np.arange(4.0)),
        "gone": ObjectTrack(np.where(np.arange(4)[:, None] == 1, boxes, NAN)),
    }
    hand = EffectorTrack(np.arange(12.0).reshape(4, 3) / 8, opening=np.arange(4) / 4)
    agent = AgentTrack(np.arange(8.0).reshape(4, 2), np.arange(4.0))
    times, box = np.array([1.0, 1.1, 1.2, 1.3]), LayoutBox("chair", np.ones(3), np.ones(3), np.eye(3))
    clip = Clip("c", "s", "d", None, times, camera, {"hand": hand}, objects, agent=agent, layout=(box,))
    small = common.reduced(common.Recording(clip, np.full((4, 240, 320, 3), 7, np.uint8), 10, np.ones((4, 240, 320))))
    assert (small.frames.shape, small.fps, small.labels) == ((2, 96, 128, 3), 5, None)
    assert (small.clip.domain, small.clip.layout, list(small.clip.objects)) == ("simulation", (), ["lid"])
    assert_close(small.clip.pts_seconds, [0, 0.2])
    assert_close(small.clip.camera.camera_to_world[:, 0, 3], [1, 3])
    assert_close(small.clip.camera.intrinsics, common.pinhole(128, 96, 60.0))
    assert_close(small.clip.objects["lid"].boxes_xyxy, [[4, 8, 20, 40]] * 2)
    assert_close(small.clip.objects["lid"].depths_metres, [0, 2])
    assert small.clip.objects["lid"].masks is None
    assert_close(small.clip.effectors["hand"].positions, [[0, 0.125, 0.25], [0.75, 0.875, 1]])
    assert_close(small.clip.effectors["hand"].opening, [0, 0.5])
    assert_close(small.clip.agent.positions_metres, [[0, 1], [4, 5]])
    assert_close(small.clip.agent.headings_degrees, [0, 2])


@pytest.mark.parametrize("motion", ["walk", "turn", "roam"])
def test_a_map_that_does_not_exist_is_refused(motion, tmp_path):
    with pytest.raises(ConfigError, match="MAP33"):
        commands.vizdoom_command(tmp_path / "new", motion=motion, maps=["MAP33"])
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("motion", ["walk", "turn", "roam"])
def test_a_recording_ends_with_the_number_of_clips_and_their_folder(motion, tmp_path, monkeypatch, capsys):
    """Of stand-ins for the game and for the process that writes."""
    monkeypatch.setattr(vizdoom, "record_clip", lambda *_, **__: (sample_recording().clip, sample_recording().frames))
    monkeypatch.setattr(common, "write_recordings", lambda made, out, **_: (out for _ in made))
    monkeypatch.setattr(doom_walk, "record_walk", lambda *_, **__: sample_recording())
    commands.vizdoom_command(tmp_path / "new", num_clips=2, motion=motion)
    shown = capsys.readouterr()
    assert f"2 clips written to {tmp_path / 'new'}" in shown.out
    assert "recording clips" in shown.err


@pytest.mark.slow
def test_recordings_are_written_by_a_process_of_their_own_and_its_errors_come_back(tmp_path):
    good = sample_recording()
    files = list(common.write_recordings([good], tmp_path, source="test", licence="CC0-1.0"))
    assert files == [tmp_path / "made-0-0.json"]
    short = replace(good, frames=good.frames[:1])
    with pytest.raises(AnnotationError, match="2 frames, got 1") as caught:
        list(common.write_recordings([short], tmp_path, source="test", licence="CC0-1.0"))
    assert caught.value.reason == "unsynchronised"


@pytest.mark.parametrize(
    ("package", "record", "message"),
    [
        ("vizdoom", doom_walk.record_walk, r'pip install "remot\[sim\]"'),
        ("mujoco", aloha.record_arms, r'pip install "remot\[sim\]" and pip install --no-deps gym-aloha'),
        ("pyglet", miniworld.record_room, r'pip install "remot\[sim\]"'),
    ],
)
def test_a_missing_simulator_is_named(monkeypatch, package, record, message):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=message) as caught:
        record(0, 0)
    assert package in str(caught.value)


def test_missing_models_of_the_arms_are_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mujoco", SimpleNamespace())
    monkeypatch.setattr(aloha.importlib.util, "find_spec", lambda name: None)  # noqa: ARG005
    with pytest.raises(ConfigError, match=r"models of gym-aloha: .*--no-deps"):
        aloha.record_arms(0, 0)


def test_a_view_that_cannot_be_drawn_is_named():
    def fail(*_):
        msg = "no EGL"
        raise RuntimeError(msg)

    table = aloha.Table(SimpleNamespace(Renderer=fail), None, None, 0)
    with pytest.raises(ConfigError, match=r"cannot draw \(no EGL\); .*libegl1"):
        aloha._renderer(table)


@pytest.mark.parametrize("command", sorted(commands.RECORD_COMMANDS))
def test_no_clips_are_no_recording(tmp_path, command):
    settings = {"photos": tmp_path} if command == "photos" else {}
    with pytest.raises(ConfigError, match="num_clips is 0"):
        commands.RECORD_COMMANDS[command](tmp_path, num_clips=0, **settings)


# -- game ----------------------------------------------------------------------------------------------------------


def thing(number, identity, kind, place=(64.0, 0, 0), category="Monster"):
    return doom_walk.Thing(number, identity, kind, category, np.array(place))


def sight(*things, shape=(doom_walk.HEIGHT, doom_walk.WIDTH)):
    """Each thing has the 100 pixels in the rows of its number."""
    buffer = np.zeros(shape, dtype=np.uint8)
    for one in things:
        buffer[one.number, :100] = one.number
    image = np.zeros((*shape, 3), np.uint8)
    return doom_walk.RecordedFrame(image, buffer, tuple(things), np.zeros(4), np.zeros(4), 0)


def objects_of(*sights):
    poses = np.tile(common.looking(np.zeros(3), np.array([1.0, 0, 0])), (len(sights), 1, 1))
    return doom_walk._objects(list(sights), poses)


def test_a_name_denotes_the_only_visible_object_of_its_kind():
    imp, other = thing(5, 1, "DoomImp"), thing(9, 2, "DoomImp")
    tracks, labels = objects_of(sight(imp), sight(imp, other), sight(thing(8, 1, "DoomImp")), sight(other))
    assert list(tracks) == ["imp"]
    assert_close(tracks["imp"].boxes_xyxy, [[0, 5, 100, 6], [NAN] * 4, [0, 8, 100, 9], [NAN] * 4])
    assert_close(tracks["imp"].depths_metres, [2, NAN, 2, NAN])
    assert [int((image > 0).sum()) for image in labels] == [100, 0, 100, 0]


def test_who_could_walk_is_no_landmark_and_what_moved_is_none():
    still, moved = thing(5, 1, "Medikit", category="Health"), thing(6, 2, "Clip", category="Ammo")
    shifted = thing(6, 2, "Clip", (64.0, 5, 0), category="Ammo")
    imp, smoke = thing(7, 3, "DoomImp"), thing(9, 4, "BulletPuff", category="Explosive")
    tracks, _ = objects_of(sight(still, moved, imp, smoke), sight(still, shifted, imp, smoke))
    assert {name: track.is_landmark for name, track in tracks.items()} == {"clip": False, "imp": False, "medikit": True}
    assert len({track.mask_value for track in tracks.values()}) == 3


def test_what_is_seen_once_or_hardly_has_no_name():
    imp = thing(5, 1, "DoomImp")
    hardly = sight(imp)
    hardly.buffer[5, 20:] = 0
    assert objects_of(sight(imp), hardly)[0] == {}


@pytest.mark.parametrize(
    ("kind", "name"), [("DoomImp", "imp"), ("HealthBonus", "health bonus"), ("Zombieman", "zombieman")]
)
def test_kinds_become_words(kind, name):
    assert doom_walk.readable(kind) == name


# -- arms ----------------------------------------------------------------------------------------------------------

START = (np.array([-0.3, 0.5, 0.3]), np.array([0.3, 0.5, 0.3]))


def test_arms_move_one_at_a_time_within_reach_and_clearly():
    for seed in range(20):
        path = aloha_moves.levels(START, np.random.default_rng(seed), 6)
        assert path[-1].seconds >= 6
        for before, after in pairwise(path):
            shifts = [np.abs(after.places[side] - before.places[side]) for side in (0, 1)]
            opened = [abs(after.openings[side] - before.openings[side]) for side in (0, 1)]
            moved = [bool(shift.max() > 0 or change) for shift, change in zip(shifts, opened, strict=True)]
            assert sum(moved) <= 1
            if max(shift.max() for shift in shifts):
                assert max(shift.max() for shift in shifts) >= 0.13
        for pose in path[2:]:
            assert (pose.places[0] >= aloha_moves.LOW - 1e-9).all()
            assert (pose.places[1] * [-1, 1, 1] <= aloha_moves.HIGH + 1e-9).all()


def test_a_path_is_followed_slowly_at_its_ends():
    path = [
        aloha_moves.Pose(0, START, (0.0, 0.0)),
        aloha_moves.Pose(2, (START[0] + [0, 0, 0.4], START[1]), (1.0, 0.0)),
    ]
    heights = [float(aloha_moves.pose_at(path, seconds).places[0][2]) for seconds in (-1, 0, 0.5, 1, 2, 9)]
    # smoothstep: a quarter of the time is 3/16 - 2/64 = 0.15625 of the way
    assert_close(heights, [0.3, 0.3, 0.3 + 0.4 * 0.15625, 0.5, 0.7, 0.7])
    assert aloha_moves.pose_at(path, 1).openings == (0.5, 0.0)


def test_the_cube_is_taken_and_lifted():
    cube = np.array([0.1, 0.5, 0.02])
    path = aloha_moves.grasp(START, cube, 6)
    assert all(pose.places[0] is START[0] for pose in path)
    tip = [pose.places[1] - aloha_moves.TIP_METRES * np.array([0.5, 0, np.sqrt(0.75)]) for pose in path]
    assert_close(tip[4], cube)
    assert path[4].openings == (0.0, 1.0)
    assert path[5].openings == (0.0, 0.0)
    assert tip[-1][2] > cube[2] + 0.1


# -- rooms ---------------------------------------------------------------------------------------------------------


def test_a_models_box_is_where_its_points_are():
    """A model twice as large, turned by 90 degrees to the left, whose points reach from 0 to 1 along its x, to 2 along
    its y (up) and from 0 to 3 along its z. Its x is north in the clip, its -z is west."""
    mesh = SimpleNamespace(min_coords=np.zeros(3), max_coords=np.array([1.0, 2, 3]))
    model = SimpleNamespace(mesh=mesh, scale=2.0, dir=np.pi / 2, pos=np.array([10.0, 0, 5]))
    box = miniworld._layout_box("shelf", model)
    assert_close(box.size_metres, [2, 6, 4])
    # the place is (10, -5, 0); half of x is 1 to the north, half of z is 3 to the east, half of y is 2 up
    assert_close(box.centre_metres, [13, -4, 2])
    assert_close(box.axes, [[0, 1, 0], [-1, 0, 0], [0, 0, 1]])


def test_pixels_belong_to_the_box_their_points_lie_in():
    """A camera at a height of 1 m looks north at a wall 5 m away, in front of which two boxes stand."""
    pose = common.looking(np.array([0.0, 0, 1]), np.array([0.0, 1, 0]))
    depths = np.full((miniworld.HEIGHT, miniworld.WIDTH), 5.0)
    depths[100:140, 60:100], depths[100:140, 200:240] = 2.0, 3.0
    seen = miniworld.RecordedFrame(np.zeros((1, 1, 3), np.uint8), pose, np.zeros(3), 0.0, depths)
    boxes = tuple(
        LayoutBox(name, np.array(centre), np.array([4.0, 0.2, 2]), np.eye(3))
        for name, centre in (("left", [-2.0, 2.1, 1]), ("right", [2.0, 3.1, 1]))
    )
    labels = miniworld._labels(seen, boxes, common.pinhole(miniworld.WIDTH, miniworld.HEIGHT, 60))
    assert_close(common.label_boxes(labels[None], 1), [[60, 100, 100, 140]])
    assert_close(common.label_boxes(labels[None], 2), [[200, 100, 240, 140]])
    assert (labels > 0).sum() == 2 * 40 * 40
