"""KITTI odometry: camera 0 and its neighbours, the car on the ground, and what is refused."""

import numpy as np
import pytest

from remot.data.annotations import KITTIOdometryReader
from tests.data.annotations.layouts import (
    INTRINSICS,
    refused,
    replace_in,
    shot_of,
    the_clip,
    words,
    write_kitti,
    write_lines,
)
from tests.helpers import assert_close

START = [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]
#: Two metres ahead and one to the right, turned right by a quarter: forward is the first frame's x axis.
TURNED_RIGHT = [0, 0, 1, 1, 0, 1, 0, 0, -1, 0, 0, 2]


def drive(root, rows=(START, TURNED_RIGHT, TURNED_RIGHT)):
    folder = write_kitti(shot_of(), root)
    write_lines(root / "poses" / "00.txt", [words(row) for row in rows])
    return folder


def test_rows_are_three_by_four(tmp_path):
    folder = drive(tmp_path)
    (folder / "calib.txt").unlink()
    camera = the_clip(KITTIOdometryReader(), tmp_path).camera
    assert_close(camera.camera_to_world[1], np.array([*TURNED_RIGHT, 0, 0, 0, 1]).reshape(4, 4))
    assert camera.intrinsics is None


def test_the_car_seen_from_above(tmp_path):
    """North is ahead at the start, east to its right: 1 east and 2 north, and a right turn ends eastwards."""
    drive(tmp_path)
    agent = the_clip(KITTIOdometryReader(), tmp_path).agent
    assert_close(agent.positions_metres[:2], [[0, 0], [1, 2]])
    assert_close(agent.headings_degrees[:2], [90, 0])


def test_the_car_is_in_the_axes_of_the_first_row(tmp_path):
    """A drive cut out of a longer one starts turned; its first row is north all the same."""
    later = [0, 0, 1, 8, 0, 1, 0, 0, -1, 0, 0, 7]  # at (8, 0, 7), looking along x; 3 m further ahead is x = 11
    drive(tmp_path, [later, [0, 0, 1, 11, 0, 1, 0, 0, -1, 0, 0, 7], later])
    agent = the_clip(KITTIOdometryReader(), tmp_path).agent
    assert_close(agent.positions_metres[:2], [[0, 0], [0, 3]])
    assert_close(agent.headings_degrees[:2], [90, 90])


def test_colour_camera_is_beside_camera_0(tmp_path):
    """P2 of the real drives has -f b in its corner for a camera b to the right: 6 cm of 30 pixels are -1.8."""
    folder = drive(tmp_path)
    matrix = np.concatenate([INTRINSICS, [[-1.8], [0], [0]]], axis=1)
    write_lines(folder / "calib.txt", [f"P0: {words(INTRINSICS.ravel())}", f"P2: {words(matrix.ravel())}"])
    replace_in(folder / "calib.txt", "P0:", "P1:")
    camera = the_clip(KITTIOdometryReader(), tmp_path).camera
    assert_close(camera.camera_to_world[0, :3, 3], [0.06, 0, 0])
    assert_close(camera.camera_to_world[1, :3, 3], [1, 0, 2 - 0.06])  # its right is the first frame's backward
    assert_close(camera.intrinsics, INTRINSICS)


def test_which_images(tmp_path):
    folder = drive(tmp_path)
    assert the_clip(KITTIOdometryReader(), tmp_path).media[0].parent.name == "image_2"
    (folder / "image_2").rename(folder / "image_0")
    clip = the_clip(KITTIOdometryReader(), tmp_path)
    assert clip.media[0].parent.name == "image_0"
    assert_close(clip.camera.camera_to_world[0], np.eye(4))  # camera 0 is where the poses are
    assert refused(KITTIOdometryReader("image_2"), tmp_path)[0] == "missing media"


def test_names_and_times(tmp_path):
    folder = drive(tmp_path)
    write_lines(folder / "times.txt", ["5.0e+00", "5.104e+00", "5.207e+00"])
    clip = the_clip(KITTIOdometryReader(), tmp_path)
    assert (clip.clip_id, clip.scene_id, clip.domain) == ("00", "00", "kitti_odometry")
    assert_close(clip.pts_seconds, [0, 0.104, 0.207], atol=1e-9)
    (folder / "times.txt").unlink()
    assert_close(the_clip(KITTIOdometryReader(fps=5), tmp_path).pts_seconds, [0, 0.2, 0.4])


def test_poses_without_a_sequence_are_left_alone(tmp_path):
    """The whole set's poses lie beside a few of its images."""
    drive(tmp_path)
    write_lines(tmp_path / "poses" / "01.txt", [words(START)])
    assert the_clip(KITTIOdometryReader(), tmp_path).clip_id == "00"


@pytest.mark.parametrize(
    ("file", "lines", "reason", "message"),
    [
        ("poses/00.txt", [words(START[:11])], "malformed", "line 1 must hold 12 numbers"),
        ("poses/00.txt", [words(START), "nan " + words(START[1:])], "not finite", "line 2 holds NaN"),
        ("poses/00.txt", [words(START)] * 2, "unsynchronised", "2 poses but 3 images"),
        ("poses/00.txt", [words(START)] * 2 + [words(np.array(START) * 2)], "pose", "frame 2 is not a rigid motion"),
        ("poses/00.txt", [], "zero length", "holds no row of numbers"),
        ("sequences/00/times.txt", ["0", "1"], "unsynchronised", "3 poses but 2 times"),
        ("sequences/00/times.txt", ["0", "1", "1"], "times", "strictly increasing"),
        ("sequences/00/times.txt", ["0", "1", "soon"], "malformed", "line 3 must hold 1 numbers"),
        ("sequences/00/calib.txt", ["P0: " + words(START)], "missing", "there is no line 'P2:'"),
        ("sequences/00/calib.txt", ["P2: 1 2 3"], "malformed", "line 1 must hold 12 numbers"),
        ("sequences/00/calib.txt", ["P2: " + words([0] * 12)], "malformed", "P2 are no pinhole matrix"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, file, lines, reason, message):
    drive(tmp_path)
    write_lines(tmp_path / file, lines)
    found = refused(KITTIOdometryReader(), tmp_path)
    assert found[0] == reason
    assert message in found[1]
    assert "00" in found[1]
    assert str(tmp_path) in found[1]


def test_nothing_there(tmp_path):
    assert refused(KITTIOdometryReader(), tmp_path)[0] == "missing"
