"""RealEstate10K files, hand-made in the real layout, come out in the library's conventions."""

import numpy as np
import pytest

from remot.data.annotations.cameras.re10k import RealEstate10KReader
from remot.data.media import read_frames, write_video
from remot.errors import AnnotationError
from tests.helpers import assert_close

ADDRESS = "https://www.youtube.com/watch?v=QShWPZxTDoE"
TIMESTAMPS = (158_692_025, 158_958_959, 159_225_892)
IDENTITY = (1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0)
#: World-to-camera of a camera turned right by 90 degrees that stands at (5, 0, 0): R = [[0,0,-1],[0,1,0],[1,0,0]],
#: t = -R (5, 0, 0) = (0, 0, -5).
TURNED_RIGHT = (0, 0, -1, 0, 0, 1, 0, 0, 1, 0, 0, -5)


def row(timestamp, matrix):
    return " ".join(str(number) for number in (timestamp, 0.5, 0.9, 0.5, 0.5, 0.0, 0.0, *matrix))


def write_pair(folder, *, rows=None, num_images=3, address=ADDRESS, fps=8):
    matrices = (IDENTITY, TURNED_RIGHT, IDENTITY)
    rows = [row(*parts) for parts in zip(TIMESTAMPS, matrices, strict=True)] if rows is None else rows
    (folder / "0a1b.txt").write_text("\n".join([address, *rows] if address else rows) + "\n")
    levels = np.arange(num_images, dtype=np.uint8) * 60
    write_video(folder / "0a1b.mp4", np.broadcast_to(levels[:, None, None, None], (num_images, 40, 60, 3)), fps, crf=1)


def read(folder, **settings):
    return list(RealEstate10KReader(**settings).read(folder))


def test_world_to_camera_becomes_camera_to_world(tmp_path):
    write_pair(tmp_path)
    (clip,) = read(tmp_path)
    pose = clip.camera.camera_to_world[1]
    assert_close(pose[:3, 2], [1, 0, 0])  # it looks along the world's x: to the right of where it looked before
    assert_close(pose[:3, 0], [0, 0, -1])
    assert_close(pose[:3, 3], [5, 0, 0])
    assert_close(clip.camera.camera_to_world[0], np.eye(4))


def test_intrinsics_are_pixels_of_the_video(tmp_path):
    write_pair(tmp_path)
    assert_close(read(tmp_path)[0].camera.intrinsics, [[30, 0, 30], [0, 36, 20], [0, 0, 1]])


def test_true_times_come_from_the_rows_and_images_from_the_media(tmp_path):
    write_pair(tmp_path)
    (clip,) = read(tmp_path)
    assert_close(clip.pts_seconds, [0, 0.266934, 0.533867], atol=1e-9)
    assert_close(clip.media_pts_seconds, [0, 0.125, 0.25])
    assert [round(float(image.float().mean()) / 60) for image in read_frames(clip, [2, 0, 1])] == [2, 0, 1]


def test_names(tmp_path):
    write_pair(tmp_path)
    (clip,) = read(tmp_path)
    assert (clip.clip_id, clip.scene_id, clip.domain) == ("0a1b", "QShWPZxTDoE", "re10k")


def test_without_an_address_the_scene_is_the_clip(tmp_path):
    write_pair(tmp_path, address="")
    assert read(tmp_path)[0].scene_id == "0a1b"


def test_other_texts_in_the_folder_are_left_alone(tmp_path):
    write_pair(tmp_path)
    (tmp_path / "README.txt").write_text("About these clips\n1 2 3\n")
    assert len(read(tmp_path)) == 1


def test_clips_with_a_gap_are_left_out_on_request(tmp_path, caplog):
    write_pair(tmp_path)
    assert len(read(tmp_path, max_gap_seconds=0.27)) == 1
    assert read(tmp_path, max_gap_seconds=0.26) == []
    assert "0a1b.txt: left out" in caplog.text


def test_poses_and_images_must_be_equally_many(tmp_path):
    write_pair(tmp_path, num_images=4)
    with pytest.raises(AnnotationError, match=r"0a1b\.txt: 3 poses but 4 images in 0a1b\.mp4"):
        read(tmp_path)


def test_a_missing_video_is_named(tmp_path):
    write_pair(tmp_path)
    (tmp_path / "0a1b.mp4").unlink()
    with pytest.raises(AnnotationError, match=r"0a1b\.txt: media '0a1b\.mp4' does not exist"):
        read(tmp_path)


def test_a_broken_video_is_named(tmp_path):
    write_pair(tmp_path)
    (tmp_path / "0a1b.mp4").write_bytes(b"torn")
    with pytest.raises(AnnotationError, match=r"0a1b\.txt: .*video"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "no camera pose"),
        ([row(0, IDENTITY)[:-2]], "line 2 must hold 19"),
        ([row(0, IDENTITY), row(1, IDENTITY).replace("0.9", "x")], "line 3 must hold 19"),
        ([row(0, IDENTITY), row("nan", IDENTITY)], "line 3 holds NaN"),
        ([row(0, IDENTITY), row(0, IDENTITY)], "increasing"),
        ([row(0, IDENTITY), row(5, [2 * x for x in IDENTITY])], "frame 1 is not a rigid motion"),
    ],
)
def test_malformed_rows_are_named(tmp_path, rows, message):
    write_pair(tmp_path, rows=rows, num_images=max(len(rows), 1))
    with pytest.raises(AnnotationError, match=message) as caught:
        read(tmp_path)
    assert "0a1b.txt" in str(caught.value)
