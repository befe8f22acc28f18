"""transforms.json: OpenGL axes, intrinsics told in several ways, and what is refused."""

import json

import numpy as np
import pytest
from PIL import Image

from remot.data.annotations import NerfstudioReader
from tests.data.annotations.layouts import INTRINSICS, refused, shot_of, the_clip, write_nerfstudio
from tests.helpers import assert_close


def edit(root, change):
    """Apply ``change`` to the content of the file below ``root``."""
    file = root / "garden" / "transforms.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def garden(root, yaw=(0, 20, 40), change=None):
    folder = write_nerfstudio(shot_of(yaw), root)
    if change:
        edit(root, change)
    return folder


def test_opengl_axes(tmp_path):
    """By hand: an identity matrix of OpenGL axes in a world with z up is a camera above the ground that looks straight
    down (its backward is up), with the world's y at the top of the image."""
    garden(tmp_path, change=lambda content: content["frames"][0].update(transform_matrix=np.eye(4).tolist()))
    pose = the_clip(NerfstudioReader(), tmp_path).camera.camera_to_world[2]  # the frames are listed from the last
    assert_close(pose[:3, 0], [1, 0, 0])
    assert_close(pose[:3, 1], [0, -1, 0])
    assert_close(pose[:3, 2], [0, 0, -1])


def test_names_order_and_unit(tmp_path):
    garden(tmp_path)
    clip = the_clip(NerfstudioReader(fps=4), tmp_path)
    assert (clip.clip_id, clip.scene_id, clip.domain) == ("garden", "garden", "nerfstudio")
    assert [path.name for path in clip.media] == ["frame_8.png", "frame_9.png", "frame_10.png"]
    assert_close(clip.pts_seconds, [0, 0.25, 0.5])
    assert not clip.camera.is_metric
    assert the_clip(NerfstudioReader(is_metric=True), tmp_path).camera.is_metric


def test_paths_with_their_endings(tmp_path):
    folder = garden(tmp_path)
    for image in (folder / "images").iterdir():
        Image.open(image).save(image.with_suffix(".jpg"))
        image.unlink()
    assert the_clip(NerfstudioReader(), tmp_path).media[0].name == "frame_8.jpg"  # found although not told
    edit(tmp_path, lambda content: [frame.update(file_path=f"{frame['file_path']}.jpg") for frame in content["frames"]])
    assert the_clip(NerfstudioReader(), tmp_path).media[0].name == "frame_8.jpg"


def test_rows_of_three(tmp_path):
    def shorten(content):
        for frame in content["frames"]:
            frame["transform_matrix"].pop()

    garden(tmp_path)
    whole = the_clip(NerfstudioReader(), tmp_path).camera.camera_to_world
    edit(tmp_path, shorten)
    assert_close(the_clip(NerfstudioReader(), tmp_path).camera.camera_to_world, whole)


def test_train_and_test_of_one_scene(tmp_path):
    folder = garden(tmp_path)
    content = (folder / "transforms.json").read_text()
    for part in ("train", "test"):
        (folder / f"transforms_{part}.json").write_text(content)
    (folder / "transforms.json").unlink()
    clips = list(NerfstudioReader().read(tmp_path))
    assert [clip.clip_id for clip in clips] == ["garden_test", "garden_train"]
    assert {clip.scene_id for clip in clips} == {"garden"}


def without_intrinsics(content, **others):
    for key in ("fl_x", "fl_y", "cx", "cy", "w", "h"):
        content.pop(key)
    content.update(others)


def test_field_of_view(tmp_path):
    """Half of 32 pixels is seen under half of 90 degrees: the focal length is 16. The size is the image's."""
    garden(tmp_path, change=lambda content: without_intrinsics(content, camera_angle_x=np.pi / 2))
    intrinsics = the_clip(NerfstudioReader(), tmp_path).camera.intrinsics
    assert_close(intrinsics, [[16, 0, 16], [0, 16, 16], [0, 0, 1]])


def test_a_torn_image_tells_no_size(tmp_path):
    folder = garden(tmp_path, change=lambda content: without_intrinsics(content, camera_angle_x=np.pi / 2))
    (folder / "images" / "frame_8.png").write_bytes(b"\x89PNG")
    assert the_clip(NerfstudioReader(), tmp_path).camera.intrinsics is None


def test_intrinsics_of_frames(tmp_path):
    numbers = {"fl_x": 30.0, "fl_y": 32.0, "cx": 16.0, "cy": 15.0, "w": 32, "h": 32}

    def move(content):
        without_intrinsics(content)
        for frame in content["frames"]:
            frame.update(numbers)

    garden(tmp_path, change=move)
    assert_close(the_clip(NerfstudioReader(), tmp_path).camera.intrinsics, INTRINSICS)
    edit(tmp_path, lambda content: content["frames"][1].update(fl_x=31.0))
    assert the_clip(NerfstudioReader(), tmp_path).camera.intrinsics is None


def test_intrinsics_of_frames_count_before_those_of_the_file(tmp_path):
    def wider(content):
        for frame in content["frames"]:
            frame["fl_x"] = 40.0

    garden(tmp_path, change=wider)
    assert_close(the_clip(NerfstudioReader(), tmp_path).camera.intrinsics[0, 0], 40.0)


@pytest.mark.parametrize("others", [{}, {"camera_angle_x": 0}, {"fl_x": -1.0}, {"camera_angle_x": 9}])
def test_unknown_intrinsics(tmp_path, others):
    garden(tmp_path, change=lambda content: without_intrinsics(content, **others))
    assert the_clip(NerfstudioReader(), tmp_path).camera.intrinsics is None


def change_frame(**values):
    return lambda content: content["frames"][0].update(values)


SCALED = (2 * np.eye(4)).tolist()


@pytest.mark.parametrize(
    ("change", "reason", "message"),
    [
        (lambda content: content.pop("frames"), "zero length", "frames must be a list"),
        (lambda content: content.update(frames=[]), "zero length", "frames must be a list"),
        (lambda content: content.update(frames=[3]), "malformed", "frame 0: expected an object"),
        (lambda content: content["frames"][1].pop("file_path"), "malformed", "frame 1 has no 'file_path'"),
        (lambda content: content["frames"][1].pop("transform_matrix"), "malformed", "has no 'transform_matrix'"),
        (change_frame(file_path=7), "malformed", "file_path must be a non-empty text"),
        (change_frame(file_path="images/none"), "missing media", "does not exist"),
        (change_frame(file_path="../../none.png"), "outside root", "leads outside"),
        (change_frame(file_path="a" * 400), "missing media", "is no valid path"),
        (change_frame(file_path="a\0b"), "missing media", "is no valid path"),
        (change_frame(transform_matrix=SCALED), "pose", "not a rigid motion"),
        (change_frame(transform_matrix=[[1, 2], [3, 4]]), "shape", "transform_matrix has shape (2, 2)"),
        (change_frame(transform_matrix=[[1, 2], [3]]), "malformed", "expected lists of numbers"),
        (change_frame(transform_matrix=np.full((4, 4), np.nan).tolist()), "not finite", "holds NaN"),
        (lambda content: content.update(fl_x="wide"), "malformed", "fl_x: expected lists of numbers"),
        (lambda content: content.update(cx=[1, 2]), "malformed", "cx: expected numbers nested 0 deep"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, change, reason, message):
    folder = garden(tmp_path, change=change)
    found = refused(NerfstudioReader(), tmp_path)
    assert found[0] == reason
    assert message in found[1]
    assert str(folder) in found[1]


def test_no_json(tmp_path):
    assert refused(NerfstudioReader(), tmp_path)[0] == "missing"
    (garden(tmp_path) / "transforms.json").write_text("{")
    assert "not valid JSON" in refused(NerfstudioReader(), tmp_path)[1]
