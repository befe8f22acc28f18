"""Tables of effector poses: every number worked out by hand."""

import numpy as np
import pytest

from remot.data.annotations import EffectorPosesReader
from remot.data.experts import EffectorHorizontal, EffectorVertical, Gripper
from remot.data.media import write_video
from remot.errors import AnnotationError, ConfigError
from tests.helpers import assert_close

HALF = 0.5**0.5
#: Right of the camera is the base's -y, down its -z, forward its x; it stands at (0, 0, 0.5).
LOOKING_AHEAD = [0, 0, 1, 0, -1, 0, 0, 0, 0, -1, 0, 0.5, 0, 0, 0, 1]
#: The same way round on the effector, 0.1 m behind it along its x.
AT_WRIST = [0, 0, 1, -0.1, -1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 0, 1]
#: The effector goes 0.4 m to the left and turns by 90 degrees to the left about z.
ROWS = [
    {"time_seconds": 0.0, "x": 1.0, "y": 0.2, "z": 0.5, "qx": 0, "qy": 0, "qz": 0, "qw": 1, "opening": 0},
    {"time_seconds": 0.1, "x": 1.0, "y": 0.6, "z": 0.5, "qx": 0, "qy": 0, "qz": HALF, "qw": HALF, "opening": 85},
]
GRIPPER = {"opening_range": (0, 85)}


def write(folder, rows=ROWS, suffix="csv", **changes):
    """A table of two frames and its video."""
    rows = [{**row, **changes} for row in rows]
    write_video(folder / "reach.mp4", np.zeros((2, 32, 32, 3), dtype=np.uint8), 10)
    if suffix == "csv":
        lines = [",".join(rows[0]), *(",".join(str(value) for value in row.values()) for row in rows)]
        (folder / "reach.poses.csv").write_text("\n".join(lines) + "\n")
    else:
        columns = {name: np.array([row[name] for row in rows], dtype=float) for name in rows[0]}
        arrays = {name: columns[name] for name in ("time_seconds", "opening")}
        arrays["position"] = np.stack([columns[name] for name in "xyz"], axis=1)
        arrays["orientation_xyzw"] = np.stack([columns[f"q{name}"] for name in "xyzw"], axis=1)
        np.savez(folder / "reach.poses.npz", **arrays)
    return folder


def read(folder, **settings):
    (clip,) = EffectorPosesReader(**(GRIPPER | settings)).read(folder)
    return clip


@pytest.mark.parametrize("suffix", ["csv", "npz"])
def test_a_calibrated_camera_that_is_fixed(tmp_path, suffix):
    """0.4 m to the robot's left is 0.4 m to the left in the image; 100 pixels a tangent, the first at x = 30 of 100,
    the second at x = -10: outside."""
    settings = {"camera_to_base": LOOKING_AHEAD, "intrinsics": [100, 100, 50, 50]}
    clip = read(write(tmp_path, suffix=suffix), **settings)
    track = clip.effectors["gripper"]
    assert_close(track.positions, [[-0.2, 0, 1], [-0.6, 0, 1]])
    assert_close(track.opening, [0, 1])
    assert track.visible.tolist() == [True, False]
    seen = read(tmp_path, **settings | {"intrinsics": None})
    assert EffectorHorizontal().label(seen, 0, 1, "gripper").value == "left"
    assert (clip.clip_id, clip.scene_id, clip.media.name) == ("reach", "reach", "reach.mp4")
    assert_close(clip.pts_seconds, [0, 0.1])


def test_a_camera_at_the_wrist_sees_its_gripper_at_rest(tmp_path):
    """0.1 m before the camera in both frames. The camera's second pose: forward is the base's y, at y = 0.6 - 0.1."""
    clip = read(write(tmp_path), camera_to_effector=AT_WRIST)
    assert_close(clip.effectors["gripper"].positions, [[0, 0, 0.1]] * 2, atol=1e-12)
    assert_close(clip.camera.camera_to_world[1, :3, 2:], [[0, 1.0], [1, 0.5], [0, 0.5]], atol=1e-12)
    assert EffectorHorizontal().label(clip, 0, 1, "gripper").value == "none"
    assert Gripper().label(clip, 0, 1, "gripper").value == "opened"


def test_without_calibration_only_a_fixed_camera_is_asked_about(tmp_path):
    rows = [{**row, "z": z} for row, z in zip(ROWS, (0.1, 0.5), strict=True)]
    folder = write(tmp_path, rows)
    for moves, answer in ((None, None), (True, None), (False, "up")):
        label = EffectorVertical().label(read(folder, camera_moves=moves), 0, 1, "gripper")
        assert (label.value if label else None) == answer
    assert Gripper().label(read(folder), 0, 1, "gripper").value == "opened"


def test_visible_is_a_column(tmp_path):
    assert read(write(tmp_path, visible=0)).effectors["gripper"].visible.tolist() == [False, False]


def test_millimetres(tmp_path):
    folder = write(tmp_path, [{**row, "x": 1000, "y": 200, "z": 500} for row in ROWS])
    with pytest.raises(AnnotationError, match=r"reach\.poses\.csv.* 1000 m") as caught:
        read(folder, axes="-y,-z,x")
    assert caught.value.reason == "unit"
    track = read(folder, camera_to_base=LOOKING_AHEAD, metres_per_unit=0.001).effectors["gripper"]
    assert_close(track.positions[0], [-0.2, 0, 1])


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        ("", "no column 'time_seconds'"),
        ("time_seconds,x,y,z,gripper\n", "unknown column 'gripper'"),
        ("time_seconds,x,y,z\n", "holds no row"),
        ("time_seconds,x,y,z\n0,1,2\n", "line 2 must hold 4 numbers"),
        ("time_seconds,x,y,z\n0,1,2,far\n", "line 2 must hold 4 numbers, found .*far"),
        ("time_seconds,x,y,z\n0,1,2,nan\n", "line 2 holds NaN"),
        ("time_seconds,x,y,z,qx,qy,qz,qw\n0,1,2,0,0,0,0,0\n", "quaternion of row 0"),
        ("time_seconds,x,y,z\n0,1,2,0\n0,1,2,0\n", "strictly increasing"),
    ],
)
def test_bad_tables_are_named(tmp_path, content, fact):
    (write(tmp_path) / "reach.poses.csv").write_text(content)
    with pytest.raises(AnnotationError, match=rf"reach\.poses\.csv.*{fact}"):
        read(tmp_path)


def test_an_archive_of_objects_is_not_unpickled(tmp_path):
    write(tmp_path, suffix="npz")
    np.savez(tmp_path / "reach.poses.npz", time_seconds=np.zeros(2), position=np.array([print, print]))
    with pytest.raises(AnnotationError, match=r"reach\.poses\.npz: array position must hold plain numbers"):
        read(tmp_path)


def test_a_wrist_camera_needs_orientations(tmp_path):
    rows = [{name: row[name] for name in ("time_seconds", "x", "y", "z")} for row in ROWS]
    with pytest.raises(AnnotationError, match=r"reach\.poses\.csv.*qx, qy, qz, qw"):
        read(write(tmp_path, rows), camera_to_effector=AT_WRIST)


@pytest.mark.parametrize(
    ("settings", "fact"),
    [
        ({"camera_to_base": AT_WRIST, "camera_to_effector": AT_WRIST}, "both given"),
        ({"camera_to_base": [1.0] * 16}, "camera_to_base must be 16 numbers of a rigid"),
        ({"camera_to_effector": [1.0] * 9}, "camera_to_effector must be 16"),
        ({"metres_per_unit": 0.0}, "metres_per_unit is 0.0"),
        ({"axes": "x,x,x"}, "axes"),
    ],
)
def test_unusable_settings_are_refused(settings, fact):
    with pytest.raises(ConfigError, match=fact):
        EffectorPosesReader(**settings)
