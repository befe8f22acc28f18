"""COLMAP models: both spellings, camera models, and files that claim more than they hold."""

import contextlib
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remot.data.annotations import COLMAPReader
from remot.data.annotations.cameras.colmap_binary import read_cameras_binary, read_images_binary
from remot.data.annotations.cameras.colmap_model import CAMERA_MODELS
from remot.errors import AnnotationError
from tests.data.annotations.layouts import (
    binary_cameras,
    binary_images,
    refused,
    replace_in,
    shot_of,
    the_clip,
    write_colmap_binary,
    write_colmap_text,
    write_lines,
)
from tests.helpers import assert_close

HALF = 0.7071067811865476
BOTH = {"text": write_colmap_text, "binary": write_colmap_binary}
either = pytest.mark.parametrize("write", BOTH.values(), ids=BOTH)


def test_world_to_camera_is_inverted(tmp_path):
    """By hand: the camera is turned right by a quarter and stands at (5, 0, 0), so world to camera turns left by a
    quarter, w x y z = h 0 -h 0, and t = -R (5, 0, 0) = (0, 0, -5)."""
    folder = write_colmap_text(shot_of((0,)), tmp_path)
    write_lines(folder / "images.txt", [f"1 {HALF} 0 {-HALF} 0 0 0 -5 7 frame 8.png", ""])
    pose = the_clip(COLMAPReader(), tmp_path).camera.camera_to_world[0]
    assert_close(pose[:3, 2], [1, 0, 0])
    assert_close(pose[:3, 3], [5, 0, 0])


@either
def test_names_order_and_unit(tmp_path, write):
    """Images 8, 9, 10 in number order, which neither the model nor the alphabet has."""
    write(shot_of(), tmp_path)
    clip = the_clip(COLMAPReader(fps=4), tmp_path)
    assert (clip.clip_id, clip.scene_id, clip.domain) == ("plant-sparse-0", "plant", "colmap")
    assert [path.name for path in clip.media] == ["frame 8.png", "frame 9.png", "frame 10.png"]
    assert_close(clip.pts_seconds, [0, 0.25, 0.5])
    assert not clip.camera.is_metric
    assert the_clip(COLMAPReader(is_metric=True), tmp_path).camera.is_metric


def test_of_two_spellings_the_binary_one_counts(tmp_path):
    folder = write_colmap_binary(shot_of(), tmp_path)
    write_lines(folder / "cameras.txt", ["rubbish"])
    write_lines(folder / "images.txt", ["rubbish"])
    assert the_clip(COLMAPReader(), tmp_path).num_frames == 3


def test_two_models_of_one_folder_are_one_scene(tmp_path):
    folder = write_colmap_text(shot_of(), tmp_path)
    (folder.parent / "1").mkdir()
    for name in ("cameras.txt", "images.txt"):
        (folder.parent / "1" / name).write_text((folder / name).read_text())
    clips = list(COLMAPReader().read(tmp_path))
    assert [clip.clip_id for clip in clips] == ["plant-sparse-0", "plant-sparse-1"]
    assert {clip.scene_id for clip in clips} == {"plant"}


def test_other_folders_of_images(tmp_path):
    write_colmap_text(shot_of(), tmp_path)
    (tmp_path / "plant" / "images").rename(tmp_path / "plant" / "images_2")
    assert refused(COLMAPReader(), tmp_path)[0] == "missing media"
    assert the_clip(COLMAPReader("images_2"), tmp_path).num_frames == 3


def test_images_above_the_root_are_not_looked_for(tmp_path):
    write_colmap_text(shot_of(), tmp_path)
    assert refused(COLMAPReader(), tmp_path / "plant" / "sparse")[0] == "missing media"


@pytest.mark.parametrize("number", CAMERA_MODELS)
def test_camera_models(tmp_path, number):
    """Parameters 10, 11, 12, ...: one or two focal lengths, then the principal point."""
    name, num_params, num_focals = CAMERA_MODELS[number]
    params = list(range(10, 10 + num_params))
    fx, fy, cx, cy = (10, 10, 11, 12) if num_focals == 1 else (10, 11, 12, 13)
    folder = write_colmap_binary(shot_of(), tmp_path)
    (folder / "cameras.bin").write_bytes(binary_cameras(number, params))
    expected = [[fx, 0, cx], [0, fy, cy], [0, 0, 1]]
    assert_close(the_clip(COLMAPReader(), tmp_path).camera.intrinsics, expected)
    (folder / "cameras.bin").unlink()
    (folder / "images.bin").unlink()
    write_colmap_text(shot_of(), tmp_path)
    write_lines(folder / "cameras.txt", [f"7 {name} 32 32 {' '.join(map(str, params))}"])
    assert_close(the_clip(COLMAPReader(), tmp_path).camera.intrinsics, expected)


def test_images_of_several_cameras_share_no_intrinsics(tmp_path):
    folder = write_colmap_text(shot_of(), tmp_path)
    write_lines(folder / "cameras.txt", ["7 PINHOLE 32 32 30 32 16 15", "8 SIMPLE_PINHOLE 32 32 40 16 15"])
    assert_close(the_clip(COLMAPReader(), tmp_path).camera.intrinsics[0, 0], 30.0)
    replace_in(folder / "images.txt", "7 frame 9.png", "8 frame 9.png")
    assert the_clip(COLMAPReader(), tmp_path).camera.intrinsics is None


@pytest.mark.parametrize(
    ("file", "old", "new", "reason", "message"),
    [
        ("cameras.txt", "OPENCV", "EQUIRECTANGULAR", "malformed", "camera model 'EQUIRECTANGULAR' is not known"),
        ("cameras.txt", " 0.4", "", "malformed", "camera model OPENCV has 8 finite parameters"),
        ("cameras.txt", " 30 ", " -30 ", "malformed", "focal lengths above 0"),
        ("cameras.txt", " 30 ", " nan ", "not finite", "line 2 holds NaN"),
        ("cameras.txt", "7 OPENCV", "x OPENCV", "malformed", "expected a whole number, found 'x'"),
        ("cameras.txt", "7 OPENCV", "6 OPENCV", "missing", "was taken by camera 7, which is not listed"),
        ("images.txt", "7 frame 9.png", "", "malformed", "line 5 must hold id, qw qx qy qz"),
        ("images.txt", "frame 9.png", "frame 99.png", "missing media", "media 'frame 99.png' does not exist"),
        ("images.txt", "frame 9.png", "../../../1.png", "outside root", "leads outside"),
        ("images.txt", "1.000000000 0.0", "nan 0.0", "not finite", "holds NaN"),
        ("images.txt", "1.000000000 0.0", "2.000000000 0.0", "pose", "quaternion of length 1"),
    ],
)
def test_what_is_wrong_in_text_is_named(tmp_path, file, old, new, reason, message):
    folder = write_colmap_text(shot_of(), tmp_path)
    replace_in(folder / file, old, new)
    found = refused(COLMAPReader(), tmp_path)
    assert found[0] == reason
    assert message in found[1]
    assert str(folder) in found[1]


def test_a_model_without_images(tmp_path):
    folder = write_colmap_text(shot_of(), tmp_path)
    write_lines(folder / "images.txt", ["# none"])
    assert refused(COLMAPReader(), tmp_path)[0] == "zero length"
    (folder / "images.txt").unlink()
    assert refused(COLMAPReader(), tmp_path)[0] == "missing"


def test_mixed_spellings(tmp_path):
    folder = write_colmap_text(shot_of(), tmp_path)
    (folder / "cameras.txt").unlink()
    (folder / "cameras.bin").write_bytes(binary_cameras())
    assert "must both end in .bin or both in .txt" in refused(COLMAPReader(), tmp_path)[1]


def without_lines_of_points(folder):
    """As some programs export the model: a line for each image and no other."""
    lines = (folder / "images.txt").read_text().split("\n")
    write_lines(folder / "images.txt", [line for line in lines if line.startswith("#") or ".png" in line])


def test_lines_of_points_may_be_left_out(tmp_path):
    """All poses are the same as with them, of all images."""
    folder = write_colmap_text(shot_of((0, 10, 20, 30)), tmp_path)
    expected = the_clip(COLMAPReader(), tmp_path)
    without_lines_of_points(folder)
    clip = the_clip(COLMAPReader(), tmp_path)
    assert [path.name for path in clip.media] == [f"frame {k}.png" for k in (8, 9, 10, 11)]
    assert_close(clip.camera.camera_to_world, expected.camera.camera_to_world)


def test_single_lines_of_points_may_be_left_out(tmp_path):
    """Only empty ones are: those of every second image."""
    folder = write_colmap_text(shot_of((0, 10, 20, 30)), tmp_path)
    lines = (folder / "images.txt").read_text().split("\n")
    write_lines(folder / "images.txt", [line for line in lines if line])
    assert the_clip(COLMAPReader(), tmp_path).num_frames == 4


@pytest.mark.parametrize("name", ["frame.png", "a b 7.png", "a b 7", "7"])
def test_a_pose_of_whole_numbers_is_no_line_of_points(tmp_path, name):
    """Where points are left out, by every name: 10 words, or 12 as four points would have."""
    folder = write_colmap_text(shot_of((0,)), tmp_path)
    (tmp_path / "plant" / "images" / name).write_bytes((tmp_path / "plant" / "images" / "frame 8.png").read_bytes())
    write_lines(folder / "images.txt", ["1 1 0 0 0 0 0 0 7 frame 8.png", f"2 1 0 0 0 0 0 0 7 {name}"])
    assert {path.name for path in the_clip(COLMAPReader(), tmp_path).media} == {"frame 8.png", name}


def test_empty_lines_may_hold_spaces(tmp_path):
    folder = write_colmap_text(shot_of(), tmp_path)
    lines = (folder / "images.txt").read_text().split("\n")
    write_lines(folder / "images.txt", ["", *(line or "  \t" for line in lines), ""])
    assert the_clip(COLMAPReader(), tmp_path).num_frames == 3


@pytest.mark.parametrize("file", ["images.txt", "cameras.txt"])
def test_the_declared_count_is_compared(tmp_path, file):
    what, count = {"images.txt": ("images", 3), "cameras.txt": ("cameras", 1)}[file]
    folder = write_colmap_text(shot_of(), tmp_path)
    held = (folder / file).read_text().replace("# Number of images: 3\n", "")
    (folder / file).write_text(f"# Number of {what}: {count}, mean observations: 0\n{held}")
    assert the_clip(COLMAPReader(), tmp_path).num_frames == 3
    (folder / file).write_text(f"# Number of {what}: 6\n{held}")
    reason, message = refused(COLMAPReader(), tmp_path)
    assert reason == "unsynchronised"
    assert f"declares 6 {what}, {count} were read" in message
    assert str(folder / file) in message


@either
def test_an_image_with_two_poses_is_refused(tmp_path, write):
    folder = write(shot_of(), tmp_path)
    for file in folder.glob("images.*"):
        file.write_bytes(file.read_bytes().replace(b"frame 9.png", b"frame 8.png"))
    reason, message = refused(COLMAPReader(), tmp_path)
    assert reason == "duplicate id"
    assert "'frame 8.png'" in message


@pytest.mark.parametrize("name", ["cameras.bin", "images.bin"])
def test_more_than_the_declared_records_is_refused(tmp_path, name):
    folder = write_colmap_binary(shot_of(), tmp_path)
    (folder / name).write_bytes((folder / name).read_bytes() + b"\0" * 8)
    reason, message = refused(COLMAPReader(), tmp_path)
    assert reason == "unsynchronised"
    assert str(folder / name) in message


# -- binary files that lie -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cameras.bin", "images.bin"])
def test_every_cut_is_noticed(tmp_path, name):
    folder = write_colmap_binary(shot_of(), tmp_path)
    whole = (folder / name).read_bytes()
    for length in range(len(whole)):
        (folder / name).write_bytes(whole[:length])
        reason, message = refused(COLMAPReader(), tmp_path)
        assert reason in {"malformed", "too large"}
        assert str(folder / name) in message


@pytest.mark.parametrize("count", [4, 2**31, 2**63, 2**64 - 1])
def test_counts_are_checked_against_the_size(tmp_path, count):
    folder = write_colmap_binary(shot_of(), tmp_path)
    (folder / "images.bin").write_bytes(struct.pack("<Q", count) + binary_images(shot_of())[8:])
    reason, message = refused(COLMAPReader(), tmp_path)
    assert "images.bin" in message
    assert reason == "too large" or count == 4
    (folder / "images.bin").write_bytes(binary_images(shot_of()))
    (folder / "cameras.bin").write_bytes(struct.pack("<Q", count) + binary_cameras()[8:])
    assert refused(COLMAPReader(), tmp_path)[0] == "too large"


@pytest.mark.parametrize("num_points", [3, 2**40, 2**64 - 1])
def test_points_are_checked_against_the_size(tmp_path, num_points):
    folder = write_colmap_binary(shot_of((0,)), tmp_path)
    whole = binary_images(shot_of((0,)), num_points=2)
    place = len(whole) - 2 * 24 - 8
    (folder / "images.bin").write_bytes(whole[:place] + struct.pack("<Q", num_points) + whole[place + 8 :])
    reason, message = refused(COLMAPReader(), tmp_path)
    assert reason == "too large"
    assert f"claims {num_points} points" in message


def test_a_name_without_end(tmp_path):
    folder = write_colmap_binary(shot_of((0,)), tmp_path)
    whole = binary_images(shot_of((0,)), num_points=400)
    (folder / "images.bin").write_bytes(whole.replace(b"\0", b"a")[: len(whole)])
    assert refused(COLMAPReader(), tmp_path)[0] == "too large"  # the count is spoilt as well
    place = 8 + 4 + 7 * 8 + 4
    (folder / "images.bin").write_bytes(whole[:place] + b"a" * (len(whole) - place))
    assert "does not end" in refused(COLMAPReader(), tmp_path)[1]
    (folder / "images.bin").write_bytes(whole[:place] + b"\xff\xfe" + whole[place + 2 :])
    assert "is not UTF-8" in refused(COLMAPReader(), tmp_path)[1]


def test_unknown_camera_models(tmp_path):
    folder = write_colmap_binary(shot_of(), tmp_path)
    for number in (-1, 17, 2**31 - 1):
        (folder / "cameras.bin").write_bytes(binary_cameras(number))
        assert f"camera 7: camera model {number} is not known" in refused(COLMAPReader(), tmp_path)[1]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.integers(0, 400), noise=st.binary(min_size=1, max_size=12))
def test_damage_never_escapes(tmp_path, place, noise):
    """Whatever is overwritten, the parser reads something or refuses in its own words."""
    file = tmp_path / "damaged.bin"
    for whole, read in ((binary_cameras(), read_cameras_binary), (binary_images(shot_of()), read_images_binary)):
        at = place % len(whole)
        file.write_bytes(whole[:at] + noise + whole[at + len(noise) :])
        with contextlib.suppress(AnnotationError):
            assert len(read(file)) <= 3


def test_numbers_that_are_no_pose(tmp_path):
    folder = write_colmap_binary(shot_of(), tmp_path)
    whole = binary_images(shot_of())
    (folder / "images.bin").write_bytes(whole[:12] + struct.pack("<d", np.nan) + whole[20:])
    reason, message = refused(COLMAPReader(), tmp_path)
    assert (reason, "has no finite pose" in message) == ("pose", True)
