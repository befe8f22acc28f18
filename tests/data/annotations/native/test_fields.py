"""The native format's agents, events, layouts, depths, masks and images: written, read back, and named when wrong."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from remot.data.annotations import ClipSource, NativeReader, write_annotation, write_clip, write_masks
from remot.data.clips.bundled import embedded_clips_root
from remot.data.experts import EffectorHorizontal, Gripper
from remot.data.media import check_media, read_frames
from remot.errors import AnnotationError
from remot.structures import AgentTrack, CameraTrack, Clip, EffectorTrack, Event, ImageStore, LayoutBox, ObjectTrack
from tests.data.handmade import clip_of
from tests.helpers import assert_close

NAN = float("nan")
RIGHTS = {"source": "test", "licence": "CC0-1.0"}
TURNED = [[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]


def sample_clip(media=None, masks=None):
    boxes = np.array([[1.0, 2, 3, 4], [NAN] * 4])
    return Clip(
        clip_id="yard-1",
        scene_id="yard",
        domain="test",
        media=media,
        pts_seconds=np.array([0.0, 0.5]),
        camera=CameraTrack(np.tile(np.eye(4), (2, 1, 1)), is_metric=False),
        effectors={"arm": EffectorTrack(np.array([[0.5, NAN, 1], [0.25, NAN, 2]]))},
        objects={
            "dog": ObjectTrack(
                boxes,
                depths_metres=np.array([2.5, NAN]),
                masks=masks,
                mask_value=3,
                size_metres=np.array([0.5, 0.9, 0.25]),
                centres_metres=np.array([[0.1, 0.2, 2.5], [NAN] * 3]),
            )
        },
        agent=AgentTrack(np.array([[1.0, 2], [3, 4]]), np.array([90.0, -45.5])),
        events=(Event("the dog barks", 0.0, 0.25), Event("it stops", 0.25, 1.0)),
        layout=(
            LayoutBox(
                "chair", np.array([1.0, 2, 0.5]), np.array([0.5, 0.25, 1]), np.array(TURNED), np.array([0.25, 0])
            ),
        ),
        room_area_square_metres=12.5,
        complete_kinds=("chair", "dog"),
    )


def write_images(folder, levels, suffix=".png"):
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for index, level in enumerate(levels):
        paths.append(folder / f"p{index}{suffix}")
        Image.fromarray(np.full((4, 6), level, np.uint8)).save(paths[-1])
    return tuple(paths)


@pytest.fixture
def folder(tmp_path):
    """One clip of two images in a folder, its masks beside them."""
    data = tmp_path / "data"
    write_images(data / "pictures", (10, 20))
    write_images(data / "masks", (0, 3))
    clip = sample_clip(data / "pictures", data / "masks")
    write_annotation(clip, data, source="test", licence="CC0-1.0")
    return data


def read(folder):
    return list(NativeReader().read(folder))


def change(folder, **values):
    file = folder / "yard-1.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_everything_survives_the_round_trip(folder):
    (clip,), expected = read(folder), sample_clip()
    assert clip.camera.is_metric is False
    assert_close(clip.effectors["arm"].positions, expected.effectors["arm"].positions)
    dog = clip.objects["dog"]
    assert_close(dog.boxes_xyxy, [[1, 2, 3, 4], [NAN] * 4])
    assert_close(dog.depths_metres, [2.5, NAN])
    assert (dog.masks, dog.mask_value) == ((folder / "masks").resolve(), 3)
    assert_close(clip.agent.positions_metres, [[1, 2], [3, 4]])
    assert_close(clip.agent.headings_degrees, [90, -45.5])
    assert clip.events == expected.events
    (box,) = clip.layout
    assert box.name == "chair"
    assert_close(box.centre_metres, [1, 2, 0.5])
    assert_close(box.size_metres, [0.5, 0.25, 1])
    assert_close(box.axes, TURNED)
    assert_close(box.image_shares, [0.25, 0])
    assert (clip.room_area_square_metres, clip.complete_kinds) == (12.5, ("chair", "dog"))
    assert_close(dog.size_metres, [0.5, 0.9, 0.25])
    assert_close(dog.centres_metres, [[0.1, 0.2, 2.5], [NAN] * 3])
    check_media(clip)


def test_the_keys_are_those_of_the_format(folder):
    content = json.loads((folder / "yard-1.json").read_text())
    assert content["media"] == "pictures"
    assert content["camera"]["is_metric"] is False
    assert content["effectors"] == {"arm": {"positions": [[0.5, None, 1], [0.25, None, 2]]}}
    assert content["objects"]["dog"]["depths_metres"] == [2.5, None]
    assert content["objects"]["dog"]["masks"] == {"media": "masks", "value": 3}
    assert content["agent"] == {"positions_metres": [[1, 2], [3, 4]], "headings_degrees": [90, -45.5]}
    assert content["events"][0] == {"text": "the dog barks", "start_seconds": 0.0, "end_seconds": 0.25}
    assert set(content["layout"][0]) == {"name", "centre_metres", "size_metres", "axes", "image_shares"}


def test_an_optional_part_that_is_empty_is_not_written(tmp_path):
    write_annotation(Clip("plain", "s", "d", None, np.array([0.0])), tmp_path, source="test", licence="CC0-1.0")
    content = json.loads((tmp_path / "plain.json").read_text())
    assert set(content) == {
        *("format", "id", "scene", "domain", "media", "pts_seconds", "effectors", "objects", "source", "licence")
    }
    assert read(tmp_path)[0].media is None


def test_one_image_for_each_frame(folder):
    change(folder, media=["pictures/p1.png", "pictures/p0.png"])
    (clip,) = read(folder)
    assert clip.media == tuple((folder / "pictures" / name).resolve() for name in ("p1.png", "p0.png"))
    assert [int(image[0, 0, 0]) for image in read_frames(clip, [0, 1])] == [20, 10]
    write_annotation(clip, folder, source="test", licence="CC0-1.0")
    assert json.loads((folder / "yard-1.json").read_text())["media"] == ["pictures/p1.png", "pictures/p0.png"]


def test_without_axes_a_box_of_the_layout_is_parallel_to_the_world(folder):
    change(folder, layout=[{"name": "bed", "centre_metres": [0, 0, 0], "size_metres": [1, 2, 3]}])
    assert_close(read(folder)[0].layout[0].axes, np.eye(3))


def test_times_in_the_media_are_kept(tmp_path):
    clip = Clip("late", "s", "d", None, np.array([0.0, 1.0]), media_pts_seconds=np.array([0.0, 0.125]))
    write_annotation(clip, tmp_path, source="test", licence="CC0-1.0")
    assert_close(read(tmp_path)[0].media_pts_seconds, [0, 0.125])


def mask_levels(masks):
    return [int(np.asarray(Image.open(path))[0, 0]) for path in sorted(masks.iterdir())]


@pytest.mark.parametrize("as_files", [False, True])
def test_masks_from_elsewhere_are_copied_beside_the_clip(tmp_path, as_files):
    files = write_images(tmp_path / "elsewhere", (7, 3))
    clip = sample_clip(masks=files[::-1] if as_files else tmp_path / "elsewhere")
    out = tmp_path / "out"
    out.mkdir()
    write_clip(clip, np.zeros((2, 4, 6, 3), np.uint8), out, fps=2, source="test", licence="CC0-1.0")
    masks = read(out)[0].objects["dog"].masks
    assert masks == (out / "yard-1-masks").resolve()
    assert mask_levels(masks) == ([3, 7] if as_files else [7, 3])


def test_too_few_masks_are_not_copied(tmp_path):
    write_images(tmp_path / "elsewhere", (7,))
    (tmp_path / "out").mkdir()
    with pytest.raises(AnnotationError, match="1 masks for 2 frames") as caught:
        write_annotation(sample_clip(masks=tmp_path / "elsewhere"), tmp_path / "out", source="test", licence="CC0-1.0")
    assert caught.value.reason == "unsynchronised"


def test_label_images_are_written_as_they_are(tmp_path):
    labels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    folder = write_masks(labels, tmp_path / "a")
    assert [np.asarray(Image.open(path)).tolist() for path in sorted(folder.iterdir())] == labels.tolist()


class Archive(ImageStore):
    def read(self, frame_indices):
        raise NotImplementedError

    def check(self, num_frames):
        raise NotImplementedError

    def __str__(self):
        return "archive.zip: 3"


def test_images_of_a_store_cannot_be_named(tmp_path):
    with pytest.raises(AnnotationError, match=r"archive\.zip: 3, write them out with write_clip"):
        write_annotation(sample_clip(Archive()), tmp_path, source="test", licence="CC0-1.0")


@pytest.mark.parametrize("number", [NAN, float("inf")])
def test_a_gap_where_the_format_has_no_place_for_one_is_not_written(tmp_path, number):
    track = EffectorTrack(np.zeros((1, 3)), np.array([number]))
    clip = Clip("gap", "s", "d", None, np.array([0.0]), effectors={"arm": track})
    with pytest.raises(AnnotationError, match="no place for it") as caught:
        write_annotation(clip, tmp_path, source="test", licence="CC0-1.0")
    assert caught.value.reason == "not finite"


POSE = np.eye(4).ravel().tolist()
AGENT = {"positions_metres": [[0, 0]] * 2, "headings_degrees": [0, 1]}
EVENT = {"text": "it rains", "start_seconds": 0, "end_seconds": 1}
CHAIR = {"name": "chair", "centre_metres": [0, 0, 0], "size_metres": [1, 1, 1]}


def dog(**values):
    return {"objects": {"dog": {"boxes_xyxy": [None, None]} | values}}


def masks(media, value=3):
    return dog(masks={"media": media, "value": value})


#: Changed keys, what the message says, its reason, and whether a JSON Schema can see it.
FAULTS = [
    ({"media": []}, "media: expected one path", "malformed", True),
    ({"media": ["pictures/p0.png", 7]}, "media: expected one path", "malformed", True),
    ({"media": 7}, "media must be a non-empty text", "malformed", True),
    ({"media": ["pictures/p0.png"]}, "1 images for 2 annotated frames", "media", False),
    ({"media": ["pictures/p0.png", "gone.png"]}, r"'gone\.png' does not exist", "missing media", False),
    ({"media": ["pictures/p0.png", "../../secret.png"]}, "leads outside", "outside root", False),
    ({"camera": {"camera_to_world": [POSE] * 2, "is_metric": 1}}, "is_metric must be true", "malformed", True),
    ({"effectors": {"a": {"positions": [[0, NAN, 0]] * 2}}}, "positions: holds NaN", "not finite", False),
    ({"effectors": {"a": {"positions": [[0, None, 0], None]}}}, "positions: expected lists", "malformed", True),
    ({"effectors": {"a": {"positions": [[0, None], [0, 0, 0]]}}}, "positions: expected lists", "malformed", True),
    ({"effectors": {"a": {"positions": [[0, "x", 0]] * 2}}}, "positions: expected lists", "malformed", True),
    ({"effectors": {"a": {"positions": [[0, None]] * 2}}}, "a positions has shape 2x2", "shape", True),
    ({"effectors": {"a": {"positions": [[]]}}}, "a positions has shape 1x0", "shape", True),
    (dog(depths_metres=[1]), "dog depths_metres has shape 1", "shape", False),
    (dog(depths_metres=[1, NAN]), "depths_metres: holds NaN", "not finite", False),
    (dog(depths_metres=7), "depths_metres: expected lists", "malformed", True),
    (dog(depths_metre=[1, 2]), "did you mean 'depths_metres'", "malformed", True),
    (dog(boxes_xyxy=[[1, 2, 3], None]), "boxes_xyxy has shape", "shape", True),
    (dog(masks="masks"), "masks: expected an object", "malformed", True),
    (masks("masks", 3.5), "value must be a whole number", "malformed", True),
    (masks("masks", -1), "value must be a whole number", "malformed", True),
    (masks("masks", 65_536), "value must be a whole number", "malformed", True),
    (masks("masks", value=True), "value must be a whole number", "malformed", True),
    (masks(7), "media must be a non-empty text", "malformed", True),
    (masks([]), "media: expected one path", "malformed", True),
    (masks("../.."), "leads outside", "outside root", False),
    (masks(["masks/p0.png", "../../p.png"]), "leads outside", "outside root", False),
    (masks("gone"), "does not exist", "missing media", False),
    (masks("masks/p0.png"), "is no folder", "media", False),
    (masks(["masks/p0.png"]), "1 images for 2 annotated frames", "unsynchronised", False),
    (masks("empty"), "0 images for 2 annotated frames", "unsynchronised", False),
    ({"agent": AGENT | {"headings_degrees": [0]}}, "agent headings_degrees has shape 1", "shape", False),
    ({"agent": AGENT | {"positions_metres": [[0, 0, 0]] * 2}}, "agent positions_metres has shape", "shape", True),
    ({"agent": AGENT | {"headings_degrees": [0, NAN]}}, "headings_degrees: holds NaN", "not finite", False),
    ({"agent": {"positions_metres": [[0, 0]] * 2}}, "'headings_degrees' is missing", "malformed", True),
    ({"agent": AGENT | {"heading_degrees": []}}, "did you mean 'headings_degrees'", "malformed", True),
    ({"events": {}}, "events: expected a list", "malformed", True),
    ({"events": [EVENT, {"text": "x"}]}, "event 1: key 'end_seconds' is missing", "malformed", True),
    ({"events": [EVENT | {"text": ""}]}, "event 0: text must be", "malformed", True),
    ({"events": [EVENT | {"end_seconds": 0}]}, "is no stretch of time", "malformed", True),
    ({"events": [EVENT | {"start_seconds": 2}]}, "is no stretch of time", "malformed", False),
    ({"events": [EVENT | {"start_seconds": -1}]}, "is no stretch of time", "malformed", True),
    ({"events": [EVENT | {"end_seconds": NAN}]}, "end_seconds: holds NaN", "not finite", False),
    ({"events": [EVENT | {"end_seconds": [1]}]}, "end_seconds has shape", "shape", True),
    ({"layout": [CHAIR | {"size_metres": [1, -1, 1]}]}, "size_metres must not be negative", "malformed", True),
    ({"layout": [CHAIR | {"centre_metres": [1, 1]}]}, "centre_metres has shape", "shape", True),
    ({"layout": [CHAIR | {"axes": [[1, 0, 0], [0, 1, 0], [0, 1, 0]]}]}, "at right angles", "malformed", False),
    ({"layout": [CHAIR | {"axes": [[2, 0, 0], [0, 1, 0], [0, 0, 1]]}]}, "unit vectors", "malformed", False),
    ({"layout": [CHAIR | {"center_metres": [0, 0, 0]}]}, "did you mean 'centre_metres'", "malformed", True),
    ({"layout": [CHAIR | {"name": 5}]}, "layout 0: name must be", "malformed", True),
]


@pytest.mark.parametrize(("values", "message", "reason"), [fault[:3] for fault in FAULTS])
def test_faults_are_named_with_their_file(folder, values, message, reason):
    (folder / "empty").mkdir()
    Image.new("L", (4, 4)).save(folder.parent / "secret.png")
    change(folder, **values)
    with pytest.raises(AnnotationError, match=message) as caught:
        read(folder)
    assert "yard-1.json" in str(caught.value)
    assert caught.value.reason == reason


def test_embedded_clips_are_the_same_byte_for_byte_when_written_again(tmp_path):
    folder = tmp_path / "clips"
    shutil.copytree(embedded_clips_root(), folder)
    for clip in read(folder):
        file = Path(folder / f"{clip.clip_id}.json")
        before = file.read_bytes()
        content = json.loads(before)
        write_annotation(clip, folder, source=content["source"], licence=content["licence"])
        assert file.read_bytes() == before


def test_a_camera_that_moves_unseen_survives_the_round_trip(tmp_path):
    clip = replace(clip_of(2, clip_id="walk"), camera_moves=True)
    write_clip(clip, np.zeros((2, 16, 16, 3), np.uint8), tmp_path, fps=10, source="test", licence="CC0-1.0")
    (read,) = NativeReader().read(tmp_path)
    assert read.camera_moves
    file = tmp_path / "walk.json"
    file.write_text(file.read_text().replace('"camera_moves":true', '"camera_moves":1'))
    with pytest.raises(AnnotationError, match=r"camera_moves .*found 1"):
        list(NativeReader().read(tmp_path))


# -- axes of positions, and units ----------------------------------------------------------------------------------


def native(folder, **content):
    """A file with two frames, without images."""
    base = {"format": "remot-clip/1", "id": "c", "scene": "s", "domain": "d", "media": None, "pts_seconds": [0, 1]}
    file = folder / "c.json"
    file.write_text(json.dumps(base | content))
    return NativeReader().read_source(ClipSource(file), folder)


#: The camera at (1, 2, 3), then half a metre further along x, where it looks along x: its right is -z, its down y.
FIRST, SECOND = np.eye(4), np.eye(4)
FIRST[:3, 3], SECOND[:3, 3] = (1, 2, 3), (1.5, 2, 3)
SECOND[:3, :3] = np.array([(0, 0, -1), (0, 1, 0), (1, 0, 0)]).T
INTRINSICS = [[100, 0, 50], [0, 100, 40], [0, 0, 1]]


def test_positions_in_the_world_are_brought_into_each_camera_s_axes(tmp_path):
    """(1.5, 2, 5) is 0.5 m to the right of the first camera and 2 m away: seen at x = 75 of 100 pixels, in the image.
    It is 2 m to the left of the second and at no distance along its axis: not in the image."""
    camera = {"camera_to_world": [FIRST.tolist(), SECOND.tolist()], "intrinsics": INTRINSICS}
    hand = {"positions": [[1.5, 2, 5], [1.5, 2, 5]], "frame": "world"}
    clip = native(tmp_path, camera=camera, effectors={"hand": hand})
    track = clip.effectors["hand"]
    assert_close(track.positions, [[0.5, 0, 2], [-2, 0, 0]])
    assert (track.frame, track.visible.tolist()) == ("camera", [True, False])
    visible = native(tmp_path, camera=camera, effectors={"hand": {**hand, "visible": [False, True]}})
    assert visible.effectors["hand"].visible.tolist() == [False, True]
    cup = {"boxes_xyxy": [None, None], "centres_metres": [[1.5, 2, 5], [1.5, 2, 5]], "frame": "world"}
    assert_close(native(tmp_path, camera=camera, objects={"cup": cup}).objects["cup"].centres_metres, track.positions)


def test_positions_in_the_world_of_an_unknown_camera_leave_the_opening(tmp_path):
    hand = {"positions": [[1.5, 2, 5], [1, 2, 5]], "frame": "world", "opening": [0, 1]}
    cup = {"boxes_xyxy": [None, None], "centres_metres": [[1, 2, 5], [1, 2, 5]], "frame": "world"}
    clip = native(tmp_path, effectors={"hand": hand}, objects={"cup": cup}, camera_moves=False)
    assert EffectorHorizontal().label(clip, 0, 1, "hand") is None
    assert Gripper().label(clip, 0, 1, "hand").value == "opened"
    assert clip.objects["cup"].centres_metres is None


def test_a_gripper_fixed_before_a_wrist_camera_is_labelled_none(tmp_path):
    """Both go 0.5 m along x; the hand stays 0.2 m before the camera."""
    poses = [FIRST, FIRST + np.array([[0, 0, 0, 0.5]] + [[0] * 4] * 3)]
    hand = {"positions": [[1, 2, 3.2], [1.5, 2, 3.2]]}
    wrist = {"camera_to_world": [pose.tolist() for pose in poses]}
    known = native(tmp_path, camera=wrist, effectors={"hand": {**hand, "frame": "world"}})
    assert EffectorHorizontal().label(known, 0, 1, "hand").value == "none"
    for undeclared in ({}, {"camera_moves": True}, {"camera": wrist}):
        clip = native(tmp_path, effectors={"hand": hand}, **undeclared)
        assert EffectorHorizontal().label(clip, 0, 1, "hand") is None
    fixed = native(tmp_path, effectors={"hand": hand}, camera_moves=False)
    assert EffectorHorizontal().label(fixed, 0, 1, "hand").value == "right"


def test_the_frame_and_what_is_visible_are_written(tmp_path):
    track = EffectorTrack(np.array([[0.5, 0, 1], [0.5, 0, 2]]), None, "camera", np.array([True, False]))
    write_annotation(replace(clip_of(2, clip_id="c"), media=None, effectors={"hand": track}), tmp_path, **RIGHTS)
    read = NativeReader().read_clip(tmp_path / "c.json", tmp_path)
    assert (read.effectors["hand"].frame, read.effectors["hand"].visible.tolist()) == ("camera", [True, False])
    assert read.camera_moves is False


@pytest.mark.parametrize(
    ("hand", "fact"),
    [
        ({"positions": [[0, 400, 500], [15, 415, 500]]}, "500 m"),  # millimetres
        ({"positions": [[0, 0, 1]] * 2, "opening": [0, 85]}, "0 to 85"),
        ({"positions": [[0, 0, 1]] * 2, "opening": [-0.5, 1]}, "-0.5 to 1"),
        ({"positions": [[0, 0, 1]] * 2, "frame": "base"}, "'base'"),
        ({"positions": [[0, 0, 1]] * 2, "visible": [1, 0]}, "visible"),
        ({"positions": [[0, 0, 1]] * 2, "visible": [True]}, "visible has shape 1"),
    ],
)
def test_what_cannot_be_metres_openings_or_a_frame_is_refused(tmp_path, hand, fact):
    with pytest.raises(AnnotationError, match=rf"c\.json.*{re.escape(fact)}"):
        native(tmp_path, effectors={"hand": hand})
