"""Game logs, hand-made in the documented layout, come out in the library's conventions."""

import json
import re

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from remot.data.annotations import GameLogReader, base
from remot.data.annotations.games import game_tracks
from remot.data.media import check_media, read_frames, write_video
from remot.errors import AnnotationError, RemotError
from tests.helpers import PROJECT, assert_close

NAN = float("nan")
HEADER = {"format": "remot-log/1", "scene": "harbour", "engine": "unity", "vertical_fov_degrees": 90}
DOCS = PROJECT / "docs" / "sources" / "games.md"


def line(t, **values):
    return {"t": t, "position": [1, 2, 3], "yaw": 0, "pitch": 0} | values


LINES = (
    line(7.0, objects={"crate 1": {"box": [10, 20, 40, 60], "depth": 5}, "gull": {"box": [0, 0, 4, 4]}}),
    line(7.25, yaw=90, position=[4, 2, 3], events=["the gate opens"]),
    line(7.75, yaw=90, events=["the gate opens", "rain"], objects={"gull": {"box": [10, 0, 14, 4]}}),
)


def write_log(folder, *, lines=LINES, num_images=3, **header):
    folder.mkdir(parents=True, exist_ok=True)
    content = HEADER | header
    rows = [{key: value for key, value in content.items() if value != "remove"}, *lines]
    (folder / "run-1.jsonl").write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    levels = np.arange(num_images, dtype=np.uint8) * 60
    images = np.broadcast_to(levels[:, None, None, None], (num_images, 48, 64, 3))
    write_video(folder / "run-1.mp4", images, 10, crf=1)
    return folder


def read(folder):
    return list(GameLogReader().read(folder))


def test_names(tmp_path):
    (clip,) = read(write_log(tmp_path))
    assert (clip.clip_id, clip.scene_id, clip.domain) == ("run-1", "harbour", "game")
    (clip,) = read(write_log(tmp_path, id="first", domain="sim"))
    assert (clip.clip_id, clip.domain) == ("first", "sim")


def test_the_camera_is_in_metres_in_a_world_with_z_up(tmp_path):
    """Unity's (x, y, z) = (1, 2, 3) is 1 east, 3 north, 2 up; yaw 0 looks north, yaw 90 east."""
    (clip,) = read(write_log(tmp_path))
    poses = clip.camera.camera_to_world
    assert_close(poses[:2, :3, 3], [[1, 3, 2], [4, 3, 2]])
    assert_close(poses[0, :3, :3], np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]]).T)
    assert_close(poses[1, :3, 2], [1, 0, 0])
    (clip,) = read(write_log(tmp_path, units_per_metre=10))
    assert_close(clip.camera.camera_to_world[0, :3, 3], [0.1, 0.3, 0.2])


@pytest.mark.parametrize(
    ("fov", "focal"),
    [
        ({"vertical_fov_degrees": 90}, (24, 24)),
        ({"horizontal_fov_degrees": 90}, (32, 32)),
        ({"horizontal_fov_degrees": 90, "vertical_fov_degrees": 90}, (32, 24)),
    ],
)
def test_intrinsics_come_from_the_field_of_view(tmp_path, fov, focal):
    """tan(45 degrees) = 1: the focal length is half of the side of the 64 x 48 image."""
    (clip,) = read(write_log(tmp_path, **{"vertical_fov_degrees": "remove"} | fov))
    assert_close(clip.camera.intrinsics, [[focal[0], 0, 32], [0, focal[1], 24], [0, 0, 1]])


def test_without_a_field_of_view_there_are_no_intrinsics(tmp_path):
    assert read(write_log(tmp_path, vertical_fov_degrees="remove"))[0].camera.intrinsics is None


def test_times_are_the_games_and_images_the_videos(tmp_path):
    (clip,) = read(write_log(tmp_path))
    assert_close(clip.pts_seconds, [0, 0.25, 0.75])
    assert_close(clip.media_pts_seconds, [0, 0.1, 0.2])
    check_media(clip)
    assert [round(float(image.float().mean()) / 60) for image in read_frames(clip, [2, 0, 1])] == [2, 0, 1]


def test_objects(tmp_path):
    (clip,) = read(write_log(tmp_path, landmarks=["crate 1"], units_per_metre=2))
    crate, gull = clip.objects["crate 1"], clip.objects["gull"]
    assert_close(crate.boxes_xyxy, [[10, 20, 40, 60], [NAN] * 4, [NAN] * 4])
    assert_close(crate.depths_metres, [2.5, NAN, NAN])
    assert_close(gull.boxes_xyxy, [[0, 0, 4, 4], [NAN] * 4, [10, 0, 14, 4]])
    assert gull.depths_metres is None
    assert (crate.is_landmark, gull.is_landmark) == (True, False)


def test_boxes_of_a_larger_screen_are_scaled(tmp_path):
    (clip,) = read(write_log(tmp_path, width=640, height=96))
    assert_close(clip.objects["crate 1"].boxes_xyxy[0], [1, 10, 4, 30])


def test_the_camera_is_the_agent_unless_there_is_a_player(tmp_path):
    (clip,) = read(write_log(tmp_path))
    assert_close(clip.agent.positions_metres, [[1, 3], [4, 3], [1, 3]])
    assert_close(clip.agent.headings_degrees, [90, 0, 0], atol=1e-6)
    lines = [row | {"player": {"position": [0, 0, k], "yaw": -90}} for k, row in enumerate(LINES)]
    (clip,) = read(write_log(tmp_path, lines=lines))
    assert_close(clip.agent.positions_metres, [[0, 0], [0, 1], [0, 2]])
    assert_close(clip.agent.headings_degrees, [180] * 3)


def test_events_are_stretches_of_lines(tmp_path):
    """The last line lasts as long as the median interval of 0.375 s."""
    (clip,) = read(write_log(tmp_path))
    told = [(event.text, event.start_seconds, event.end_seconds) for event in clip.events]
    assert told == [("the gate opens", 0.25, 1.125), ("rain", 0.75, 1.125)]


def test_an_event_may_come_again(tmp_path):
    lines = [line(0, events=["shot"]), line(1), line(2, events=["shot"])]
    events = read(write_log(tmp_path, lines=lines))[0].events
    assert [(event.start_seconds, event.end_seconds) for event in events] == [(0, 1), (2, 3)]


def test_one_line_makes_a_clip(tmp_path):
    assert read(write_log(tmp_path, lines=[line(5, events=["x"])], num_images=1))[0].num_frames == 1


def test_blank_lines_do_not_count(tmp_path):
    assert read(write_log(tmp_path, lines=[LINES[0], "", *LINES[1:], "", ""]))[0].num_frames == 3


def test_the_media_may_be_named(tmp_path):
    write_log(tmp_path, media="../video.mp4")
    (tmp_path / "logs").mkdir()
    (tmp_path / "run-1.mp4").rename(tmp_path / "video.mp4")
    (tmp_path / "run-1.jsonl").rename(tmp_path / "logs" / "run-1.jsonl")
    assert read(tmp_path)[0].media == (tmp_path / "video.mp4").resolve()


@pytest.mark.parametrize(
    ("header", "message", "reason"),
    [
        ({"format": "remot-log/2"}, "reads 'remot-log/1'", "malformed"),
        ({"format": "remove"}, "reads 'remot-log/1'", "malformed"),
        ({"scene": "remove"}, "line 1: key 'scene' is missing", "malformed"),
        ({"scene": 5}, "scene must be a non-empty text", "malformed"),
        ({"engin": "unity"}, "line 1: unknown key 'engin', did you mean 'engine'", "malformed"),
        ({"engine": "remove"}, "the header needs up", "malformed"),
        ({"engine": "quake"}, "engine is 'quake'", "malformed"),
        ({"media": "gone.mp4"}, r"'gone\.mp4' does not exist", "missing media"),
        ({"media": "../../etc/passwd"}, "leads outside", "outside root"),
        ({"vertical_fov_degrees": 0}, "between 0 and 180", "malformed"),
        ({"vertical_fov_degrees": NAN}, "between 0 and 180", "malformed"),
        ({"vertical_fov_degrees": "60"}, "between 0 and 180", "malformed"),
        ({"width": 64}, "only one of width and height", "malformed"),
        ({"width": 0, "height": 48}, "width is 0", "malformed"),
        ({"landmarks": "crate 1"}, "landmarks must be a list", "malformed"),
        ({"landmarks": ["crate"]}, "landmark 'crate' is in no line", "malformed"),
    ],
)
def test_faults_of_the_header_are_named(tmp_path, header, message, reason):
    write_log(tmp_path / "data", **header)
    with pytest.raises(AnnotationError, match=message) as caught:
        read(tmp_path / "data")
    assert "run-1.jsonl" in str(caught.value)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("broken", "message", "reason"),
    [
        (line(8) | {"yaww": 1}, "line 4: unknown key 'yaww', did you mean 'yaw'", "malformed"),
        ({"t": 8, "position": [0, 0, 0], "yaw": 0}, "line 4: key 'pitch' is missing", "malformed"),
        (line(7.25), "line 4: t is 7.25 after 7.25", "times"),
        (line(7.1), "line 4: t is 7.1 after 7.25", "times"),
        (line(NAN), "line 4: t: holds NaN", "not finite"),
        (line("8"), "line 4: t: expected", "malformed"),
        (line(8, yaw=NAN), "line 4: yaw: holds NaN", "not finite"),
        (line(8, yaw=[1]), r"line 4: yaw has shape \(1,\), expected one number", "shape"),
        (line(8, position=[0, 0]), r"line 4: position has shape \(2,\), expected 3", "shape"),
        (line(8, position=[0, 0, float("inf")]), "line 4: position: holds NaN or infinity", "not finite"),
        (line(8, player={"position": [0, 0, 0], "yaw": 0}), "only 1 of 3 lines name the player", "unsynchronised"),
        (line(8, player={"position": [0, 0, 0]}), "line 4: player: key 'yaw' is missing", "malformed"),
        (line(8, objects=["gull"]), "line 4: objects: expected an object", "malformed"),
        (line(8, objects={"gull": [1, 2, 3, 4]}), "line 4: object 'gull': expected an object", "malformed"),
        (line(8, objects={"gull": {"bow": [1, 2, 3, 4]}}), "did you mean 'box'", "malformed"),
        (line(8, objects={"gull": {"box": [1, 2, 3]}}), r"box has shape \(3,\), expected 4", "shape"),
        (line(8, objects={"gull": {"box": [10, 60, 40, 20]}}), "origin at the top left", "malformed"),
        (line(8, objects={"gull": {"box": [1, 2, 3, NAN]}}), "box: holds NaN", "not finite"),
        (line(8, objects={"gull": {"box": [1, 2, 3, 4], "depth": None}}), "depth: expected", "malformed"),
        (line(8, events="rain"), "line 4: events must be a list", "malformed"),
        (line(8, events=[""]), "line 4: events must be a list", "malformed"),
        ('{"t": 8, "position"', "line 4: not valid JSON .* cut short", "malformed"),
        ("[1]", "line 4: expected an object", "malformed"),
        ("[" * 100_000, "line 4: not valid JSON", "malformed"),
        ('{"t": 8, "objects": {"imp": {}, "imp": {}}}', "line 4: 'imp' comes twice, keep one", "malformed"),
        (line(8, roll=3), "needs roll_positive", "malformed"),
    ],
)
def test_faults_of_a_line_are_named(tmp_path, broken, message, reason):
    engine = {"engine": "doom"} if isinstance(broken, dict) and "roll" in broken else {}
    write_log(tmp_path, lines=[*LINES[:2], broken], **engine)
    with pytest.raises(AnnotationError, match=message) as caught:
        read(tmp_path)
    assert "run-1.jsonl" in str(caught.value)
    assert caught.value.reason == reason


@pytest.mark.parametrize("num_images", [2, 4])
def test_lines_and_images_must_be_equally_many(tmp_path, num_images):
    write_log(tmp_path, num_images=num_images)
    with pytest.raises(AnnotationError, match=f"3 lines but {num_images} images in run-1") as caught:
        read(tmp_path)
    assert caught.value.reason == "unsynchronised"


@pytest.mark.parametrize("text", ["", "\n\n", json.dumps(HEADER)])
def test_a_log_without_lines_is_named(tmp_path, text):
    write_log(tmp_path)
    (tmp_path / "run-1.jsonl").write_text(text)
    with pytest.raises(AnnotationError, match=r"run-1\.jsonl: the log (is empty|holds a header only)") as caught:
        read(tmp_path)
    assert caught.value.reason == "zero length"


def test_a_broken_video_is_named(tmp_path):
    write_log(tmp_path)
    (tmp_path / "run-1.mp4").write_bytes(b"torn")
    with pytest.raises(AnnotationError, match=r"run-1\.jsonl: .*video") as caught:
        read(tmp_path)
    assert caught.value.reason == "media"


def test_two_logs_cannot_share_an_id(tmp_path):
    write_log(tmp_path / "a")
    write_log(tmp_path / "b")
    with pytest.raises(AnnotationError, match="clip id run-1 is taken") as caught:
        read(tmp_path)
    assert caught.value.reason == "duplicate id"


def test_absurd_sizes_are_refused(tmp_path, monkeypatch):
    write_log(tmp_path)
    monkeypatch.setattr(game_tracks, "MAX_BOXES", 5)
    with pytest.raises(AnnotationError, match="2 objects in 3 lines") as caught:
        read(tmp_path)
    assert caught.value.reason == "too large"
    monkeypatch.setattr(base, "MAX_ANNOTATION_BYTES", 100)
    with pytest.raises(AnnotationError, match="longer than 100 bytes"):
        read(tmp_path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
KEYS = ("t", "position", "yaw", "pitch", "roll", "objects", "events", "player")
HEADER_KEYS = (
    "engine",
    "up",
    "yaw_zero",
    "units_per_metre",
    "vertical_fov_degrees",
    "width",
    "landmarks",
    "media",
    "id",
)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory):
    return write_log(tmp_path_factory.mktemp("fuzzed"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.sampled_from((*KEYS, *HEADER_KEYS)), value=json_values)
def test_no_json_gets_past_the_reader_but_as_a_clip_or_one_sentence(fuzzed, key, value):
    header, last = (HEADER | {key: value}, {}) if key in HEADER_KEYS else (HEADER, {key: value})
    rows = [header, *LINES[:2], LINES[2] | last]
    (fuzzed / "run-1.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    complaint = complaint_about(fuzzed)
    assert complaint is None or "run-1.jsonl" in complaint


def complaint_about(folder):
    try:
        read(folder)
    except RemotError as error:
        return str(error)
    return None


def test_the_logs_of_the_documentation_can_be_read(tmp_path):
    blocks = re.findall(r"```json\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert len(blocks) >= 2
    for index, block in enumerate(blocks):
        folder = write_log(tmp_path / str(index), num_images=len(block.splitlines()) - 1)
        (folder / "run-1.jsonl").write_text(block)
        assert read(folder)[0].num_frames == len(block.splitlines()) - 1
