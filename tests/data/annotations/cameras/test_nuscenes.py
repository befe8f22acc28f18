"""nuScenes tables: tokens, the car and its cameras, and lists read one object at a time."""

import json

import numpy as np
import pytest

from remot.data.annotations import NuScenesReader
from remot.data.annotations.parsing import json_rows
from remot.errors import AnnotationError
from tests.data.annotations.layouts import (
    INTRINSICS,
    nuscenes_tables,
    refused,
    shot_of,
    the_clip,
    write_images,
    write_nuscenes,
    write_tables,
)
from tests.helpers import assert_close

HALF = 0.7071067811865476


def drive(root, change=None, shot=None):
    """Write a drive whose tables are changed first."""
    shot = shot or shot_of()
    tables = nuscenes_tables(shot)
    if change:
        change(tables)
    write_images(shot, root, lambda k: f"samples/CAM_FRONT/a_{k}.png")
    return write_tables(tables, root)


def test_camera_is_car_times_mount(tmp_path):
    """By hand: the car stands at (100, 200, 0), turned a quarter to the left, so it looks north; the camera hangs 1.7 m
    ahead and 1.5 m up and looks ahead: it stands at (100, 201.7, 1.5) and its forward is the map's y axis."""

    def turn(tables):
        for row in tables["ego_pose"]:
            row.update(translation=[100.0, 200.0, 0.0], rotation=[HALF, 0.0, 0.0, HALF])

    drive(tmp_path, turn)
    clip = the_clip(NuScenesReader(), tmp_path)
    pose = clip.camera.camera_to_world[0]
    assert_close(pose[:3, 3], [100, 201.7, 1.5])
    assert_close(pose[:3, 2], [0, 1, 0])
    assert_close(pose[:3, 1], [0, 0, -1])
    assert_close(clip.agent.positions_metres[0], [100, 200])
    assert_close(clip.agent.headings_degrees, [90, 90, 90])


@pytest.mark.parametrize("declared", [3, 4, "3"])
def test_the_declared_number_of_samples_is_compared(tmp_path, declared):
    drive(tmp_path, lambda tables: tables["scene"][0].update(nbr_samples=declared))
    if declared == 3:
        assert the_clip(NuScenesReader(), tmp_path).num_frames == 3
    else:
        reason, message = refused(NuScenesReader(), tmp_path)
        assert reason == "unsynchronised"
        assert f"scene-0061 declares nbr_samples {declared!r}, there are 3" in message


def test_names_and_order(tmp_path):
    drive(tmp_path)
    clip = the_clip(NuScenesReader(), tmp_path)
    assert (clip.clip_id, clip.domain) == ("scene-0061-CAM_FRONT", "nuscenes")
    assert clip.scene_id == "singapore-onenorth/scene-0061"
    assert [path.name for path in clip.media] == ["a_0.png", "a_1.png", "a_2.png"]
    assert_close(clip.pts_seconds, [0, 0.1, 0.2])
    assert_close(clip.camera.intrinsics, INTRINSICS)


def test_key_frames_and_all_frames(tmp_path):
    def sweep(tables):
        row = next(row for row in tables["sample_data"] if row["token"] == "f1")
        row["is_key_frame"] = False

    drive(tmp_path, sweep)
    assert the_clip(NuScenesReader(), tmp_path).num_frames == 2
    assert the_clip(NuScenesReader(keyframes_only=False), tmp_path).num_frames == 3


def test_other_channels(tmp_path):
    drive(tmp_path)
    write_images(shot_of(), tmp_path, lambda k: f"samples/CAM_BACK/a_{k}.png")
    clip = the_clip(NuScenesReader("CAM_BACK"), tmp_path)
    assert (clip.clip_id, clip.media[0].parent.name) == ("scene-0061-CAM_BACK", "CAM_BACK")
    reason, message = refused(NuScenesReader("CAM_TOP"), tmp_path)
    assert reason == "missing"
    assert "no channel 'CAM_TOP', choose one of ['CAM_BACK', 'CAM_FRONT']" in message


def test_each_scene_is_a_clip(tmp_path):
    def double(tables):
        tables["scene"].append({"token": "s2", "name": "scene-0001", "log_token": "l"})
        tables["sample"][2]["scene_token"] = "s2"

    drive(tmp_path, double)
    clips = list(NuScenesReader().read(tmp_path))
    assert [(clip.clip_id[:10], clip.num_frames) for clip in clips] == [("scene-0001", 1), ("scene-0061", 2)]
    assert len({clip.scene_id for clip in clips}) == 2


def test_one_bad_scene_does_not_stop_the_others(tmp_path):
    """Its image is missing; the list of sources and the other scene can still be read."""

    def double(tables):
        tables["scene"].append({"token": "s2", "name": "scene-0001", "log_token": "l"})
        tables["sample"][2]["scene_token"] = "s2"

    drive(tmp_path, double)
    (tmp_path / "samples" / "CAM_FRONT" / "a_2.png").unlink()
    reader = NuScenesReader()
    bad, good = reader.sources(tmp_path)
    with pytest.raises(AnnotationError, match=r"a_2\.png' does not exist"):
        reader.read_source(bad, tmp_path.resolve())
    assert reader.read_source(good, tmp_path.resolve()).num_frames == 2
    assert NuScenesReader().read_source(good, tmp_path.resolve()).num_frames == 2  # without having listed them


def in_table(table, /, **values):
    return lambda tables: tables[table][0].update(values)


def front(**values):
    def change(tables):
        next(row for row in tables["sample_data"] if row["token"] == "f1").update(values)

    return change


@pytest.mark.parametrize(
    ("change", "reason", "message"),
    [
        (lambda tables: tables["sensor"][0].pop("channel"), "malformed", "sensor.json: an object has no 'channel'"),
        (lambda tables: tables["ego_pose"].pop(), "missing", "ego_pose.json: there is no object with the token"),
        (lambda tables: tables["sample"].pop(), "missing", "sample.json: there is no object with the token"),
        (in_table("scene", log_token="x"), "missing", "log.json: there is no object with the token 'x'"),
        (in_table("sample", scene_token="x"), "missing", "scene.json: there is no object with the token 'x'"),
        (in_table("scene", name=3), "malformed", "name must be a non-empty text"),
        (front(timestamp="now"), "times", "timestamp 'now' is no whole number of microseconds"),
        (front(timestamp=1.5), "times", "timestamp 1.5 is no whole number"),
        (front(timestamp=1_532_402_927_612_460), "times", "strictly increasing"),
        (front(filename="../../a.png"), "outside root", "leads outside"),
        (front(filename="none.png"), "missing media", "does not exist"),
        (in_table("ego_pose", rotation=[0, 0, 0, 0]), "pose", "a quaternion of length 1 (w x y z)"),
        (in_table("ego_pose", rotation=[1, 0, 0]), "shape", "rotation has shape (3,), expected 4"),
        (in_table("ego_pose", translation=[1, 2]), "shape", "translation has shape (2,), expected 3"),
        (in_table("ego_pose", translation=None), "malformed", "translation: expected lists of numbers"),
        (in_table("ego_pose", translation=[0, float("nan"), 0]), "not finite", "translation: holds NaN"),
        (in_table("calibrated_sensor", camera_intrinsic=[[1, 2]]), "shape", "camera_intrinsic has shape (1, 2)"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, change, reason, message):
    folder = drive(tmp_path, change)
    found = refused(NuScenesReader(), tmp_path)
    assert found[0] == reason
    assert message in found[1]
    assert str(folder.parent) in found[1]


def test_sensors_without_intrinsics(tmp_path):
    drive(tmp_path, in_table("calibrated_sensor", camera_intrinsic=[]))
    assert the_clip(NuScenesReader(), tmp_path).camera.intrinsics is None


def test_missing_and_broken_tables(tmp_path):
    assert refused(NuScenesReader(), tmp_path)[0] == "missing"
    folder = write_nuscenes(shot_of(), tmp_path)
    (folder / "log.json").write_text("[{]")
    assert "log.json: not a JSON list of objects" in refused(NuScenesReader(), tmp_path)[1]
    (folder / "log.json").unlink()
    assert refused(NuScenesReader(), tmp_path)[0] == "missing"


def test_tables_have_a_longest_length(tmp_path):
    folder = write_nuscenes(shot_of(), tmp_path)
    size = max(file.stat().st_size for file in folder.iterdir())
    assert the_clip(NuScenesReader(max_table_bytes=size), tmp_path).num_frames == 3
    reason, message = refused(NuScenesReader(max_table_bytes=size - 1), tmp_path)
    assert reason == "too large"
    assert f"sample_data.json: longer than {size - 1} bytes" in message


# -- lists of objects ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 2, 7, 10**6])
@pytest.mark.parametrize("indent", [None, 0, 3])
def test_rows_are_those_of_json(tmp_path, monkeypatch, chunk, indent):
    """Whatever the file is cut into while it is read."""
    monkeypatch.setattr(json_rows, "CHUNK_CHARACTERS", chunk)
    rows = [{"token": "a", "x": [1, -2.5e-3]}, {}, {"text": 'ü "quoted" ] , } { \\', "deep": {"none": None}}]
    (tmp_path / "rows.json").write_text(json.dumps(rows, indent=indent) + " \n", encoding="utf-8")
    assert list(json_rows.json_rows(tmp_path / "rows.json", 10**6)) == rows


def test_an_empty_list(tmp_path):
    (tmp_path / "rows.json").write_text(" [ ] ")
    assert list(json_rows.json_rows(tmp_path / "rows.json", 100)) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a list"),
        ("{}", "expected a list"),
        ("[1]", "expected an object"),
        ('[{"a": 1}', "expected , or ]"),
        ('[{"a": 1} {"a": 2}]', "expected , or ]"),
        ('[{"a": 1},]', "expected an object"),
        ('[{"a": ', "Expecting value"),
        ("[" * 10_000, "expected an object"),
        ('[{"a": ' + "[" * 200_000, "not a JSON list of objects"),
    ],
)
def test_broken_lists_are_named(tmp_path, text, message):
    file = tmp_path / "rows.json"
    file.write_text(text)
    with pytest.raises(AnnotationError, match=r"rows\.json: .*list") as caught:
        list(json_rows.json_rows(file, 10**7))
    assert message in str(caught.value)


def test_an_object_without_end_is_given_up(tmp_path, monkeypatch):
    """Not read on until memory is full."""
    monkeypatch.setattr(json_rows, "CHUNK_CHARACTERS", 100)
    monkeypatch.setattr(json_rows, "MAX_ROW_CHARACTERS", 1000)
    file = tmp_path / "rows.json"
    file.write_text('[{"a": "' + "x" * 5000 + '"}]')
    with pytest.raises(AnnotationError, match="not a JSON list"):
        list(json_rows.json_rows(file, 10**7))


def test_bytes_that_are_no_text(tmp_path):
    (tmp_path / "rows.json").write_bytes(b"[\xff\xfe]")
    with pytest.raises(AnnotationError, match="cannot be read as text"):
        list(json_rows.json_rows(tmp_path / "rows.json", 100))


def test_many_rows_quickly(tmp_path):
    rows = [{"token": f"{k:032x}", "translation": [1.0 * k, 2, 3]} for k in range(20_000)]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    found = list(json_rows.json_rows(tmp_path / "rows.json", 10**8))
    assert np.array_equal([row["translation"][0] for row in found], np.arange(20_000))
