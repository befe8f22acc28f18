"""Bridge and DROID records, hand-made in the RLDS layout."""

import io
import pickle

import numpy as np
import pytest
from PIL import Image

from remot.data.annotations import BridgeReader, DroidReader, RLDSEffector, RLDSReader
from remot.data.clips.loading import read_each
from remot.data.media import check_media, read_frames
from remot.errors import AnnotationError, ConfigError, DecodeError
from tests.data.annotations.example_bytes import example, frame
from tests.data.annotations.good_clips import good_clips
from tests.helpers import assert_close

NAN = float("nan")
#: x forward, y left, z up, roll, pitch, yaw, opening
STATES = [
    [0.2, 0.0, 0.1, 9.0, 9.0, 9.0, 1.0],
    [0.3, 0.2, 0.15, 9.0, 9.0, 9.0, 0.5],
    [0.4, 0.4, 0.2, 9.0, 9.0, 9.0, 0.1],
]


def image(level, kind="PNG"):
    stream = io.BytesIO()
    Image.new("RGB", (20, 16), (level, level, level)).save(stream, kind)
    return stream.getvalue()


def record(states=STATES, *, levels=(50, 100, 150), text=b"lift the cup", path=b"/lab/a/out.npy", **changes):
    features = {
        "steps/observation/state": [float(value) for row in states for value in row],
        "steps/observation/image_0": [image(level) for level in levels],
        "steps/observation/image_3": [image(0, "JPEG")] * len(levels),
        "steps/language_instruction": [text] * len(levels),
        "episode_metadata/file_path": [path],
        "steps/is_first": [1, 0, 0],
        "steps/language_embedding": [0.5] * 100,
    }
    for key, values in changes.items():
        features[key.replace("__", "/")] = values
    return example({key: values for key, values in features.items() if values})


def write_records(root, *records, name="bridge_dataset-train.tfrecord-00000-of-00001"):
    (root / name).write_bytes(b"".join(frame(payload) for payload in records))
    return root


def read(root, reader=None):
    return list((reader or BridgeReader()).read(root))


def levels(clip, indices=None):
    frames = read_frames(clip, range(clip.num_frames) if indices is None else indices)
    return [round(float(frame.float().mean())) for frame in frames]


def test_bridge_has_a_vertical_axis_and_the_opening(tmp_path):
    """From z = 0.1 to 0.2 is up: y falls by 0.1. The camera's side is not known, so x and z are not."""
    (clip,) = read(write_records(tmp_path, record()))
    track = clip.effectors["robot arm"]
    assert_close(track.positions, [[NAN, -0.1, NAN], [NAN, -0.15, NAN], [NAN, -0.2, NAN]], rtol=1e-5)
    assert_close(track.opening, [1, 0.5, 0.1], rtol=1e-5)
    assert_close(clip.pts_seconds, [0, 0.2, 0.4])
    assert clip.camera_moves is False
    assert levels(clip, [2, 0, 1, 1]) == [150, 50, 100, 100]
    assert (clip.clip_id, clip.domain) == ("bridge_dataset-train-00000-of-00001-0", "bridge")
    assert [(e.text, round(e.end_seconds, 6)) for e in clip.events] == [("lift the cup", 0.6)]


def test_axes_can_be_configured(tmp_path):
    (clip,) = read(write_records(tmp_path, record()), BridgeReader(axes="-y,-z,x"))
    moved = clip.effectors["robot arm"].positions[2] - clip.effectors["robot arm"].positions[0]
    assert_close(moved, [-0.4, -0.1, 0.2], rtol=1e-5)


def droid_record(camera="exterior_image_1_left"):
    return example(
        {
            "steps/observation/cartesian_position": [value for row in STATES for value in row[:6]],
            "steps/observation/gripper_position": [0.0, 0.25, 1.0],
            f"steps/observation/{camera}": [image(level, "JPEG") for level in (50, 100, 150)],
            "steps/language_instruction": [b""] * 3,
        }
    )


def test_droid_counts_the_gripper_the_other_way_round(tmp_path):
    write_records(tmp_path, droid_record(), name="r2d2_faceblur-train.tfrecord-00000-of-02048")
    (clip,) = read(tmp_path, DroidReader())
    assert_close(clip.effectors["robot arm"].opening, [1, 0.75, 0])
    assert_close(clip.effectors["robot arm"].positions[:, 1], [-0.1, -0.15, -0.2], rtol=1e-5)
    assert np.isnan(clip.effectors["robot arm"].positions[:, [0, 2]]).all()
    assert_close(clip.pts_seconds, [0, 1 / 15, 2 / 15])
    assert clip.events == ()
    assert clip.scene_id == clip.clip_id == "r2d2_faceblur-train-00000-of-02048-0"


def test_nothing_is_known_with_a_camera_that_moves_with_the_gripper(tmp_path):
    write_records(tmp_path, droid_record("wrist_image_left"))
    (clip,) = read(tmp_path, DroidReader("wrist_image_left"))
    assert np.isnan(clip.effectors["robot arm"].positions).all()
    assert clip.effectors["robot arm"].opening is not None
    assert clip.camera_moves
    assert (BridgeReader("image_3").camera_moves, BridgeReader("image_3").effector.axes) == (True, "?,?,?")
    assert (BridgeReader("image_1").camera_moves, DroidReader("exterior_image_2_left").camera_moves) == (False, False)
    assert RLDSReader("steps/observation/image", RLDSEffector("steps/observation/state"), 5.0).camera_moves is None


def test_records_of_one_source_file_are_one_scene(tmp_path):
    clips = read(write_records(tmp_path, record(), record(levels=(9, 8, 7)), record(levels=(6, 5, 4), path=b"/lab/b")))
    assert [clip.scene_id for clip in clips] == ["/lab/a/out.npy", "/lab/a/out.npy", "/lab/b"]


def test_the_same_snippet_in_two_files_is_named_and_in_one_scene(tmp_path, caplog):
    """The second file holds a record of the first one without its source's name, and one that differs."""
    write_records(tmp_path, record(path=b""), name="x-train.tfrecord-00000-of-00001")
    other = [[*row[:2], row[2] + 0.01, *row[3:]] for row in STATES]
    write_records(tmp_path, record(other, path=b""), record(path=b""), name="x-val.tfrecord-00000-of-00001")
    train, different, copy = read(tmp_path)
    assert copy.scene_id == train.scene_id != different.scene_id
    assert len({clip.clip_id for clip in (train, different, copy)}) == 3
    assert "1 records hold the same snippet" in caplog.text
    assert "x-val.tfrecord-00000-of-00001: 1" in caplog.text
    assert caplog.text.count("same snippet") == 1


def test_reading_twice_finds_no_copies(tmp_path, caplog):
    reader = BridgeReader()
    first, second = read(write_records(tmp_path, record()), reader), read(tmp_path, reader)
    assert first[0].scene_id == second[0].scene_id
    assert "same snippet" not in caplog.text


def test_records_with_black_images_are_left_out(tmp_path, caplog):
    write_records(tmp_path, record(), record(levels=(0, 0, 0)), record(levels=(0, 0, 90)))
    assert [clip.clip_id[-1] for clip in read(tmp_path)] == ["0", "2"]
    assert "1 records are left out, all their images in steps/observation/image_0 are black" in caplog.text
    assert caplog.messages[0].endswith("record 1")
    assert read(tmp_path, BridgeReader("image_3")) == []


def test_a_hundred_black_records_are_one_line(tmp_path, caplog):
    write_records(tmp_path, *[record(levels=(0, 0, 0))] * 100, record())
    assert len([clip for _, clip in read_each(BridgeReader(), tmp_path, decode=False)]) == 1
    (line,) = caplog.messages
    assert line.startswith("100 records are left out")
    assert line.endswith("record 4 and 95 more")


def test_clips_travel_to_other_processes(tmp_path):
    clips = good_clips(BridgeReader(), write_records(tmp_path, record(levels=(1, 2, 3)), record()))
    assert levels(pickle.loads(pickle.dumps(clips[1]))) == [50, 100, 150]


@pytest.mark.parametrize(
    ("payload", "message", "reason"),
    [
        (record(STATES[:2]), "14 numbers, which are no whole rows for 3 images", "unsynchronised"),
        (record([row[:6] for row in STATES]), "6 columns for 3 images, column 6 is wanted", "shape"),
        (record([[NAN] * 7] * 3), "state holds NaN", "not finite"),
        (record(steps__observation__state=[]), "has no 'steps/observation/state', it has", "malformed"),
        (record(steps__observation__image_0=[]), "has no 'steps/observation/image_0'", "missing media"),
        (record(steps__observation__image_0=[1.0] * 3), "holds no encoded image", "zero length"),
        (record(steps__observation__state=[b"x"]), "state holds no numbers", "malformed"),
        (record([[*row[:6], 60.0] for row in STATES]), "60 to 60 is no opening", "malformed"),
        (record(steps__observation__image_0=[b"GIF89a"] * 3), "image 0: .*is no JPEG, PNG", "media"),
        (b"\x0a\x7f", r"is no tf\.train\.Example", "malformed"),
    ],
)
def test_bad_records_are_named(tmp_path, payload, message, reason):
    with pytest.raises(AnnotationError, match=message) as caught:
        read(write_records(tmp_path, payload))
    assert "record 0" in str(caught.value)
    assert caught.value.reason == reason


def test_a_truncated_file_is_named_and_what_comes_before_is_kept(tmp_path):
    write_records(tmp_path, record(), record())
    file = tmp_path / "bridge_dataset-train.tfrecord-00000-of-00001"
    file.write_bytes(file.read_bytes()[:-3])
    with pytest.raises(AnnotationError, match=r"record 1 .*byte \d+: .*cut short"):
        read(tmp_path)
    with pytest.warns(UserWarning, match="1 bad clips.* 1 remain"):
        assert len(good_clips(BridgeReader(), tmp_path, "skip")) == 1


def test_a_folder_without_records(tmp_path):
    with pytest.raises(AnnotationError, match=r"no \*\.tfrecord\* with records found") as caught:
        read(tmp_path)
    assert caught.value.reason == "missing"


def test_a_file_outside_of_the_root(tmp_path):
    (tmp_path / "data").mkdir()
    write_records(tmp_path, record(), name="secret")
    (tmp_path / "data" / "x.tfrecord").symlink_to(tmp_path / "secret")
    with pytest.raises(AnnotationError, match="leads outside") as caught:
        read(tmp_path / "data")
    assert caught.value.reason == "outside root"


def test_images_that_are_gone_are_named(tmp_path):
    (clip,) = read(write_records(tmp_path, record()))
    file = tmp_path / "bridge_dataset-train.tfrecord-00000-of-00001"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DecodeError, match="beyond the end of the file"):
        check_media(clip, decode=False)
    file.unlink()
    with pytest.raises(DecodeError, match="image_0 of the record at byte 12"):
        check_media(clip, decode=False)


def test_unusable_settings_are_refused():
    with pytest.raises(ConfigError, match="fps is 0"):
        RLDSReader("image", RLDSEffector("state"), fps=0)
    with pytest.raises(ConfigError, match="mirrors"):
        BridgeReader(axes="y,-z,x")
