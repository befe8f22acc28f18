import numpy as np
import pytest

from remot.data.tasks.geometry.choices import shuffled_choice
from remot.data.tasks.geometry.places import camera_places, ground_places, places_seen_from
from remot.structures import CameraTrack, Clip, ObjectTrack
from tests.data.tasks.rooms import INTRINSICS, pose
from tests.helpers import assert_close


def boxes_of(places, poses):
    """Boxes of 10 x 10 pixels around world places [N, 3], and the depths."""
    local = np.einsum("nji,nj->ni", poses[:, :3, :3], places - poses[:, :3, 3])
    middles = local[:, :2] / local[:, 2:] * INTRINSICS[0, 0] + INTRINSICS[:2, 2]
    return ObjectTrack(np.hstack([middles - 5, middles + 5]), depths_metres=local[:, 2])


def clip_with(camera, **objects):
    num_frames = len(camera.camera_to_world)
    return Clip("c", "c", "d", None, np.arange(num_frames) / 2, camera=camera, objects=objects)


def test_a_place_by_hand():
    """50 pixels right of and 25 below the middle at 4 m: 2 m to the right, 1 m down."""
    track = ObjectTrack(np.array([[140.0, 90, 160, 110], [0, 0, 2, 2]]), depths_metres=np.array([4.0, np.nan]))
    found = camera_places(track, INTRINSICS)
    assert_close(found[0], [2, 1, 4])
    assert np.isnan(found[1]).all()
    assert np.isnan(camera_places(ObjectTrack(track.boxes_xyxy), INTRINSICS)).all()


def test_a_thing_at_rest_stays_where_it_is_though_the_camera_moves():
    poses = np.stack([pose((0, 0, 1), 90), pose((1, 1, 1.2), 70, -10), pose((-1, 2, 1), 120)])
    clip = clip_with(CameraTrack(poses, INTRINSICS), post=boxes_of(np.tile([0.5, 6.0, 0.8], (3, 1)), poses))
    for frame in range(3):
        found = places_seen_from(clip, "post", frame)
        assert_close(found, np.tile(found[frame], (3, 1)), atol=1e-9)
    assert_close(places_seen_from(clip, "post", 0)[0], [0.5, 0.2, 6])  # camera axes: right, down, away


def test_a_thing_that_walks_east_goes_right_for_who_looks_north():
    poses = np.stack([pose((0, 0, 0), 90)] * 3)
    clip = clip_with(CameraTrack(poses, INTRINSICS), man=boxes_of(np.array([[-1, 5, 0], [0, 5, 0], [2, 6, 0]]), poses))
    assert_close(ground_places(clip, 0)["man"], (-1, 5))
    assert_close(ground_places(clip, 2)["man"], (2, 6))


def test_what_is_not_known():
    poses = np.stack([pose((0, 0, 0), 90)] * 2)
    track = boxes_of(np.array([[0.0, 5, 0], [0, 6, 0]]), poses)
    assert places_seen_from(clip_with(CameraTrack(poses), a=track), "a", 0) is None
    assert places_seen_from(clip_with(CameraTrack(poses, INTRINSICS, is_metric=False), a=track), "a", 0) is None
    assert ground_places(clip_with(CameraTrack(poses), a=track), 0) == {}
    assert ground_places(clip_with(CameraTrack(poses, INTRINSICS), a=ObjectTrack(track.boxes_xyxy)), 0) == {}


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
