"""The native format: what is written comes back, and whatever is wrong is named."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remot.data.annotations import base
from remot.data.annotations.native.reader import NativeReader, write_clip
from remot.data.clips.bundled import embedded_clips_root
from remot.data.media import check_media
from remot.errors import AnnotationError, RemotError
from remot.structures import CameraTrack, Clip, EffectorTrack, ObjectTrack
from tests.helpers import assert_close

QUARTER_TURN = [[0, 0, 1, 2], [0, 1, 0, 3], [-1, 0, 0, 4], [0, 0, 0, 1]]


def sample_clip():
    poses = np.stack([np.eye(4), np.array(QUARTER_TURN, dtype=float)])
    return Clip(
        clip_id="kitchen-7",
        scene_id="kitchen",
        domain="test",
        media=Path("unused"),
        pts_seconds=np.array([0.0, 0.25]),
        camera=CameraTrack(poses, np.array([[100.0, 0, 32], [0, 110, 24], [0, 0, 1]])),
        effectors={"left arm": EffectorTrack(np.array([[0.1, -0.2, 1], [0.3, 0.4, 1]]), np.array([0.0, 1.0]))},
        objects={"red ball": ObjectTrack(np.array([[1.0, 2, 3, 4], [np.nan] * 4]), is_landmark=True)},
    )


@pytest.fixture
def folder(tmp_path):
    write_clip(sample_clip(), np.zeros((2, 48, 64, 3), np.uint8), tmp_path, fps=10, source="test", licence="CC0-1.0")
    return tmp_path


def read(folder):
    return list(NativeReader().read(folder))


def change(folder, **values):
    file = folder / "kitchen-7.json"
    content = json.loads(file.read_text()) | values
    file.write_text(json.dumps({key: value for key, value in content.items() if value != "remove"}))


def test_a_clip_survives_the_round_trip(folder):
    (clip,), expected = read(folder), sample_clip()
    assert (clip.clip_id, clip.scene_id, clip.domain) == ("kitchen-7", "kitchen", "test")
    assert_close(clip.pts_seconds, expected.pts_seconds)
    assert_close(clip.camera.camera_to_world, expected.camera.camera_to_world)
    assert_close(clip.camera.intrinsics, expected.camera.intrinsics)
    assert_close(clip.effectors["left arm"].positions, expected.effectors["left arm"].positions)
    assert_close(clip.effectors["left arm"].opening, [0, 1])
    assert_close(clip.objects["red ball"].boxes_xyxy, expected.objects["red ball"].boxes_xyxy)
    assert clip.objects["red ball"].is_landmark
    assert_close(clip.media_pts_seconds, [0, 0.1])
    check_media(clip)


def test_poses_may_be_given_as_four_rows(folder):
    change(folder, camera={"camera_to_world": [np.eye(4).tolist(), QUARTER_TURN]})
    assert_close(read(folder)[0].camera.camera_to_world[1], QUARTER_TURN)


def test_optional_keys_may_be_left_out(folder):
    gone = ("camera", "effectors", "objects", "source", "licence", "media_pts_seconds")
    change(folder, **dict.fromkeys(gone, "remove"))
    (clip,) = read(folder)
    assert clip.camera is None
    assert not clip.effectors
    assert not clip.objects


NAN = float("nan")
POSE = np.eye(4).ravel().tolist()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"format": "remot-clip/9"}, "remot-clip/1"),
        ({"domain": "remove"}, "'domain' is missing"),
        ({"scene": 5}, "scene must be"),
        ({"pts_secs": []}, "did you mean 'pts_seconds'"),
        ({"wholly_else": []}, "valid keys are"),
        ({"media": "gone.mp4"}, r"gone\.mp4' does not exist"),
        ({"media": "../kitchen-7.mp4"}, "leads outside"),
        ({"media": "/etc/passwd"}, "leads outside"),
        ({"media": "a\0b"}, "no valid path|does not exist"),
        ({"pts_seconds": 7}, "nested 1 deep, found 0"),
        ({"pts_seconds": [0.0]}, "expected"),
        ({"pts_seconds": [0.0, NAN]}, "pts_seconds: holds NaN"),
        ({"pts_seconds": [1.0, 0.0]}, "increasing"),
        ({"pts_seconds": [[0.0], 1.0]}, "equal length"),
        ({"pts_seconds": ["0", "1"]}, "numbers"),
        ({"pts_seconds": [False, True]}, "numbers"),
        ({"pts_seconds": [0, 10**400]}, "numbers"),
        ({"camera": {"camera_to_world": [POSE] * 3}}, "camera_to_world has shape 3x4x4, expected 2x4x4"),
        ({"camera": {"camera_to_world": [POSE, [NAN] * 16]}}, "camera_to_world: holds NaN"),
        ({"camera": {"camera_to_world": [POSE, [2 * x for x in POSE]]}}, "frame 1 is not a rigid motion"),
        ({"camera": {"camera_to_word": []}}, "did you mean 'camera_to_world'"),
        ({"camera": {"camera_to_world": [POSE] * 2, "intrinsics": [1, 2]}}, "intrinsics"),
        ({"camera": [POSE]}, "camera: expected an object"),
        ({"effectors": {"arm": {"positions": [[0, 0, 0]]}}}, "arm positions"),
        ({"effectors": {"arm": {"positions": [[0, 0, NAN]] * 2}}}, "arm: positions: holds NaN"),
        ({"effectors": {"arm": {"positions": [[0, 0, 1]] * 2, "opening": [1]}}}, "arm opening"),
        ({"objects": {"cup": {"boxes_xyxy": [None]}}}, "cup boxes_xyxy"),
        ({"objects": {"cup": {"boxes_xyxy": [None, [1, 2, 3, NAN]]}}}, "cup: boxes_xyxy: holds NaN"),
        ({"objects": {"cup": {"boxes_xyxy": 7}}}, "cup: boxes_xyxy"),
        ({"objects": ["cup"]}, "objects: expected an object"),
    ],
)
def test_faults_are_named_with_their_file(folder, values, message):
    change(folder, **values)
    with pytest.raises(AnnotationError, match=message) as caught:
        read(folder)
    assert "kitchen-7.json" in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"format": "remot-clip/1"', "[" * 100_000, "\ud800"])
def test_malformed_json_is_named(folder, text):
    (folder / "kitchen-7.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(AnnotationError, match=r"kitchen-7\.json"):
        read(folder)


def test_a_name_that_comes_twice_is_refused(folder):
    """Readers would take the second, silently, as after a merge of two versions of a file."""
    file = folder / "kitchen-7.json"
    file.write_text(file.read_text().replace("{", '{"scene": "another", ', 1))
    with pytest.raises(AnnotationError, match=r"kitchen-7\.json: 'scene' comes twice"):
        read(folder)


def test_oversized_files_are_not_read(folder, monkeypatch):
    monkeypatch.setattr(base, "MAX_ANNOTATION_BYTES", 100)
    with pytest.raises(AnnotationError, match="longer than 100 bytes"):
        read(folder)


def test_links_out_of_the_root_are_refused(folder, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside") / "secret.mp4"
    (folder / "kitchen-7.mp4").rename(outside)
    (folder / "kitchen-7.mp4").symlink_to(outside)
    with pytest.raises(AnnotationError, match="leads outside"):
        read(folder)


def test_media_in_a_neighbouring_folder_of_the_root_are_fine(folder):
    (folder / "annotations").mkdir()
    (folder / "kitchen-7.json").rename(folder / "annotations" / "kitchen-7.json")
    file = folder / "annotations" / "kitchen-7.json"
    file.write_text(file.read_text().replace('"kitchen-7.mp4"', '"../kitchen-7.mp4"'))
    assert read(folder)[0].media == (folder / "kitchen-7.mp4").resolve()


def test_two_clips_cannot_share_an_id(folder):
    (folder / "other.json").write_text((folder / "kitchen-7.json").read_text())
    with pytest.raises(AnnotationError, match=r"other\.json: .*kitchen-7\.json"):
        read(folder)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(AnnotationError, match=r"no \*\.json found"):
        read(tmp_path)


def test_an_id_that_is_no_file_name_cannot_be_written(tmp_path):
    clip = Clip("../up", "s", "test", Path("x"), np.array([0.0]))
    with pytest.raises(AnnotationError, match="needs an id"):
        write_clip(clip, np.zeros((1, 2, 2, 3), np.uint8), tmp_path, fps=10, source="", licence="")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("media", "pts_seconds", "camera", "effectors", "objects", "media_pts_seconds", "scene", "format")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.sampled_from(KEYS), value=json_values)
def test_no_json_gets_past_the_reader_but_as_a_clip_or_one_sentence(folder, key, value):
    file = folder / "fuzzed.json"
    content = json.loads((folder / "kitchen-7.json").read_text()) | {"id": "fuzzed", key: value}
    file.write_text(json.dumps(content))
    complaint = complaint_about(folder)
    assert complaint is None or "fuzzed.json" in complaint


def complaint_about(folder):
    try:
        read(folder)
    except RemotError as error:
        return str(error)
    return None


def test_the_embedded_clips_can_be_read_and_decoded():
    clips = list(NativeReader().read(embedded_clips_root()))
    domains = {clip.domain for clip in clips}
    assert domains == {"camera", "manipulation", "objects", "game"}
    assert len(clips) == 183
    for clip in clips:
        check_media(clip, decode=False)
    for clip in clips[::20]:
        check_media(clip)
