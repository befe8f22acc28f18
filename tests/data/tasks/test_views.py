import numpy as np
import pytest

from remot.data.tasks.geometry.views import hidden, image_points, in_image, visibilities
from remot.structures import CameraTrack
from tests.data.tasks.rooms import INTRINSICS, box, contains, pose, random_box
from tests.helpers import assert_close


def test_pixels_by_hand():
    """Looking north from the origin: 1 m to the east and 2 m up at 4 m is 25 right of and 50 above the middle."""
    found = image_points(np.array([[1.0, 4, 2], [-1, -4, 0]]), pose((0, 0, 0), 90), INTRINSICS)
    assert_close(found[0], [125, 25, 4])
    assert np.isnan(found[1, :2]).all()


def test_in_and_beside_the_image():
    pixels = np.array([[1.0, 1, 1], [-15, 50, 1], [-25, 50, 1], [199, 149, 1], [199, 151, 1], [np.nan, np.nan, -1]])
    assert in_image(pixels, INTRINSICS, 0.0).tolist() == [True, False, False, True, False, False]
    assert in_image(pixels, INTRINSICS, 0.1).tolist() == [True, True, False, True, True, False]


def test_hidden_agrees_with_steps_along_the_line_of_sight():
    rng = np.random.default_rng(0)
    verdicts = []
    for _ in range(300):
        eye, point, wall = rng.uniform(-2, 2, 3), rng.uniform(-2, 2, 3), random_box(rng, spread=1)
        steps = eye + np.linspace(0, 1 - 1e-4, 4001)[:, None] * (point - eye)
        verdicts.append(bool(hidden(point[None], eye, [wall])[0]))
        if contains(wall, steps).sum() != 1:  # a line that just grazes the box
            assert verdicts[-1] == bool(contains(wall, steps).any())
    assert 0.05 < np.mean(verdicts) < 0.95


def sight(one, others, camera, frames):
    return visibilities([one, *others], camera, frames)[0]


CAMERA = CameraTrack(np.stack([pose((0, 0, 0), yaw) for yaw in (90, 0, 270)]), INTRINSICS)


def test_a_thing_in_front_beside_and_behind():
    """The camera looks north, east, south; the box is in the north."""
    found = sight(box("a", (0, 5, 0)), [], CAMERA, [0, 1, 2])
    assert_close(found.seen, [9 / 26, 0, 0])  # of 26 points the nine of the near face
    assert found.possible.tolist() == [True, False, False]


@pytest.mark.parametrize(("wall", "share"), [((9, 0.1, 9), 0.0), ((0.1, 0.1, 9), 6 / 26), ((0.1, 0.1, 0.1), 8 / 26)])
def test_a_wall_hides_but_leaves_it_possible(wall, share):
    """Half way a wall, a pole that hides the middle column, a cube that hides the middle point."""
    found = sight(box("a", (0, 5, 0)), [box("wall", (0, 2.5, 0), wall)], CAMERA, [0])
    assert_close(found.seen, [share])
    assert found.possible.tolist() == [True]


def test_a_thing_too_small_to_be_seen_is_possible_only():
    found = sight(box("a", (0, 40, 0)), [], CAMERA, [0])
    assert found.seen.tolist() == [0]
    assert found.possible.tolist() == [True]


def test_a_wall_larger_than_the_image_is_possible():
    """None of its grid points is in the image, but it fills it; and one reaches past the camera."""
    found = sight(box("a", (3, 2, 3), (8, 0.1, 8)), [], CAMERA, [0, 2])
    assert found.possible.tolist() == [True, False]
    assert sight(box("a", (1, 0, 0), (1, 9, 1)), [], CAMERA, [0, 1, 2]).possible.all()  # along its right side


def test_whatever_is_seen_is_possible():
    rng = np.random.default_rng(0)
    num_seen = 0
    for _ in range(100):
        found = sight(random_box(rng), [random_box(rng)], CAMERA, [0, 1, 2])
        assert not (found.seen[~found.possible] > 0).any()
        num_seen += (found.seen > 0).sum()
    assert num_seen > 30


def test_no_intrinsics_no_sight():
    with pytest.raises(ValueError, match="without intrinsics"):
        sight(box("a", (0, 5, 0)), [], CameraTrack(CAMERA.camera_to_world), [0])
