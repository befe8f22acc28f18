"""Base axes to viewer axes, and readings of grippers to openings."""

import numpy as np
import pytest

from remot.data.annotations.robots.axes import (
    FORWARD_CAMERA,
    UPRIGHT_CAMERA,
    axes_matrix,
    check_opening_range,
    scale_opening,
    to_viewer,
    unknown_positions,
)
from remot.errors import AnnotationError, ConfigError
from tests.helpers import assert_close

#: 1 m forward, 2 m to the robot's left, 3 m up.
POINT = np.array([[1.0, 2.0, 3.0]])
NAN = float("nan")


def test_a_camera_that_looks_where_the_robot_faces_has_its_left_on_the_left():
    assert_close(to_viewer(POINT, FORWARD_CAMERA), [[-2.0, -3.0, 1.0]])


def test_a_camera_in_front_of_the_robot_sees_it_mirrored():
    """It looks at the robot's face: the robot's left is on the right, and forward is towards the viewer."""
    assert_close(to_viewer(POINT, "y,-z,-x"), [[2.0, -3.0, -1.0]])


def test_an_unknown_direction_is_nan_and_the_others_are_not():
    assert_close(to_viewer(POINT, UPRIGHT_CAMERA), [[NAN, -3.0, NAN]])
    assert_close(to_viewer(POINT, "?, +x ,?"), [[NAN, 1.0, NAN]])
    assert np.isnan(unknown_positions(2)).all()


@pytest.mark.parametrize("axes", ["", "x,y", "x,y,z,x", "-y,-z,w", "--y,z,x", "-y -z x"])
def test_what_is_no_map_is_refused(axes):
    with pytest.raises(ConfigError, match="write three of x, y, z"):
        axes_matrix(axes)


def test_an_axis_cannot_point_two_ways():
    with pytest.raises(ConfigError, match="at most once"):
        axes_matrix("x,-x,?")


@pytest.mark.parametrize("axes", ["y,-z,x", "-y,z,x", "x,-y,z"])
def test_a_mirrored_world_is_refused(axes):
    with pytest.raises(ConfigError, match="mirrors the world"):
        axes_matrix(axes)


def test_openings_are_scaled_from_closed_to_open():
    assert_close(scale_opening("f", np.array([0.0, 0.5, 1.0])), [0, 0.5, 1])
    assert_close(scale_opening("f", np.array([20.0, 70.0, 120.0, 130.0]), (20, 120)), [0, 0.5, 1, 1])
    # DROID counts the other way round: 1 is closed
    assert_close(scale_opening("f", np.array([0.0, 0.25, 1.0]), (1, 0)), [1, 0.75, 0])


def test_readings_that_are_no_openings_are_refused():
    with pytest.raises(AnnotationError, match=r"f: 34 to 119.*opening_range"):
        scale_opening("f", np.array([34.0, 119.0]))
    with pytest.raises(AnnotationError, match="NaN") as caught:
        scale_opening("f", np.array([0.0, NAN]))
    assert caught.value.reason == "not finite"


def test_a_little_overshoot_is_a_closed_gripper():
    assert_close(scale_opening("f", np.array([-0.1, 1.1])), [0, 1])


@pytest.mark.parametrize("bad", [(1.0, 1.0), (0.0, NAN), (0.0, float("inf"))])
def test_a_range_without_length_is_refused(bad):
    with pytest.raises(ConfigError, match="two numbers"):
        check_opening_range(bad)
