"""AgiBot World episodes, hand-made in the published layout."""

import json

import h5py
import numpy as np
import pytest

from remot.data.annotations import AgiBotReader
from remot.data.media import read_frames, write_video
from remot.errors import AnnotationError, ConfigError
from tests.data.annotations.good_clips import good_clips
from tests.helpers import assert_close

START = 1_727_000_000_123_456_789
STAMPS = np.array([START, START + 33_000_000, START + 70_000_000])
#: The left flange goes 0.2 to the robot's left, the right one 0.1 up.
PLACES = np.zeros((3, 2, 3))
PLACES[2, 0, 1], PLACES[2, 1, 2] = 0.2, 0.1
GRIPPERS = np.array([[20.0, 120.0], [70.0, 120.0], [120.0, 20.0]])
ACTIONS = [
    {"start_frame": 0, "end_frame": 1, "action_text": "Reach for the cup.", "skill": "Pick"},
    {"start_frame": 1, "end_frame": 9, "action_text": "Lift it.", "skill": "Pick"},
    {"start_frame": 2, "end_frame": 3, "action_text": "", "skill": "Pick"},
]


def write_episode(root, *, task="327", episode="648642", num_images=3, camera="head_color", **changes):
    arrays = {"timestamp": STAMPS, "state/end/position": PLACES, "state/effector/position": GRIPPERS} | changes
    folder = root / "proprio_stats" / task / episode
    folder.mkdir(parents=True)
    with h5py.File(folder / "proprio_stats.h5", "w") as content:
        for name, array in arrays.items():
            content[name] = array
    video = root / "observations" / task / episode / "videos" / f"{camera}.mp4"
    video.parent.mkdir(parents=True)
    levels = 60 * np.arange(num_images, dtype=np.uint8)
    write_video(video, np.broadcast_to(levels[:, None, None, None], (num_images, 24, 32, 3)), 30, crf=1)
    return root


def write_actions(root, actions=None, content=None):
    (root / "task_info").mkdir()
    entry = {"episode_id": 648642, "task_name": "Tidy up", "label_info": {"action_config": actions or ACTIONS}}
    (root / "task_info" / "task_327.json").write_text(json.dumps(content or [{"episode_id": 1}, entry]))


def read(root, **settings):
    return list(AgiBotReader(**settings).read(root))


def test_left_and_right_arms_in_viewer_axes(tmp_path):
    """Seen from the head, the robot's left is on the viewer's left: -0.2; 0.1 up is y = -0.1."""
    (clip,) = read(write_episode(tmp_path))
    assert_close(clip.effectors["left arm"].positions[2], [-0.2, 0, 0])
    assert_close(clip.effectors["right arm"].positions[2], [0, -0.1, 0])
    assert clip.effectors["left arm"].opening is None  # the range of the readings is unknown
    assert (clip.clip_id, clip.scene_id, clip.domain) == ("327-648642", "327", "agibot")
    assert read(tmp_path, scene="episode")[0].scene_id == "327-648642"


@pytest.mark.parametrize(
    ("settings", "head", "waist", "moves"),
    [
        ({}, [[0, 0.4]] * 3, [[0.1, 0.2]] * 3, False),
        ({}, [[0, 0.4], [0, 0.41], [0, 0.41]], [[0.1, 0.2]] * 3, True),
        ({}, [[0, 0.4]] * 3, [[0.1, 0.2], [0.1, 0.3], [0.1, 0.2]], True),
        ({}, [[0, 0.4]] * 3, None, None),  # nothing is known of the waist
        ({"camera_moves": False}, None, None, False),
        ({"camera": "hand_left_color"}, [[0, 0.4]] * 3, [[0.1, 0.2]] * 3, True),
    ],
)
def test_the_head_camera_is_fixed_while_head_and_waist_stay_put(tmp_path, settings, head, waist, moves):
    joints = {"state/head/position": head, "state/waist/position": waist}
    held = {name: np.array(value) for name, value in joints.items() if value is not None}
    (clip,) = read(write_episode(tmp_path, camera=settings.get("camera", "head_color"), **held), **settings)
    assert clip.camera_moves is moves


def test_openings_need_a_range(tmp_path):
    (clip,) = read(write_episode(tmp_path), opening_range=(20, 120))
    assert_close(clip.effectors["left arm"].opening, [0, 0.5, 1])
    assert_close(clip.effectors["right arm"].opening, [1, 1, 0])


def test_hands_with_joint_angles_have_no_opening(tmp_path):
    hands = {"state/effector/position": np.zeros((3, 12))}
    (clip,) = read(write_episode(tmp_path, **hands), opening_range=(20, 120))
    assert clip.effectors["left arm"].opening is None


def test_times_are_nanoseconds_and_images_are_found_by_number(tmp_path):
    (clip,) = good_clips(AgiBotReader(), write_episode(tmp_path))
    assert_close(clip.pts_seconds, [0, 0.033, 0.07])
    assert_close(clip.media_pts_seconds, [0, 1 / 30, 2 / 30], atol=1e-6)
    assert [round(float(frame.float().mean()) / 60) for frame in read_frames(clip, [2, 0, 1])] == [2, 0, 1]


def test_actions_become_events(tmp_path):
    write_actions(write_episode(tmp_path))
    (clip,) = read(tmp_path)
    told = [(event.text, round(event.start_seconds, 6), round(event.end_seconds, 6)) for event in clip.events]
    assert told == [("Reach for the cup.", 0.0, 0.033), ("Lift it.", 0.033, 0.105)]  # cut off at the episode's end


def test_a_camera_on_a_hand_has_no_known_directions(tmp_path):
    (clip,) = read(write_episode(tmp_path, camera="hand_left_color"), camera="hand_left_color")
    assert np.isnan(clip.effectors["left arm"].positions).all()


@pytest.mark.parametrize(
    ("changes", "message", "reason"),
    [
        ({"num_images": 4}, r"3 rows but 4 images in head_color\.mp4", "unsynchronised"),
        ({"state/end/position": PLACES[:2]}, "3 timestamps but 2 rows in state/end/position", "unsynchronised"),
        ({"state/end/position": PLACES[:, :1]}, "shape 3x1x3, expected Nx2x3", "shape"),
        ({"state/end/position": PLACES * np.nan}, "position holds NaN", "not finite"),
        ({"state/effector/position": GRIPPERS[:1]}, "3 timestamps but 1 rows in state/effector", "unsynchronised"),
        ({"timestamp": STAMPS[[0, 2, 1]]}, "strictly increasing", "times"),
        ({"timestamp": STAMPS[:0]}, "one time for each row", "zero length"),
    ],
)
def test_bad_episodes_are_named(tmp_path, changes, message, reason):
    write_episode(tmp_path, **changes)
    with pytest.raises(AnnotationError, match=message) as caught:
        read(tmp_path, opening_range=(20, 120))
    assert "proprio_stats.h5" in str(caught.value)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": 1}, "expected a list of episodes"),
        ([{"episode": 1}], "expected a list of episodes"),
        (
            [{"episode_id": 648642, "label_info": {"action_config": [{"start_frame": 0}]}}],
            "action 0: expected start_frame",
        ),
        (
            [{"episode_id": 648642, "label_info": {"action_config": [{"start_frame": -4, "end_frame": 2}]}}],
            "frames count from 0",
        ),
    ],
)
def test_bad_lists_of_actions_are_named(tmp_path, content, message):
    write_actions(write_episode(tmp_path), content=content)
    with pytest.raises(AnnotationError, match=message) as caught:
        read(tmp_path)
    assert "task_327.json" in str(caught.value)


def test_missing_and_misplaced_files_are_named(tmp_path):
    write_episode(tmp_path)
    with pytest.raises(AnnotationError, match=r"videos/other\.mp4' does not exist") as caught:
        read(tmp_path, camera="other")
    assert caught.value.reason == "missing media"
    file = tmp_path / "proprio_stats" / "327" / "648642" / "proprio_stats.h5"
    file.rename(tmp_path / "proprio_stats.h5")
    with pytest.raises(AnnotationError, match="expected proprio_stats/<task>/<episode>"):
        read(tmp_path)


def test_a_camera_cannot_lead_outside(tmp_path):
    (tmp_path / "data").mkdir()
    write_episode(tmp_path / "data")
    (tmp_path / "secret.mp4").write_bytes(b"x")
    with pytest.raises(AnnotationError, match="leads outside") as caught:
        read(tmp_path / "data", camera="../../../../../secret")
    assert caught.value.reason == "outside root"


def test_unusable_settings_are_refused():
    with pytest.raises(ConfigError, match="two numbers"):
        AgiBotReader(opening_range=(3, 3))
