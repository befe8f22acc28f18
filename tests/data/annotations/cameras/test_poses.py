"""Pose arithmetic against scipy's rotations, and the cases where two ways of rounding meet."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from remot.data.annotations.cameras import poses
from remot.errors import AnnotationError, ConfigError
from remot.structures import CameraTrack
from tests.data.handmade import clip_of
from tests.helpers import assert_close

RANDOM = Rotation.random(50, rng=np.random.default_rng(0))


def test_rotations_are_scipys():
    assert_close(poses.rotations_from(RANDOM.as_quat()), RANDOM.as_matrix())


def test_a_quarter_turn_about_z_takes_x_to_y():
    half = np.sqrt(0.5)
    assert_close(poses.rotations_from(np.array([[0, 0, half, half]]))[0] @ [1, 0, 0], [0, 1, 0])
    assert_close(poses.rotations_from(poses.w_last(np.array([[half, 0, 0, half]])))[0] @ [1, 0, 0], [0, 1, 0])


def test_quaternions_of_files_are_rounded_and_brought_to_unit_length():
    rounded = np.round(RANDOM.as_quat(), 3)
    assert poses.is_unit(rounded).all()
    found = poses.rotations_from(rounded)
    assert_close(found @ found.transpose(0, 2, 1), np.tile(np.eye(3), (50, 1, 1)))


@pytest.mark.parametrize("quaternion", [[0, 0, 0, 0], [0, 0, 0, 2], [0, 0, 0, np.nan], [0.5, 0.5, 0, 0]])
def test_quaternions_that_are_no_rotation_are_reported(quaternion):
    assert not poses.is_unit(np.array([quaternion], dtype=float)).any()


def test_inverse_and_relative_poses():
    generator = np.random.default_rng(1)
    made = poses.rigid(RANDOM.as_matrix(), generator.normal(size=(50, 3)))
    assert_close(poses.inverted(made), np.linalg.inv(made))
    assert_close(poses.relative_to_first(made), np.linalg.inv(made[0]) @ made)
    assert_close(made[:, 3], np.tile([0.0, 0, 0, 1], (50, 1)))


def test_slerp_is_scipys():
    for start, end in zip(RANDOM[:25], RANDOM[25:], strict=True):
        shares = np.linspace(0, 1, 7)
        wanted = Slerp([0, 1], Rotation.concatenate([start, end]))(shares).as_matrix()
        ends = [np.tile(rotation.as_quat(), (7, 1)) for rotation in (start, end)]
        assert_close(poses.rotations_from(poses.slerp(*ends, shares)), wanted)


def test_slerp_takes_the_short_way_whatever_the_sign():
    start, end = Rotation.from_euler("z", [[10], [30]], degrees=True).as_quat()
    for sign in (1, -1):
        middle = poses.slerp(start[None], sign * end[None], np.array([0.5]))
        assert_close(Rotation.from_quat(middle).as_euler("zyx", degrees=True)[0, 0], 20.0)


def test_slerp_between_equal_rotations_stays():
    same = RANDOM.as_quat()
    assert_close(poses.slerp(same, same, np.full(50, 0.3)), same)
    assert_close(poses.rotations_from(poses.slerp(same, -same, np.full(50, 0.3))), RANDOM.as_matrix(), atol=1e-7)


def test_neighbours():
    """Poses at 0, 1 and 3 s; one may lie up to 1 s from a wanted time."""
    times = np.array([0.0, 1.0, 3.0])
    wanted = np.array([-0.1, 0.0, 0.25, 1.0, 1.5, 2.0, 3.0, 3.1])
    found = poses.neighbours(times, wanted, 1.0)
    assert found.found.tolist() == [False, True, True, True, False, True, True, False]
    assert list(zip(found.before[found.found], found.after[found.found], strict=True)) == [
        (0, 0),
        (0, 1),
        (1, 1),
        (1, 2),
        (2, 2),
    ]


def test_interpolation_by_hand():
    """A quarter of the way from the origin, unturned, to (4, 0, 0), turned 40 degrees about z."""
    times, places = np.array([10.0, 10.4]), np.array([[0.0, 0, 0], [4, 0, 0]])
    turns = Rotation.from_euler("z", [[0], [40]], degrees=True).as_quat()
    made, found = poses.interpolated(times, places, turns, np.array([9.9, 10.1, 10.4]), 0.5)
    assert found.tolist() == [False, True, True]
    assert_close(made[0, :3, 3], [1, 0, 0])
    assert_close(made[0, :3, :3], Rotation.from_euler("z", 10, degrees=True).as_matrix())
    assert_close(made[1, :3, :3], Rotation.from_euler("z", 40, degrees=True).as_matrix())


def test_one_pose_serves_its_own_time_only():
    made, found = poses.interpolated(
        np.array([1.0]), np.zeros((1, 3)), np.array([[0, 0, 0, 1.0]]), np.array([1.0, 2]), 9
    )
    assert found.tolist() == [True, False]
    assert_close(made, np.eye(4)[None])


BROKEN = {
    "scaled": np.diag([2.0, 2, 2, 1]),
    "mirrored": np.diag([1.0, 1, -1, 1]),
    "projective": np.array([[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]),
    "not finite": np.full((4, 4), -np.inf),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_rigid_here_is_rigid_in_a_clip(name):
    assert poses.is_rigid(np.stack([np.eye(4), BROKEN[name]])).tolist() == [True, False]
    clip_of(1, camera=CameraTrack(np.eye(4)[None]))
    with pytest.raises(AnnotationError, match="not a rigid motion"):
        clip_of(1, camera=CameraTrack(BROKEN[name][None]))


@pytest.mark.parametrize("rounding", [2e-4, 2e-3])
def test_the_tolerance_is_the_clips(rounding):
    pose = np.eye(4)
    pose[0, 0] += rounding
    accepted = True
    try:
        clip_of(1, camera=CameraTrack(pose[None]))
    except AnnotationError:
        accepted = False
    assert poses.is_rigid(pose[None]).tolist() == [accepted]


def test_headings_are_counter_clockwise_from_east():
    assert_close(poses.headings_degrees(np.array([[1.0, 0], [0, 2], [-1, 0], [0, -1]])), [0, 90, 180, -90])


def test_pinhole():
    assert poses.pinhole(None) is None
    assert_close(poses.pinhole([10, 20, 3, 4]), [[10, 0, 3], [0, 20, 4], [0, 0, 1]])


@pytest.mark.parametrize("wrong", [[1, 2, 3], [0, 1, 2, 3], [1, 2, 3, float("nan")]])
def test_wrong_intrinsics_are_refused(wrong):
    with pytest.raises(ConfigError, match="give fx, fy, cx, cy"):
        poses.pinhole(wrong)
