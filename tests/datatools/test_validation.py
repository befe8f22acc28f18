import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from remot.cli import main
from remot.data.annotations.base import ClipSource
from remot.data.annotations.native.reader import NativeReader
from remot.data.media.masks import check_masks
from remot.data.tasks import MotionContrast
from remot.datatools.validation import check_clips, open_questions
from remot.errors import DecodeError
from remot.structures import ObjectTrack
from tests.data.handmade import arm_clip, boxes, camera_clip, clip_of, mixed_clips, write_folder
from tests.data.made import data_module


@pytest.fixture
def root(tmp_path):
    """Four clips of a camera and four of an arm, all good, and one whose camera never turns."""
    still = camera_clip([0, 0.1, 0.2], clip_id="still", scene_id="still", domain="navigation")
    return write_folder(tmp_path / "clips", [*mixed_clips(4), still])


def validate(capsys, *words):
    """Exit code and output."""
    code = 0
    try:
        main(["data", "validate", *map(str, words)])
    except SystemExit as stop:
        code = stop.code
    return code, capsys.readouterr()


def cut(file):
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def test_good_clips_are_counted_by_what_can_be_asked(root, capsys):
    code, told = validate(capsys, root, "--format", "json")
    record = json.loads(told.out)
    assert code == 0
    assert (record["good_clips"], record["bad_clips"], record["faults"]) == (9, 0, {})
    assert record["clips_without_a_question"] == ["still.json"]
    assert set(record["clips_by_attribute"]) == {"camera_yaw", "effector_horizontal"}
    assert sum(record["clips_by_attribute"].values()) == 8


@pytest.mark.parametrize(
    ("moves", "visible", "facts"),
    [(None, None, ["camera_moves", "require_visible"]), (False, None, ["require_visible"]), (True, [True] * 3, [])],
)
def test_what_an_annotation_leaves_open_is_warned_of(moves, visible, facts):
    clip = arm_clip([0.0, 0.3, 0.6], camera_moves=moves)
    (track,) = clip.effectors.values()
    shown = None if visible is None else np.array(visible)
    told = open_questions(replace(clip, effectors={"left arm": replace(track, visible=shown)}))
    assert len(told) == len(facts)
    assert all(fact in one for fact, one in zip(facts, told, strict=True))


def test_warnings_count_their_clips(root, capsys):
    code, told = validate(capsys, root)
    assert code == 0
    assert told.out.count("require_visible") == 1
    assert "(4 clips: arm-0.json, arm-1.json" in told.out
    ball = clip_of(2, objects={"ball": ObjectTrack(boxes([(9, 9), (9, 9)]))}, camera_moves=None)
    assert ["as if the camera were fixed" in one for one in open_questions(ball)] == [True]


@pytest.mark.parametrize(("count", "scenes", "told"), [(4, 2, "2 scenes hold less than 95 %"), (16, 6, None)])
def test_too_few_test_scenes_are_reported_before_a_run(tmp_path, capsys, count, scenes, told):
    """``count`` scenes in each of two domains, of each of which a share of 0.2 is tested on: 2 x 1, 2 x 3 (3.2)."""
    root = write_folder(tmp_path / "clips", mixed_clips(count))
    _, said = validate(capsys, root, "--format", "json")
    record = json.loads(said.out)
    assert record["scenes_by_split"]["test"] == scenes
    assert sum(record["scenes_by_split"].values()) == 2 * count
    assert [told in note for note in record["split_notes"]] == ([True] if told else [])
    data = data_module(str(root))
    data.setup()
    assert data.num_scenes == record["scenes_by_split"]
    lines = [line for line in data.describe() if line.startswith("test split:")]
    assert [told in line for line in lines] == ([True] if told else [])
    assert f"test {scenes}" in validate(capsys, root)[1].out


def test_tasks_of_the_configuration_are_counted(root, tmp_path, capsys):
    """Every clip has images; the four cameras and the one that never turns have an object with boxes throughout."""
    config = tmp_path / "tasks.yaml"
    kinds = ("ImageQuality", "ObjectTracking", "EventCaption", "MotionContrast")
    classes = [{"class_path": f"remot.data.tasks.{kind}"} for kind in kinds]
    classes[1]["init_args"] = {"num_boxes": 3, "repeat_last": False}
    config.write_text(json.dumps({"data": {"tasks": classes}}))
    _, told = validate(capsys, root, "--config", config, "--format", "json")
    counts = json.loads(told.out)["clips_by_attribute"]
    assert {name: counts.get(name, 0) for name in ("classification", "tracking", "caption", "camera_yaw")} == {
        "classification": 9,
        "tracking": 5,
        "caption": 0,
        "camera_yaw": 4,
    }


def test_every_bad_clip_is_named_not_only_the_first(root, capsys):
    cut(root / "arm-2.mp4")
    file = root / "camera-1.json"
    content = json.loads(file.read_text())
    content["camera"]["camera_to_world"].pop()
    file.write_text(json.dumps(content))
    code, told = validate(capsys, root)
    assert code == 1
    bad = [line for line in told.out.splitlines() if line.startswith("bad ")]
    assert len(bad) == 2
    assert "arm-2.mp4" in bad[0]
    assert "camera_to_world has shape 6x4x4, expected 7x4x4" in bad[1]
    assert "7 good clips" in told.out


def test_damage_inside_an_image_is_found_by_decoding(root):
    """The list of times and the first image are whole, a later image is not: only decoding tells."""
    file = root / "arm-2.mp4"
    content = bytearray(file.read_bytes())
    start = content.index(b"mdat") - 4
    end = start + int.from_bytes(content[start : start + 4], "big")
    content[end - 30 : end] = b"\xff" * 30
    file.write_bytes(bytes(content))

    def bad(**settings):
        return [one.file for one in check_clips(NativeReader(), root, [MotionContrast()], **settings) if one.fault]

    assert bad(decode=True) == ["arm-2.json"]
    assert bad(decode=False) == []


def test_taken_ids_are_named(root, capsys):
    (root / "more").mkdir()
    for suffix in ("json", "mp4"):
        (root / "more" / f"arm-2.{suffix}").write_bytes((root / f"arm-2.{suffix}").read_bytes())
    code, told = validate(capsys, "--root", root, "--decode", "false")
    assert code == 1
    assert "clip id arm-2 is taken by" in told.out


def test_empty_folder(tmp_path, capsys):
    code, told = validate(capsys, tmp_path)
    assert code == 2
    assert f"{tmp_path}: no *.json found" in told.err


def masked_clip(folder, values):
    """A clip of three frames whose object has a mask image for each, of these grey values throughout."""
    paths = []
    for frame, value in enumerate(values):
        paths.append(folder / f"mask-{frame}.png")
        Image.new("L", (8, 6), value).save(paths[-1])
    frames = tuple(folder / f"{frame}.png" for frame in range(3))
    for path in frames:
        Image.new("RGB", (8, 6)).save(path)
    track = ObjectTrack(boxes([(2, 2), (3, 3), (4, 3)]), masks=tuple(paths), mask_value=7)
    return replace(clip_of(3, "masked", objects={"cup": track}, camera=None), media=frames)


def test_masks_are_looked_at(tmp_path):
    check_masks(masked_clip(tmp_path, (7, 7, 7)))
    with pytest.raises(DecodeError, match=r"cup, frame 2.*mask-2\.png.* 7"):
        check_masks(masked_clip(tmp_path, (7, 7, 6)))
    clip = masked_clip(tmp_path, (7, 7, 7))
    Image.new("L", (9, 6), 7).save(tmp_path / "mask-1.png")
    with pytest.raises(DecodeError, match=r"frame 1: .* 9x6 .* 8x6"):
        check_masks(clip)


def test_an_object_out_of_sight_needs_no_mask(tmp_path):
    clip = masked_clip(tmp_path, (7, 0, 7))
    with pytest.raises(DecodeError, match="frame 1"):
        check_masks(clip)
    clip.objects["cup"].boxes_xyxy[1] = np.nan
    check_masks(clip)


def test_validation_looks_at_masks(tmp_path):
    """As a folder is checked, not by a function of its own."""
    clip = masked_clip(tmp_path, (7, 7, 6))
    (checked,) = check_clips(OneClip(clip), tmp_path, [MotionContrast()])
    assert "mask-2.png" in checked.fault
    (checked,) = check_clips(OneClip(clip), tmp_path, [MotionContrast()], decode=False)
    assert checked.fault == ""


class OneClip(NativeReader):
    """Gives the one clip it was made with."""

    def __init__(self, clip):
        self.clip = clip

    def sources(self, root):
        return [ClipSource(root / "one.json", "")]

    def read_source(self, source, root):  # noqa: ARG002
        return self.clip
