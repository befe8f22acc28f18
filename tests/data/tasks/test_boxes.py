import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from remot.data.tasks.geometry.boxes import (
    box_distance,
    corners,
    surface_points,
)
from remot.structures import LayoutBox
from tests.data.tasks.rooms import box, contains, random_box, sampled_distance, solved_distance
from tests.helpers import assert_close


def test_corners_of_a_turned_box():
    """A 2 x 1 x 4 box turned by 90 degrees about the vertical is 1 wide and 2 deep."""
    found = corners(box("a", (10, 20, 30), (2, 1, 4), yaw_degrees=90))
    assert_close(found.min(axis=0), [9.5, 19, 28])
    assert_close(found.max(axis=0), [10.5, 21, 32])


def test_rows_of_axes_are_the_boxes_own_axes():
    """The first row is where the first side points: here to the north-east."""
    axes = np.array([[1, 1, 0], [-1, 1, 0], [0, 0, np.sqrt(2)]]) / np.sqrt(2)
    found = corners(box("a", (0, 0, 0), (2 * np.sqrt(2), 0.0, 0.0), axes=axes))
    assert_close(np.unique(found.round(9), axis=0), [[-1, -1, 0], [1, 1, 0]])


@pytest.mark.parametrize(
    ("first", "second", "metres"),
    [
        (box("a", (0, 0, 0)), box("b", (3, 0, 0)), 2.0),  # face to face
        (box("a", (0, 0, 0)), box("b", (3, 4, 0)), np.hypot(2, 3)),  # edge to edge
        (box("a", (0, 0, 0)), box("b", (2, 3, 3)), 3.0),  # corner to corner: 1, 2, 2
        (box("a", (0, 0, 0)), box("b", (3, 0, 0), yaw_degrees=45), 3 - 0.5 - np.sqrt(0.5)),  # edge to face
        (box("a", (0, 0, 0)), box("b", (1, 0, 0)), 0.0),  # touching
        (box("a", (0, 0, 0), (4, 4, 4)), box("b", (0, 0, 0)), 0.0),  # one inside the other
        (box("a", (0, 0, 0), (10, 0.2, 0.2)), box("b", (0, 0, 0), (0.2, 10, 0.2)), 0.0),  # a cross: no corner inside
        (box("a", (0, 0, 0), (10, 0.2, 0.2)), box("b", (0, 0, 1), (0.2, 10, 0.2)), 0.8),  # bars above each other
    ],
)
def test_distance_by_hand(first, second, metres):
    assert_close(box_distance(first, second), metres, atol=1e-7)
    assert_close(box_distance(second, first), metres, atol=1e-7)


def test_distance_of_edges_that_pass_each_other():
    """Two crossed bars standing on their edges: edge to edge, 2 - 2 * half a diagonal."""
    turn = Rotation.from_euler("x", 45, degrees=True).as_matrix().T
    other = Rotation.from_euler("y", 45, degrees=True).as_matrix().T
    first, second = box("a", (0, 0, 0), (9, 1, 1), axes=turn), box("b", (0, 0, 2), (1, 9, 1), axes=other)
    assert_close(box_distance(first, second), 2 - np.sqrt(2))


def test_distance_agrees_with_a_solver_and_with_samples():
    rng = np.random.default_rng(0)
    num_apart = 0
    for _ in range(400):
        first, second = random_box(rng, spread=1.5), random_box(rng, spread=1.5)
        metres = box_distance(first, second)
        assert_close(metres, solved_distance(first, second), atol=1e-6)
        assert metres <= sampled_distance(first, second, 5) + 1e-9
        num_apart += metres > 0
    assert 100 < num_apart < 390  # both kinds of pairs were compared


def test_distance_does_not_depend_on_the_frame_of_reference():
    rng = np.random.default_rng(1)
    for _ in range(50):
        pair = random_box(rng), random_box(rng)
        turn, shift = Rotation.random(random_state=rng).as_matrix(), rng.normal(size=3)
        moved = [LayoutBox(b.name, turn @ b.centre_metres + shift, b.size_metres, b.axes @ turn.T) for b in pair]
        assert_close(box_distance(*moved), box_distance(*pair), atol=1e-9)
        assert box_distance(*pair) <= np.linalg.norm(pair[0].centre_metres - pair[1].centre_metres)


def test_points_of_the_surface():
    one = box("a", (1, 2, 3), (2, 4, 6), yaw_degrees=30)
    points = surface_points(one)
    assert len(points) == 26
    assert contains(one, points).all()
    grown = LayoutBox("a", one.centre_metres, one.size_metres * 0.999, one.axes)
    assert not contains(grown, points).any()
