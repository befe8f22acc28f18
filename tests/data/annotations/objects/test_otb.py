"""OTB folders, hand-made in the real layouts, come out in the library's conventions."""

import numpy as np
import pytest

from remot.data.annotations import OTBReader
from remot.data.experts import MaskFrame, ObjectHorizontal
from remot.data.media import read_frames
from remot.errors import AnnotationError, ConfigError
from tests.data.annotations.images import levels, write_images
from tests.helpers import assert_close

NAME = "person in the black jacket"


def write(root, rows, name="Crossing", num=None, folder="img", text="groundtruth_rect.txt"):
    (root / name).mkdir(parents=True, exist_ok=True)
    (root / name / text).write_text("\n".join(rows) + "\n")
    num = len(rows) if num is None else num
    write_images(root / name / folder, [f"{k:04d}.jpg" for k in range(1, num + 1)])


def read(root, **settings):
    return list(OTBReader(**settings).read(root))


@pytest.mark.parametrize("separator", [",", "\t", " ", ", ", "  "])
def test_any_separator_and_pixels_from_zero(tmp_path, separator):
    write(tmp_path, [separator.join(row) for row in (("101", "51", "20", "40"), ("61", "51", "20", "40"))])
    (clip,) = read(tmp_path, fps=10)
    assert_close(clip.objects[NAME].boxes_xyxy, [[100, 50, 120, 90], [60, 50, 80, 90]])
    assert_close(clip.pts_seconds, [0, 0.1])
    assert (clip.clip_id, clip.scene_id, clip.domain) == ("Crossing", "Crossing", "otb")
    assert ObjectHorizontal().label(clip, 0, 1, NAME).value == "left"


def test_images_beside_the_text(tmp_path):
    write(tmp_path, ["5,5,9,9"] * 3, folder=".")
    (clip,) = read(tmp_path)
    assert levels(read_frames(clip, [2, 0])) == [2, 0]


def test_rows_of_nan_or_zeros_are_invisible(tmp_path):
    write(tmp_path, ["5,5,9,9", "NaN,NaN,NaN,NaN", "0,0,0,0", "5,5,9,9"])
    boxes = read(tmp_path)[0].objects[NAME].boxes_xyxy
    assert np.isnan(boxes[1:3]).all()
    assert np.isfinite(boxes[[0, 3]]).all()


def test_david_starts_at_its_300th_image(tmp_path):
    write(tmp_path, ["5,5,9,9"] * 3, "David", num=304)
    (clip,) = read(tmp_path, assume_static=True, names={"David": "man's face"})
    assert [image.name for image in clip.media] == ["0300.jpg", "0301.jpg", "0302.jpg"]


def test_other_first_images_can_be_named(tmp_path):
    write(tmp_path, ["5,5,9,9"] * 2, num=4)
    with pytest.raises(AnnotationError, match="2 rows but 4 images") as caught:
        read(tmp_path)
    assert caught.value.reason == "unsynchronised"
    (clip,) = read(tmp_path, first_images={"Crossing": 2})
    assert levels(read_frames(clip, [0, 1])) == [1, 2]
    with pytest.raises(AnnotationError, match="2 rows but 4 images"):
        read(tmp_path, first_images={"Crossing": 4})


def test_several_objects_of_one_sequence(tmp_path):
    for number in (1, 2):
        write(tmp_path, ["5,5,9,9"] * 2, "Jogging", text=f"groundtruth_rect.{number}.txt")
    names = {"Jogging.1": "woman in front", "Jogging.2": "woman behind"}
    clips = read(tmp_path, assume_static=True, names=names)
    assert [(clip.clip_id, clip.scene_id, *clip.objects) for clip in clips] == [
        ("Jogging.1", "Jogging", "woman in front"),
        ("Jogging.2", "Jogging", "woman behind"),
    ]


WAY = ["5,5,18,18", "95,5,18,18"]


def test_of_moving_cameras_only_masks_are_asked_about(tmp_path, caplog):
    write(tmp_path, WAY, "Dudek")
    (clip,) = read(tmp_path)
    assert ObjectHorizontal().label(clip, 0, 1, "man's face") is None
    assert MaskFrame().judge(clip, np.arange(2))["man's face"].codes.tolist() == [[0, 1], [1, 0]]
    assert "1 of 1 sequences have a camera that is not known to stand still" in caplog.text
    assert "static_camera: Dudek" in caplog.text
    (clip,) = read(tmp_path, static_camera=["Dudek"])
    assert ObjectHorizontal().label(clip, 0, 1, "man's face").value == "right"


def test_of_nameless_objects_only_masks_are_asked_about(tmp_path, caplog):
    """Even where the camera stands still: the question could not name the object."""
    write(tmp_path, WAY, "Singer1")
    (clip,) = read(tmp_path, assume_static=True)
    assert ObjectHorizontal().label(clip, 0, 1, "tracked object") is None
    assert MaskFrame().judge(clip, np.arange(2))["tracked object"].codes.tolist() == [[0, 1], [1, 0]]
    assert "1 of 1 objects have no name" in caplog.text
    assert "add to names: Singer1" in caplog.text
    (clip,) = read(tmp_path, assume_static=True, names={"Singer1": "singer"})
    assert ObjectHorizontal().label(clip, 0, 1, "singer").value == "right"


@pytest.mark.parametrize("folder", ["otb_crossing", "Crossing_1", "CROSSING", "my crossing (copy)"])
def test_renamed_folders_are_recognised(tmp_path, folder):
    write(tmp_path, WAY, folder)
    (clip,) = read(tmp_path)
    assert (clip.clip_id, clip.scene_id, clip.camera_moves, *clip.objects) == (folder, "Crossing", False, NAME)
    assert read(tmp_path, static_camera=[])[0].camera_moves
    assert not read(tmp_path, static_camera=["Crossing"])[0].camera_moves
    assert list(read(tmp_path, names={"Crossing": "walker"})[0].objects) == ["walker"]
    assert list(read(tmp_path, names={"Crossing": "walker", folder: "man"})[0].objects) == ["man"]


@pytest.mark.parametrize("folder", ["Crossings", "OtbCrossing", "TUD-Cross"])
def test_other_folders_are_not(tmp_path, folder):
    write(tmp_path, WAY, folder)
    (clip,) = read(tmp_path)
    assert (clip.scene_id, clip.camera_moves, *clip.objects) == (folder, True, "tracked object")


def test_a_renamed_david_2_is_no_david(tmp_path):
    """David's rows start at its 300th image."""
    write(tmp_path, WAY, "david_2")
    assert len(read(tmp_path)[0].media) == 2


@pytest.mark.parametrize(
    ("rows", "message", "reason"),
    [
        (["1,2,3"], "line 1 must hold 4 numbers", "malformed"),
        (["5,5,9,9", "", "5,5,9,9"], "line 2 must hold 4 numbers", "malformed"),
        (["5,5,9,9", "5,NaN,9,9"], "the box of row 2 is partly NaN", "not finite"),
        (["5,5,inf,9"], "the box of row 1 is partly NaN or infinite", "not finite"),
        (["5,5,9,9", "5,5,0,9"], "the box of row 2 has no width", "zero length"),
        (["5,5,1e9,9"], "the box of row 1 reaches beyond", "too large"),
        ([""], "holds no row", "zero length"),
    ],
)
def test_malformed_rows_are_named(tmp_path, rows, message, reason):
    write(tmp_path, rows)
    with pytest.raises(AnnotationError, match=message) as caught:
        read(tmp_path)
    assert "groundtruth_rect.txt" in str(caught.value)
    assert caught.value.reason == reason


def test_missing_images_are_named(tmp_path):
    write(tmp_path, ["5,5,9,9"] * 2, num=0)
    with pytest.raises(AnnotationError, match="'img' holds no image"):
        read(tmp_path)
    write(tmp_path, ["5,5,9,9"] * 2, num=1)
    with pytest.raises(AnnotationError, match="2 rows but 1 images"):
        read(tmp_path)


def test_an_absurdly_long_file_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("remot.data.annotations.base.MAX_ANNOTATION_BYTES", 10)
    write(tmp_path, ["5,5,9,9"] * 2)
    with pytest.raises(AnnotationError, match="longer than 10 bytes"):
        read(tmp_path)


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(ConfigError, match="fps is 0"):
        OTBReader(fps=0)
    with pytest.raises(ConfigError, match="counted from 1"):
        OTBReader(first_images={"David": 0})
