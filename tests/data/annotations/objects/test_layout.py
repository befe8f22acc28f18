"""3D layouts, hand-made in both formats."""

import json

import numpy as np
import pytest

from remot.data.annotations import LayoutReader
from remot.data.media import write_video
from remot.errors import AnnotationError
from tests.data.annotations.good_clips import good_clips
from tests.helpers import assert_close

#: Turned by 90 degrees about z: the box's first axis points along the world's y, the second along -x.
BOX = {
    "centroid": [1.0, 2.0, 0.5],
    "axesLengths": [0.4, 0.6, 1.0],
    "normalizedAxes": [0, 1, 0, -1, 0, 0, 0, 0, 1],
    "min": [0.7, 1.8, 0.0],
    "max": [1.3, 2.2, 1.0],
}
SCENE = {
    "room_size": 9.0,
    "object_counts": {"chair": 1},
    "object_bbox": {"chair": [BOX]},
    "room_center": [0, 0, 0],
    "video_path": "/mnt/far/away/scene0251_00.mp4",
    "dataset": "scannet",
}
OWN = {
    "format": "remot-layout/1",
    "scene": "kitchen",
    "domain": "home",
    "objects": [{"name": "chair", "centre_metres": [1, 2, 0.5], "size_metres": [0.5, 0.5, 1]}],
}


def write(root, content, name="scannet_meta_info_val.json"):
    (root / name).write_text(json.dumps(content))


def read(root):
    return list(LayoutReader().read(root))


def test_rows_are_the_axes(tmp_path):
    """The real files agree with rows: |axes|^T half lengths reaches from the centroid to ``max``."""
    write(tmp_path, {"scene0251_00": SCENE})
    (clip,) = good_clips(LayoutReader(), tmp_path)
    (box,) = clip.layout
    assert (box.name, clip.clip_id, clip.scene_id, clip.domain) == ("chair", "scene0251_00", "scene0251", "scannet")
    assert_close(box.axes[0], [0, 1, 0])
    assert_close(box.size_metres, [0.4, 0.6, 1.0])
    assert_close(box.centre_metres + np.abs(box.axes.T) @ box.size_metres / 2, BOX["max"])


def test_without_a_video_there_is_one_time_and_no_media(tmp_path):
    write(tmp_path, {"scene0251_00": SCENE})
    (clip,) = read(tmp_path)
    assert (clip.media, clip.pts_seconds.tolist()) == (None, [0.0])


@pytest.mark.parametrize("folder", [".", "videos"])
def test_a_video_gives_its_times(tmp_path, folder):
    (tmp_path / folder).mkdir(exist_ok=True)
    write(tmp_path, {"scene0251_00": SCENE, "scene0252_00": SCENE})
    write_video(tmp_path / folder / "scene0251_00.mp4", np.zeros((3, 16, 16, 3), dtype=np.uint8), 5)
    first, second = good_clips(LayoutReader(), tmp_path)
    assert first.media.name == "scene0251_00.mp4"
    assert_close(first.pts_seconds, [0, 0.2, 0.4])
    assert second.media is None


def test_scans_of_one_room_share_a_scene(tmp_path):
    write(tmp_path, {"scene0251_00": SCENE, "scene0251_01": SCENE, "other_01": {**SCENE, "dataset": "arkitscenes"}})
    assert [clip.scene_id for clip in read(tmp_path)] == ["scene0251", "scene0251", "other_01"]


def test_own_format(tmp_path):
    write(tmp_path, OWN, "layout.json")
    (clip,) = read(tmp_path)
    assert (clip.clip_id, clip.domain, clip.layout[0].name) == ("kitchen", "home", "chair")
    assert_close(clip.layout[0].axes, np.eye(3))
    turned = {**OWN["objects"][0], "axes": [[0, 1, 0], [-1, 0, 0], [0, 0, 1]]}
    write(tmp_path, {**OWN, "objects": [turned]}, "layout.json")
    assert_close(read(tmp_path)[0].layout[0].axes[1], [-1, 0, 0])


@pytest.mark.parametrize(
    ("changes", "message", "reason"),
    [
        ({"axesLengths": [0.4, float("nan"), 1]}, "chair 1: axesLengths: holds NaN", "not finite"),
        ({"axesLengths": [0.4, -0.6, 1]}, "chair 1: axesLengths must be positive", "zero length"),
        ({"axesLengths": [0.4, 0, 1]}, "chair 1: axesLengths must be positive", "zero length"),
        ({"axesLengths": [0.4, 1]}, "chair 1: axesLengths must hold 3 numbers, found 2", "shape"),
        ({"axesLengths": "big"}, "axesLengths: expected lists of numbers", "malformed"),
        ({"centroid": [1e9, 0, 0]}, "centroid reaches beyond 1000 m", "too large"),
        ({"normalizedAxes": [0, 2, 0, -1, 0, 0, 0, 0, 1]}, "rows of normalizedAxes must be perpendicular", "pose"),
        ({"normalizedAxes": [0] * 8}, "normalizedAxes must hold 9 numbers, found 8", "shape"),
        ({"centre": [0, 0, 0]}, "unknown key 'centre'", "malformed"),
    ],
)
def test_malformed_boxes_are_named(tmp_path, changes, message, reason):
    write(tmp_path, {"scene0251_00": {**SCENE, "object_bbox": {"chair": [{**BOX, **changes}]}}})
    with pytest.raises(AnnotationError, match=message) as caught:
        read(tmp_path)
    assert "scannet_meta_info_val.json: scene0251_00" in str(caught.value)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1], "expected an object with named values, found list"),
        ({"scene0251_00": 7}, "scene0251_00: expected an object"),
        ({"scene0251_00": {"dataset": "scannet"}}, "key 'object_bbox' is missing"),
        ({"scene0251_00": {"object_bbox": {}}}, "key 'dataset' is missing"),
        ({"scene0251_00": {**SCENE, "object_bbox": {"chair": BOX}}}, "chair: expected a list, found dict"),
        ({"../../scene": SCENE}, "cannot name a clip"),
        ({"a/b": SCENE}, "cannot name a clip"),
    ],
)
def test_malformed_files_are_named(tmp_path, content, message):
    write(tmp_path, content)
    with pytest.raises(AnnotationError, match=message):
        read(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "remot-layout/2"}, "format is 'remot-layout/2'"),
        ({"objects": {}}, "objects: expected a list"),
        ({"objects": [7]}, "object 1: expected an object"),
        ({"objects": [{"name": "chair", "centre_metres": [0, 0, 0]}]}, "object 1: key 'size_metres' is missing"),
        ({"scene": ""}, "scene must be a non-empty text"),
        ({"scene": "../up"}, "cannot name a clip"),
        ({"room": 1}, "unknown key 'room'"),
    ],
)
def test_malformed_own_files_are_named(tmp_path, changes, message):
    write(tmp_path, {**OWN, **changes}, "layout.json")
    with pytest.raises(AnnotationError, match=message) as caught:
        read(tmp_path)
    assert "layout.json" in str(caught.value)


def test_one_scene_in_two_files_is_refused(tmp_path):
    write(tmp_path, OWN, "a.layout.json")
    write(tmp_path, OWN, "b.layout.json")
    with pytest.raises(AnnotationError, match="clip id kitchen is taken by"):
        read(tmp_path)


def test_videos_stay_inside_the_root(tmp_path):
    inner = tmp_path / "root"
    inner.mkdir()
    write(inner, {"scene0251_00": SCENE})
    write_video(tmp_path / "out.mp4", np.zeros((3, 16, 16, 3), dtype=np.uint8), 5)
    (inner / "scene0251_00.mp4").symlink_to(tmp_path / "out.mp4")
    with pytest.raises(AnnotationError, match="leads outside") as caught:
        read(inner)
    assert caught.value.reason == "outside root"


def test_a_broken_video_and_a_missing_file_are_named(tmp_path):
    with pytest.raises(AnnotationError, match=r"no \*meta_info\*\.json or \*layout\.json found"):
        read(tmp_path)
    write(tmp_path, {"scene0251_00": SCENE})
    (tmp_path / "scene0251_00.mp4").write_bytes(b"torn")
    with pytest.raises(AnnotationError, match=r"video scene0251_00\.mp4"):
        read(tmp_path)


def test_area_and_what_can_be_counted(tmp_path):
    """Two tables are counted but only one has a box."""
    boxes = {"chair": [BOX], "table": [BOX]}
    write(tmp_path, {"s": {**SCENE, "object_bbox": boxes, "object_counts": {"chair": 1, "table": 2}}})
    (clip,) = read(tmp_path)
    assert (clip.room_area_square_metres, clip.complete_kinds) == (9.0, ("chair",))


def test_area_and_complete_kinds_of_the_own_format(tmp_path):
    write(tmp_path, {**OWN, "room_area_square_metres": 20, "complete_kinds": ["chair"]}, "layout.json")
    (clip,) = read(tmp_path)
    assert (clip.room_area_square_metres, clip.complete_kinds) == (20.0, ("chair",))
    write(tmp_path, OWN, "layout.json")
    (clip,) = read(tmp_path)
    assert (clip.room_area_square_metres, clip.complete_kinds) == (None, None)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"room_area_square_metres": 0}, "room_area_square_metres is 0"),
        ({"room_area_square_metres": "large"}, "room_area_square_metres"),
        ({"complete_kinds": "chair"}, "complete_kinds must be a list of texts"),
    ],
)
def test_areas_and_kinds_that_are_none(tmp_path, changes, message):
    write(tmp_path, {**OWN, **changes}, "layout.json")
    with pytest.raises(AnnotationError, match=message):
        read(tmp_path)
