"""Directions of game engines: hand-made scenes seen before and after a turn, and the engines' own matrices."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from remot.data.annotations.games.game_axes import ENGINES, GameAxes, axes_from
from remot.data.experts.camera import turn_degrees
from remot.errors import AnnotationError
from remot.synthetic.simulators.vizdoom import pose as doom_pose
from tests.helpers import assert_close

FOCAL, MIDDLE = 100.0, 50.0

#: For each engine a point ten metres ahead of a camera at the origin with yaw 0, and one metre to its right or above
#: it, in the engine's own axes and units, as its manual draws them.
AHEAD_RIGHT = {"unity": (1, 0, 10), "unreal": (1000, 100, 0), "doom": (320, -32, 0)}
AHEAD_ABOVE = {"unity": (0, 1, 10), "unreal": (1000, 0, 100), "doom": (320, 0, 32)}
#: (yaw, pitch, roll) that turn to the right, look up, and tilt the head to the right.
TURN_RIGHT = {"unity": (10, 0, 0), "unreal": (10, 0, 0), "doom": (-10, 0, 0)}
LOOK_UP = {"unity": (0, -5, 0), "unreal": (0, 5, 0), "doom": (0, -5, 0)}
TILT_RIGHT = {"unity": (0, 0, -20), "unreal": (0, 0, 20)}

engines = pytest.mark.parametrize("engine", sorted(ENGINES))


def seen(engine, point, angles=(0, 0, 0), position=(0, 0, 0)):
    """Pixel (x to the right, y down) and depth in metres of a point, both in the engine's axes."""
    axes = axes_from({"engine": engine})
    (pose,) = axes.camera_to_world(np.array([position], dtype=float), np.array([angles], dtype=float))
    x, y, z = np.linalg.inv(pose)[:3] @ [*axes.places_metres(np.array([point], dtype=float))[0], 1]
    return FOCAL * x / z + MIDDLE, FOCAL * y / z + MIDDLE, z


@engines
def test_a_point_on_the_right_is_seen_on_the_right(engine):
    assert_close(seen(engine, AHEAD_RIGHT[engine]), [60, 50, 10])


@engines
def test_a_point_above_is_seen_above(engine):
    assert_close(seen(engine, AHEAD_ABOVE[engine]), [50, 40, 10])


@engines
def test_turning_right_moves_the_image_to_the_left(engine):
    before, after = (seen(engine, AHEAD_RIGHT[engine], angles)[0] for angles in ((0, 0, 0), TURN_RIGHT[engine]))
    assert before == pytest.approx(60)
    # the point is at 5.71 degrees to the right, the camera turns by 10: tan(-4.29 degrees) = -0.0750
    assert after == pytest.approx(50 - 7.50, abs=0.01)


@engines
def test_looking_up_moves_the_image_down(engine):
    # the point is at 5.71 degrees above, the camera lifts by 5: tan(0.71 degrees) = 0.0124
    assert seen(engine, AHEAD_ABOVE[engine], LOOK_UP[engine])[1] == pytest.approx(50 - 1.24, abs=0.01)


@pytest.mark.parametrize("engine", sorted(TILT_RIGHT))
def test_tilting_the_head_to_the_right_lifts_what_is_on_the_right(engine):
    x, y, _ = seen(engine, AHEAD_RIGHT[engine], TILT_RIGHT[engine])
    assert_close([x, y], [50 + 10 * np.cos(np.radians(20)), 50 - 10 * np.sin(np.radians(20))])


@engines
def test_going_ahead_brings_the_point_nearer(engine):
    ahead = np.array(AHEAD_ABOVE[engine]) * (np.abs(AHEAD_ABOVE[engine]) == np.abs(AHEAD_ABOVE[engine]).max())
    assert seen(engine, AHEAD_ABOVE[engine], position=ahead / 2)[2] == pytest.approx(5)


@engines
def test_the_camera_experts_agree(engine):
    axes = axes_from({"engine": engine})
    angles = np.array([(0, 0, 0), TURN_RIGHT[engine], LOOK_UP[engine]], dtype=float)
    rotations = axes.camera_to_world(np.zeros((3, 3)), angles)[:, :3, :3]
    yaw, pitch, roll = turn_degrees(rotations[0].T @ rotations)
    assert_close(yaw, [0, 10, 0])
    assert_close(pitch, [0, 0, 5])
    assert_close(roll, [0, 0, 0])


ANGLES = [(30.0, 20.0, 10.0), (-100.0, -35.0, 25.0), (200.0, 60.0, -50.0)]


@pytest.mark.parametrize("angles", ANGLES)
def test_unity_is_its_quaternion_euler(angles):
    """``Quaternion.Euler`` turns by z, then x, then y about the world's axes. Its entries are those of right-handed
    axes, as left-handed angles grow the left-handed way. World: x east, z north, y up."""
    yaw, pitch, roll = angles
    turned = Rotation.from_euler("zxy", [roll, pitch, yaw], degrees=True).as_matrix()
    right, up, forward = (turned[[0, 2, 1], column] for column in range(3))
    (pose,) = axes_from({"engine": "unity"}).camera_to_world(np.array([[1.0, 2, 3]]), np.array([angles]))
    assert_close(pose[:3, :3], np.stack([right, -up, forward], axis=1))
    assert_close(pose[:3, 3], [1, 3, 2])


@pytest.mark.parametrize("angles", ANGLES)
def test_unreal_is_its_rotation_matrix(angles):
    """Forward and right axes of ``FRotationMatrix`` in Unreal's axes (x ahead, y right, z up)."""
    (sy, sp, sr), (cy, cp, cr) = np.sin(np.radians(angles)), np.cos(np.radians(angles))
    forward = np.array([cp * cy, cp * sy, sp])
    right = np.array([sr * sp * cy - cr * sy, sr * sp * sy + cr * cy, -sr * cp])
    up = np.array([-(cr * sp * cy + sr * sy), cy * sr - cr * sp * sy, cr * cp])
    mirror = np.array([1, -1, 1])
    (pose,) = axes_from({"engine": "unreal"}).camera_to_world(np.array([[100.0, 200, 300]]), np.array([angles]))
    assert_close(pose[:3, :3], np.stack([mirror * right, -mirror * up, mirror * forward], axis=1))
    assert_close(pose[:3, 3], [1, -2, 3])


@pytest.mark.parametrize("heading", [0.0, 30.0, 200.0, -75.0])
def test_doom_is_the_recorders_pose(heading):
    position = np.array([64.0, -320, 41])
    (pose,) = axes_from({"engine": "doom"}).camera_to_world(position[None], np.array([[heading, 0.0, 0.0]]))
    assert_close(pose, doom_pose(position, heading))


@pytest.mark.parametrize("up", ["y", "z"])
@pytest.mark.parametrize("handedness", ["left", "right"])
@pytest.mark.parametrize("yaw_zero", ["+x", "-x", "+y", "-y", "+z", "-z"])
def test_poses_are_rigid_and_upright_in_all_axes(up, handedness, yaw_zero):
    if yaw_zero[1] == up:
        return
    axes = GameAxes(up, handedness, yaw_zero, "left", "up", 2.0, "left")
    pose = axes.camera_to_world(np.zeros((1, 3)), np.array([[25.0, 10.0, 5.0]]))[0]
    assert_close(pose[:3, :3] @ pose[:3, :3].T, np.eye(3))
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
    assert pose[2, 1] < -0.9  # the camera's down axis points down
    above = np.zeros(3)
    above["xyz".index(up)] = 3.0
    assert_close(axes.places_metres(above[None]), [[0, 0, 1.5]])


def test_headings_count_from_the_east_counter_clockwise():
    """Unity: yaw 0 looks along z, which is north; a yaw of 90 to the right looks along x, which is east."""
    assert_close(axes_from({"engine": "unity"}).headings_degrees(np.array([0.0, 90, -90])), [90, 0, 180], atol=1e-6)
    assert_close(axes_from({"engine": "doom"}).headings_degrees(np.array([0.0, 90])), [0, 90])
    # Unreal: y, to the right of x, is south once x is east
    assert_close(axes_from({"engine": "unreal"}).headings_degrees(np.array([0.0, 90])), [0, -90])


def test_a_setting_of_the_header_counts_before_the_engines():
    assert axes_from({"engine": "unity", "units_per_metre": 50}).units_per_metre == 50
    assert axes_from({"engine": "unity", "units_per_metre": 50}).up == "y"


FULL = {
    "up": "y",
    "handedness": "right",
    "units_per_metre": 1,
    "yaw_zero": "+z",
    "yaw_positive": "right",
    "pitch_positive": "down",
}


def test_minecraft_as_the_documentation_spells_it_out():
    """x east, y up, z south; yaw 0 looks south, 90 west; pitch grows down."""
    axes = axes_from(FULL)
    assert_close(axes.places_metres(np.array([[1.0, 2, 3]])), [[1, -3, 2]])
    assert_close(axes.forwards(np.array([0.0, 90])), [[0, -1, 0], [-1, 0, 0]])
    assert axes.camera_to_world(np.zeros((1, 3)), np.array([[0, 30.0, 0]]))[0, 2, 2] == pytest.approx(-0.5)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({}, "needs up, handedness, yaw_zero"),
        ({"engine": "quake"}, "engine is 'quake', choose one of unity, unreal, doom"),
        ({"engine": ["unity"]}, "choose one of unity"),
        ({key: value for key, value in FULL.items() if key != "pitch_positive"}, "needs pitch_positive"),
        (FULL | {"up": "x"}, "up is 'x', choose one of y, z"),
        (FULL | {"handedness": "both"}, "choose one of left, right"),
        (FULL | {"handedness": ["left"]}, "choose one of left, right"),
        (FULL | {"yaw_zero": "+y"}, "which is up or down"),
        (FULL | {"yaw_zero": "z"}, "choose one of"),
        (FULL | {"yaw_positive": "up"}, "choose one of left, right"),
        (FULL | {"pitch_positive": None}, "choose one of up, down"),
        (FULL | {"units_per_metre": 0}, "above 0"),
        (FULL | {"units_per_metre": True}, "above 0"),
        (FULL | {"units_per_metre": float("nan")}, "above 0"),
        (FULL | {"units_per_metre": 10**400}, "above 0"),
        (FULL | {"units_per_metre": "1"}, "above 0"),
    ],
)
def test_what_is_open_or_unknown_is_named(header, message):
    with pytest.raises(AnnotationError, match=message):
        axes_from(header)


def test_a_roll_of_unknown_sense_is_refused():
    with pytest.raises(AnnotationError, match="needs roll_positive"):
        axes_from({"engine": "doom"}).camera_to_world(np.zeros((1, 3)), np.array([[0.0, 0.0, 3.0]]))
