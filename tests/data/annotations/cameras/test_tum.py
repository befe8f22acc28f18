"""TUM recordings: association by time, rows without times, and what is refused."""

import numpy as np
import pytest
from PIL import Image

from remot.data.annotations import TUMReader
from remot.errors import ConfigError
from tests.data.annotations.layouts import (
    refused,
    replace_in,
    shot_of,
    the_clip,
    write_images,
    write_lines,
    write_slambook,
    write_tum,
)
from tests.helpers import assert_close

UNTURNED = "0 0 0 1"


def timed(folder, poses, images):
    """``groundtruth.txt`` of (time, x, quaternion) and ``rgb.txt`` of times."""
    write_lines(folder / "groundtruth.txt", [f"{time} {x} 0 0 {turn}" for time, x, turn in poses])
    write_lines(folder / "rgb.txt", [f"{time} {k}.png" for k, time in enumerate(images)])
    for k in range(len(images)):
        Image.new("L", (4, 4)).save(folder / f"{k}.png")


def test_names(tmp_path):
    write_tum(shot_of(), tmp_path)
    clip = the_clip(TUMReader(), tmp_path)
    assert (clip.clip_id, clip.scene_id, clip.domain) == ("rgbd_dataset_freiburg1_xyz", "freiburg1", "tum")
    assert clip.camera.intrinsics is None
    assert clip.camera.is_metric


def test_an_image_between_two_poses(tmp_path):
    """A quarter of the way in time: a quarter of 2 m, and a quarter of a half turn about z (a quaternion 0 0 1 0)."""
    timed(tmp_path, [(10.0, 0, UNTURNED), (10.04, 2, "0 0 0.70710678 0.70710678")], [10.01])
    pose = the_clip(TUMReader(), tmp_path).camera.camera_to_world[0]
    assert_close(pose[:3, 3], [0.5, 0, 0], atol=1e-6)
    angle = np.radians(22.5)
    assert_close(pose[:2, :2], [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], atol=1e-6)


def test_images_without_a_pose_near_are_left_out(tmp_path):
    """Poses at 10, 10.04 and 10.5 s: nothing before the first, in the gap, or after the last."""
    poses = [(10.0, 0, UNTURNED), (10.04, 1, UNTURNED), (10.5, 2, UNTURNED)]
    timed(tmp_path, poses, [9.99, 10.0, 10.03, 10.25, 10.5, 10.51])
    clip = the_clip(TUMReader(), tmp_path)
    assert [image.name for image in clip.media] == ["1.png", "2.png", "4.png"]
    assert_close(clip.pts_seconds, [0, 0.03, 0.5], atol=1e-6)
    wide = the_clip(TUMReader(max_gap_seconds=0.3), tmp_path)
    assert [image.name for image in wide.media] == ["1.png", "2.png", "3.png", "4.png"]


def test_two_clocks_are_refused(tmp_path):
    timed(tmp_path, [(10.0, 0, UNTURNED), (10.04, 1, UNTURNED)], [500.0, 500.1])
    reason, message = refused(TUMReader(), tmp_path)
    assert reason == "unsynchronised"
    assert "groundtruth.txt: none of 2 images lies within 0.05 s of two poses" in message


def test_times_in_the_names_of_images(tmp_path):
    folder = write_tum(shot_of(), tmp_path)
    (folder / "rgb.txt").unlink()
    clip = the_clip(TUMReader(), tmp_path)
    assert_close(clip.pts_seconds, [0, 0.1, 0.2], atol=1e-6)


def test_rows_without_times_go_by_number(tmp_path):
    """Twelve images 1.png to 12.png: 10 comes after 9."""
    write_slambook(shot_of(range(0, 60, 5)), tmp_path)
    clip = the_clip(TUMReader(fps=2), tmp_path)
    assert [image.stem for image in clip.media] == [str(k) for k in range(1, 13)]
    assert_close(clip.pts_seconds, np.arange(12) / 2)


def test_timed_poses_of_numbered_images_lend_their_times(tmp_path):
    timed(tmp_path, [(10.0, 0, UNTURNED), (10.5, 1, UNTURNED)], [0, 0])
    (tmp_path / "rgb.txt").unlink()
    assert_close(the_clip(TUMReader(), tmp_path).pts_seconds, [0, 0.5])


def test_real_part_comes_last(tmp_path):
    """x y z w = 0 0.7 0 0.7 turns the camera a quarter to the right: it looks along the world's x axis."""
    shot = shot_of()
    write_images(shot, tmp_path, lambda k: f"{k}.png")
    write_lines(tmp_path / "pose.txt", ["0 0 0 0 0.70710678 0 0.70710678"] * 3)
    assert_close(the_clip(TUMReader(), tmp_path).camera.camera_to_world[0, :3, 2], [1, 0, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("line", "reason", "message"),
    [
        ("1 2 3 4 5 6", "malformed", "line 4 must hold 8 numbers, found '1 2 3 4 5 6'"),
        ("11 0 0 0 0 0 0 x", "malformed", "line 4 must hold 8 numbers"),
        ("11 nan 0 0 0 0 0 1", "not finite", "line 4 holds NaN"),
        ("11 0 0 0 0 0 0 0", "pose", "row 3 has no quaternion of length 1"),
        ("9.5 0 0 0 0 0 0 1", "times", "times must increase from row to row, those of row 3"),
        ("1403636580863555584 0 0 0 0 0 0 1", "times", "1403636580863555584 is no time in seconds"),
        ("# timestamp p_x p_y p_z q_RS_w q_RS_x q_RS_y q_RS_z", "pose", "names qw before qx"),
    ],
)
def test_malformed_poses_are_named(tmp_path, line, reason, message):
    timed(tmp_path, [(10.0, 0, UNTURNED), (10.04, 1, UNTURNED)], [10.0])
    file = write_lines(tmp_path / "groundtruth.txt", ["# a comment", *(f"1{k} 0 0 0 0 0 0 1" for k in (0, 1)), line])
    assert refused(TUMReader(), tmp_path)[0] == reason
    assert refused(TUMReader(), tmp_path)[1].startswith(f"{file}: ")
    assert message in refused(TUMReader(), tmp_path)[1]


@pytest.mark.parametrize(
    ("lines", "reason", "message"),
    [
        (["10.0"], "malformed", "rgb.txt: line 1 must hold a time and a file name"),
        (["noon 0.png"], "malformed", "rgb.txt: line 1 must hold a time"),
        (["# none"], "zero length", "rgb.txt: lists no image"),
        (["10.02 0.png", "10.01 1.png"], "times", "rgb.txt: the times must increase"),
        (["inf 0.png"], "times", "rgb.txt: the times must increase"),
        (["10.0 7.png"], "missing media", "media '7.png' does not exist"),
        (["10.0 ../../outside.png"], "outside root", "leads outside"),
        ([f"10.0 {'a' * 300}.png"], "missing media", "is no valid path"),
    ],
)
def test_malformed_lists_of_images_are_named(tmp_path, lines, reason, message):
    timed(tmp_path, [(10.0, 0, UNTURNED), (10.04, 1, UNTURNED)], [10.0])
    write_lines(tmp_path / "rgb.txt", lines)
    found = refused(TUMReader(), tmp_path)
    assert found[0] == reason
    assert message in found[1]


def test_poses_without_times_must_be_as_many_as_images(tmp_path):
    folder = write_slambook(shot_of(), tmp_path)
    (folder / "color" / "3.png").unlink()
    reason, message = refused(TUMReader(), tmp_path)
    assert (reason, "3 poses but 2 images" in message) == ("unsynchronised", True)


def test_missing_images_are_reported(tmp_path):
    write_lines(tmp_path / "pose.txt", ["0 0 0 0 0 0 1"])
    assert refused(TUMReader(), tmp_path)[0] == "missing media"


def test_an_empty_file_and_an_empty_folder(tmp_path):
    assert refused(TUMReader(), tmp_path)[0] == "missing"
    folder = write_slambook(shot_of(), tmp_path)
    (folder / "pose.txt").write_text("# nothing\n")
    assert refused(TUMReader(), tmp_path)[0] == "zero length"


def test_binary_rubbish_is_refused(tmp_path):
    folder = write_tum(shot_of(), tmp_path)
    (folder / "groundtruth.txt").write_bytes(bytes(range(256)))
    assert "cannot be read as text" in refused(TUMReader(), tmp_path)[1]


def test_one_recording_a_folder(tmp_path):
    folder = write_tum(shot_of(), tmp_path)
    (folder / "pose.txt").write_text((folder / "groundtruth.txt").read_text())
    assert len(TUMReader().sources(tmp_path)) == 1
    replace_in(folder / "pose.txt", "1305031102", "x")
    assert the_clip(TUMReader(), tmp_path).num_frames == 3  # groundtruth.txt goes first


@pytest.mark.parametrize(
    "settings", [{"fps": 0}, {"fps": float("inf")}, {"intrinsics": [1, 2, 3]}, {"max_clip_frames": 3}]
)
def test_settings_that_make_no_sense(settings):
    with pytest.raises(ConfigError):
        TUMReader(**settings)
