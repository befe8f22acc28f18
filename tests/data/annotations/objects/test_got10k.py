"""GOT-10k sequences and lists of boxes, hand-made in the real layouts."""

import json

import numpy as np
import pytest

from remot.data.annotations import GOT10kListReader, GOT10kReader
from remot.data.experts import MaskFrame, ObjectHorizontal, ObjectVertical
from remot.data.media import read_frames
from remot.data.tasks.motion_contrast.sampler import TripletSampler
from remot.errors import AnnotationError, ConfigError
from tests.data.annotations.good_clips import good_clips
from tests.data.annotations.images import levels, write_images
from tests.helpers import assert_close

INI = (
    "[METAINFO]\nurl: https://youtu.be/100%25\nbegin: 00:00:27\nanno_fps: 5Hz\nobject_class: sloth\n"
    "resolution: (640, 480)\n"
)
ROWS = ["10.0000,20.0000,30.0000,40.0000", "50.0000,20.0000,30.0000,40.0000", "90.0000,20.0000,30.0000,40.0000"]


def write(root, rows=ROWS, ini=INI, num=3, **labels):
    folder = root / "GOT-10k_Val_000001"
    write_images(folder, [f"{k:08d}.jpg" for k in range(1, num + 1)], (640, 480))
    (folder / "groundtruth.txt").write_text("\n".join(rows) + "\n")
    if ini is not None:
        (folder / "meta_info.ini").write_text(ini)
    for name, text in labels.items():
        (folder / f"{name}.label").write_text(text)


def read(root, assume_static=True, **settings):
    return list(GOT10kReader(assume_static=assume_static, **settings).read(root))


def test_boxes_times_and_names(tmp_path):
    write(tmp_path)
    (clip,) = read(tmp_path)
    assert_close(clip.objects["sloth"].boxes_xyxy, [[10, 20, 40, 60], [50, 20, 80, 60], [90, 20, 120, 60]])
    assert_close(clip.pts_seconds, [0, 0.2, 0.4])
    assert (clip.clip_id, clip.domain, clip.camera) == ("GOT-10k_Val_000001", "got10k", None)
    assert levels(read_frames(clip, [2, 0])) == [2, 0]
    assert ObjectHorizontal().label(clip, 0, 1, "sloth").value == "right"


def test_absent_and_hidden_objects_are_invisible(tmp_path):
    write(tmp_path, absence="0\n1\n0\n", cover="8\n8\n3\n")
    boxes = read(tmp_path)[0].objects["sloth"].boxes_xyxy
    assert np.isnan(boxes).all(axis=1).tolist() == [False, True, True]
    boxes = read(tmp_path, min_cover=3)[0].objects["sloth"].boxes_xyxy
    assert np.isnan(boxes).all(axis=1).tolist() == [False, True, False]


def test_cameras_are_taken_to_move(tmp_path, caplog):
    write(tmp_path)
    (clip,) = read(tmp_path, assume_static=False)
    assert ObjectHorizontal().label(clip, 0, 2, "sloth") is None
    assert MaskFrame().judge(clip, np.array([0, 2]))["sloth"].codes.tolist() == [[0, 1], [1, 0]]
    told = "1 of 1 sequences have a camera that is not known to stand still"
    assert told in caplog.text
    assert "static_camera: GOT-10k_Val_000001" in caplog.text
    (clip,) = read(tmp_path, assume_static=False, static_camera=["GOT-10k_Val_000001"])
    assert ObjectHorizontal().label(clip, 0, 2, "sloth").value == "right"
    assert read(tmp_path, assume_static=False, static_camera=["GOT-10k_Val_0000"])[0].camera_moves
    assert caplog.text.count(told) == 2


@pytest.mark.parametrize(
    ("changes", "message", "reason"),
    [
        ({"num": 2}, "3 rows but 2 images", "missing media"),
        ({"rows": ROWS[:2]}, "2 rows but 3 images", "unsynchronised"),
        ({"rows": [*ROWS[:2], "1,2,3"]}, "line 3 must hold 4 numbers", "malformed"),
        ({"rows": [*ROWS[:2], "1,2,0,3"]}, "the box of row 3 has no width", "zero length"),
        ({"rows": [*ROWS[:2], "1,nan,2,3"]}, "the box of row 3 is partly NaN", "not finite"),
        ({"absence": "0\n1\n"}, r"absence\.label: 2 rows for 3 boxes", "unsynchronised"),
        ({"cover": "0\n1\n9\n"}, "row 3 has label 9, expected a whole number from 0 to 8", "malformed"),
        ({"ini": None}, r"meta_info\.ini: does not exist", "missing"),
        ({"ini": "[METAINFO]\nanno_fps: 10Hz\n"}, "object_class must be a non-empty text", "malformed"),
        ({"ini": "[METAINFO]\nanno_fps: fast\nobject_class: sloth\n"}, "anno_fps is 'fast'", "malformed"),
    ],
)
def test_malformed_sequences_are_named(tmp_path, changes, message, reason):
    write(tmp_path, **changes)
    with pytest.raises(AnnotationError, match=message) as caught:
        read(tmp_path)
    assert "GOT-10k_Val_000001" in str(caught.value)
    assert caught.value.reason == reason


def test_settings_that_cannot_work_are_refused():
    with pytest.raises(ConfigError, match="min_cover is 9"):
        GOT10kReader(min_cover=9)


# -- the list ------------------------------------------------------------------------------------------------------

ENTRY = {"path": "/mnt/far/away/val/GOT-10k_Val_000010", "object": "sloth", "gt": [[0.1, 0.0, 0.8, 0.5]] * 8}


def write_list(root, entries):
    (root / "got10k_val.json").write_text(json.dumps(entries))


def test_a_list_has_boxes_and_no_images(tmp_path):
    write_list(tmp_path, [ENTRY, {**ENTRY, "path": "x/GOT-10k_Val_000011/", "object": "boar"}])
    first, second = good_clips(GOT10kListReader(), tmp_path)
    assert (first.clip_id, second.clip_id, first.media) == ("GOT-10k_Val_000010", "GOT-10k_Val_000011", None)
    assert_close(first.objects["sloth"].boxes_xyxy, [[0.1, 0.0, 0.8, 0.5]] * 8)
    assert first.pts_seconds.tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert list(second.objects) == ["boar"]


def test_nothing_is_asked_about_the_motion_in_a_list(tmp_path):
    """From one edge of the image to the other is a way of 0.9 units, and any motion takes pixels."""
    write_list(tmp_path, [{**ENTRY, "gt": [[0, 0, 0.1, 0.1], [0.9, 0.9, 1, 1], [0, 0, 0.1, 0.1]]}])
    (clip,) = good_clips(GOT10kListReader(), tmp_path)
    assert TripletSampler([ObjectHorizontal(), ObjectVertical()]).candidates(clip) == []


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"a": 1}, "expected a list, found dict"),
        ([7], "entry 0: expected an object"),
        ([{**ENTRY, "boxes": 1}], "entry 0: unknown key 'boxes'"),
        ([{"path": "a", "object": "b"}], "entry 0: key 'gt' is missing"),
        ([{**ENTRY, "gt": []}], "nested 2 deep"),
        ([{**ENTRY, "gt": [[0, 0, 1]]}], "boxes of four numbers from 0 to 1"),
        ([{**ENTRY, "gt": [[0, 0, 1, 2]]}], "boxes of four numbers from 0 to 1"),
        ([{**ENTRY, "gt": [[0, 0, 1, float("nan")]]}], "entry 0: gt: holds NaN"),
        ([ENTRY, {**ENTRY, "gt": [[0.5, 0, 0.5, 1]]}], "entry 1: the box of row 1 has no width"),
        ([{**ENTRY, "object": ""}], "entry 0: object must be a non-empty text"),
        ([ENTRY, ENTRY], "clip id GOT-10k_Val_000010 is taken"),
    ],
)
def test_malformed_lists_are_named(tmp_path, entries, message):
    write_list(tmp_path, entries)
    with pytest.raises(AnnotationError, match=message) as caught:
        list(GOT10kListReader().read(tmp_path))
    assert "got10k_val.json" in str(caught.value)


@pytest.mark.parametrize("text", ["[", "[" * 100_000])
def test_broken_lists_are_named(tmp_path, text):
    (tmp_path / "got10k_val.json").write_text(text)
    with pytest.raises(AnnotationError, match="not valid JSON"):
        list(GOT10kListReader().read(tmp_path))


def test_a_missing_list_is_named(tmp_path):
    with pytest.raises(AnnotationError, match=r"no got10k\*\.json found"):
        list(GOT10kListReader().read(tmp_path))


@pytest.mark.parametrize(("text", "fact"), [("(1280, 720)", "640x480 .* 1280x720"), ("large", "resolution is 'large'")])
def test_images_of_another_size_than_the_boxes_are_refused(tmp_path, text, fact):
    write(tmp_path, ini=INI.replace("(640, 480)", text))
    with pytest.raises(AnnotationError, match=fact):
        read(tmp_path)
    write(tmp_path, ini=INI.replace("resolution: (640, 480)\n", ""))
    assert len(read(tmp_path)) == 1
