from dataclasses import replace

import numpy as np
import pytest

from remot.data.tasks.shared.candidates import shuffled_choice
from remot.data.tasks.shared.places import camera_places, ground_place, places_seen_from
from remot.structures import CameraTrack, Clip, ObjectTrack
from tests.data.tasks.rooms import INTRINSICS, pose
from tests.helpers import assert_close

NAN = float("nan")


def tracked(places, poses):
    """A track whose middle is at world places [N, 3]."""
    local = np.einsum("nji,nj->ni", poses[:, :3, :3], np.asarray(places, dtype=float) - poses[:, :3, 3])
    return ObjectTrack(np.tile([10.0, 10, 20, 20], (len(poses), 1)), centres_metres=local)


def clip_with(camera, num_frames=None, **objects):
    num_frames = len(camera.camera_to_world) if num_frames is None else num_frames
    return Clip("c", "c", "d", None, np.arange(num_frames) / 2, camera=camera, objects=objects)


def test_a_thing_at_rest_stays_where_it_is_though_the_camera_moves():
    poses = np.stack([pose((0, 0, 1), 90), pose((1, 1, 1.2), 70, -10), pose((-1, 2, 1), 120)])
    clip = clip_with(CameraTrack(poses, INTRINSICS), post=tracked(np.tile([0.5, 6.0, 0.8], (3, 1)), poses))
    for frame in range(3):
        found = places_seen_from(clip, "post", frame)
        assert_close(found, np.tile(found[frame], (3, 1)), atol=1e-9)
    assert_close(places_seen_from(clip, "post", 0)[0], [0.5, 0.2, 6])  # camera axes: right, down, away


def test_a_thing_that_walks_east_goes_right_for_who_looks_north():
    poses = np.stack([pose((0, 0, 0), 90)] * 3)
    clip = clip_with(CameraTrack(poses), man=tracked([[-1, 5, 0], [0, 5, 0], [2, 6, 0]], poses))
    assert_close(ground_place(camera_places(clip, 0)["man"]), (-1, 5))
    assert_close(ground_place(camera_places(clip, 2)["man"]), (2, 6))


def test_what_is_not_known():
    poses = np.stack([pose((0, 0, 0), 90)] * 2)
    track = tracked([[0, 5, 0], [0, 6, 0]], poses)
    assert places_seen_from(clip_with(CameraTrack(poses, is_metric=False), a=track), "a", 0) is None
    assert places_seen_from(clip_with(CameraTrack(poses), a=ObjectTrack(track.boxes_xyxy)), "a", 0) is None
    assert camera_places(clip_with(CameraTrack(poses), a=ObjectTrack(track.boxes_xyxy)), 0) == {}
    unseen = ObjectTrack(track.boxes_xyxy, centres_metres=np.array([[NAN] * 3, [0, 0, 6]]))
    assert list(camera_places(clip_with(CameraTrack(poses), a=unseen), 0)) == []
    assert list(camera_places(clip_with(CameraTrack(poses), a=unseen), 1)) == ["a"]


def test_a_camera_without_poses_rests_unless_marked_as_moving():
    poses = np.tile(np.eye(4), (2, 1, 1))
    clip = clip_with(None, 2, a=tracked([[0, 0, 5], [1, 0, 5]], poses))
    assert_close(places_seen_from(clip, "a", 0), [[0, 0, 5], [1, 0, 5]])
    assert places_seen_from(replace(clip, camera_moves=True), "a", 0) is None


def test_every_letter_is_equally_often_right():
    rng = np.random.default_rng(0)
    drawn = [shuffled_choice("yes", ["no", "maybe", "never"], rng) for _ in range(2000)]
    assert all(one.options["ABCD".index(one.letter)] == "yes" for one in drawn)
    counts = [sum(one.letter == letter for one in drawn) for letter in "ABCD"]
    assert min(counts) > 430  # 500 each, 19 to the standard deviation
    assert shuffled_choice("x", [], rng).lines == "A. x"


def test_equal_options_are_refused():
    with pytest.raises(ValueError, match="must differ"):
        shuffled_choice("yes", ["yes"], np.random.default_rng(0))
