"""7-Scenes and ScanNet: frames by number, lost tracking, and what is refused."""

import numpy as np
import pytest

from remot.data.annotations import ScanNetReader, SevenScenesReader
from tests.data.annotations.layouts import (
    INTRINSICS,
    refused,
    shot_of,
    the_clip,
    write_lines,
    write_scannet,
    write_seven_scenes,
)
from tests.helpers import assert_close

LOST = ["-inf -inf -inf -inf"] * 3 + ["-inf -inf -inf -inf"]
#: What is wrong with a pose of four rows, and the reason and words of its error.
BAD_POSES = {
    "nan": (["nan 0 0 0", "0 1 0 0", "0 0 1 0", "0 0 0 1"], "not finite", "the pose is NaN or infinity"),
    "windows": (["-1.#IND 0 0 0", "0 1 0 0", "0 0 1 0", "0 0 0 1"], "not finite", "the pose is NaN or infinity"),
    "scaled": (["2 0 0 0", "0 2 0 0", "0 0 2 0", "0 0 0 1"], "pose", "the pose is not a rigid motion"),
    "zero": (["0 0 0 0"] * 4, "pose", "the pose is not a rigid motion"),
    "flipped": (["1 0 0 0", "0 1 0 0", "0 0 -1 0", "0 0 0 1"], "pose", "the pose is not a rigid motion"),
}
FORMATS = {
    "seven_scenes": (write_seven_scenes, SevenScenesReader, "frame-000003.pose.txt"),
    "scannet": (write_scannet, ScanNetReader, "pose/3.txt"),
}
every_format = pytest.mark.parametrize("name", FORMATS)


@every_format
def test_camera_to_world_is_taken_as_it_is(tmp_path, name):
    """By hand: the second frame looks along the world's x axis and stands at (4, 5, 6)."""
    write, reader, second = FORMATS[name]
    folder = write(shot_of(), tmp_path)
    write_lines(folder / second, ["0 0 1 4", "0 1 0 5", "-1 0 0 6", "0 0 0 1"])
    pose = the_clip(reader(), tmp_path).camera.camera_to_world[1]
    assert_close(pose[:3, 2], [1, 0, 0])
    assert_close(pose[:3, 3], [4, 5, 6])


@every_format
def test_frames_go_by_number_and_times_by_frames(tmp_path, name):
    """Frames 0, 3, ... 33 at 10 numbers a second; by name, 12 would come before 3."""
    write, reader, _ = FORMATS[name]
    write(shot_of(range(0, 60, 5)), tmp_path)
    clip = the_clip(reader(fps=10), tmp_path)
    assert_close(clip.pts_seconds, np.arange(12) * 0.3)
    assert_close(np.array([int("".join(filter(str.isdigit, path.stem))) for path in clip.media]), np.arange(12) * 3)


@every_format
@pytest.mark.parametrize("kind", BAD_POSES)
def test_bad_poses_are_named_or_dropped(tmp_path, name, kind):
    write, reader, second = FORMATS[name]
    file = write_lines(write(shot_of(), tmp_path) / second, BAD_POSES[kind][0])
    reason, message = refused(reader(), tmp_path)
    assert reason == BAD_POSES[kind][1]
    assert message.startswith(f"{file}: {BAD_POSES[kind][2]}")
    clip = the_clip(reader(on_bad_pose="drop"), tmp_path)
    assert_close(clip.pts_seconds, [0, 0.2])
    assert [path.name.split(".")[0].removeprefix("frame-00000") for path in clip.media] == ["0", "6"]


@every_format
def test_poses_that_are_no_matrix_stop_even_if_bad_ones_are_dropped(tmp_path, name):
    write, reader, second = FORMATS[name]
    file = write_lines(write(shot_of(), tmp_path) / second, ["1 0 0 0", "0 1 0 0", "0 0 1 0"])
    assert refused(reader(on_bad_pose="drop"), tmp_path)[0] == "shape"
    write_lines(file, ["1 0 0 0", "0 1 0", "0 0 1 0", "0 0 0 1"])
    assert "line 2 must hold 4 numbers" in refused(reader(on_bad_pose="drop"), tmp_path)[1]
    file.write_text("")
    assert refused(reader(on_bad_pose="drop"), tmp_path)[0] == "zero length"


@every_format
def test_a_missing_image_is_named(tmp_path, name):
    write, reader, second = FORMATS[name]
    folder = write(shot_of(), tmp_path)
    image = second.replace("pose/", "color/").replace("pose.txt", "color.png").replace(".txt", ".jpg")
    (folder / image).unlink()
    reason, message = refused(reader(), tmp_path)
    assert reason == "missing media"
    assert image in message


@every_format
def test_images_stay_inside(tmp_path, name):
    write, reader, second = FORMATS[name]
    folder = write(shot_of(), tmp_path / "inside")
    image = folder / second.replace("pose/", "color/").replace("pose.txt", "color.png").replace(".txt", ".jpg")
    image.rename(tmp_path / image.name)
    image.symlink_to(tmp_path / image.name)
    assert refused(reader(), tmp_path / "inside")[0] == "outside root"


@every_format
def test_nothing_there(tmp_path, name):
    assert refused(FORMATS[name][1](), tmp_path)[0] == "missing"


def test_lost_tracking_is_left_out(tmp_path):
    """ScanNet marks it by infinities; a scan that was never tracked is no clip."""
    folder = write_scannet(shot_of(), tmp_path)
    write_lines(folder / "pose" / "3.txt", LOST)
    assert [path.name for path in the_clip(ScanNetReader(), tmp_path).media] == ["0.jpg", "6.jpg"]
    for file in (folder / "pose").iterdir():
        write_lines(file, LOST)
    reason, message = refused(ScanNetReader(), tmp_path)
    assert reason == "zero length"
    assert "none of 3 frames has a usable pose" in message


def test_lost_tracking_with_a_whole_last_row(tmp_path):
    folder = write_scannet(shot_of(), tmp_path)
    write_lines(folder / "pose" / "3.txt", [*LOST[:3], "0 0 0 1"])
    assert the_clip(ScanNetReader(), tmp_path).num_frames == 2


def test_scans_of_one_room_are_one_scene(tmp_path):
    folder = write_scannet(shot_of(), tmp_path)
    write_scannet(shot_of(), tmp_path / "more")
    (tmp_path / "more" / "scene0000_00").rename(tmp_path / "scene0000_01")
    clips = list(ScanNetReader().read(tmp_path))
    assert [clip.clip_id for clip in clips] == [folder.name, "scene0000_01"]
    assert {clip.scene_id for clip in clips} == {"scene0000"}


def test_intrinsics_of_a_scan(tmp_path):
    folder = write_scannet(shot_of(), tmp_path)
    assert_close(the_clip(ScanNetReader(), tmp_path).camera.intrinsics, INTRINSICS)
    (folder / "intrinsic" / "intrinsic_color.txt").unlink()
    assert the_clip(ScanNetReader(), tmp_path).camera.intrinsics is None
    write_lines(folder / "intrinsic" / "intrinsic_color.txt", ["1 2 3 4"])
    assert refused(ScanNetReader(), tmp_path)[0] == "shape"


def test_names_of_frames_are_numbers(tmp_path):
    folder = write_scannet(shot_of(), tmp_path)
    (folder / "pose" / "3.txt").rename(folder / "pose" / "three.txt")
    assert "three.txt: the name must hold the frame's number" in refused(ScanNetReader(), tmp_path)[1]


@pytest.mark.parametrize(("place", "scene"), [("", "chess"), ("chess", "chess"), ("chess/seq-01", "seq-01")])
def test_scene_of_a_recording(tmp_path, place, scene):
    """Recordings of one scene share it wherever the folder given starts; a single one is its own."""
    write_seven_scenes(shot_of(), tmp_path)
    clip = the_clip(SevenScenesReader(), tmp_path / place)
    assert clip.scene_id == scene
    assert clip.camera.intrinsics is None


def test_recordings_of_one_scene(tmp_path):
    folder = write_seven_scenes(shot_of(), tmp_path)
    write_seven_scenes(shot_of(), tmp_path / "more")
    (tmp_path / "more" / "chess" / "seq-01").rename(folder.parent / "seq-02")
    clips = list(SevenScenesReader().read(tmp_path))
    assert [clip.clip_id for clip in clips] == ["chess-seq-01", "chess-seq-02"]
    assert {clip.scene_id for clip in clips} == {"chess"}
