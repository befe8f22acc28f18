"""Images seen through a warp: where exactly each pixel comes from."""

import numpy as np
import pytest
import torch

from remot.data.media.warps import SMALL_SIDE, small_copy, warp_image, warped_corners
from remot.data.negatives.synthesis import Mirror, RotatedView, ShiftedCrop, Window, axis_rotation
from remot.structures import Warp
from tests.data.handmade import poses
from tests.data.worlds import CENTRED, INTRINSICS, SIZE, grey_levels, photograph, with_images
from tests.data.worlds import moving_camera as camera_clip
from tests.helpers import assert_close


def noise(height, width, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (3, height, width), dtype=np.uint8))


def warp(matrix, size, kind="test"):
    return Warp(kind, tuple(np.asarray(matrix, dtype=float).ravel().tolist()), size)


def shift(x, y):
    return [[1, 0, x], [0, 1, y], [0, 0, 1]]


def turn_of(axis, degrees):
    """Rotation [3, 3] of a camera turned right, up or clockwise, not made of rotation matrices of the library."""
    angles = [[degrees if axis == one else 0.0] for one in ("yaw", "pitch", "roll")]
    return poses(*angles)[0, :3, :3]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 12), (64, 96), (1080, 1920)])
def test_nothing_done_is_nothing_changed(height, width):
    image = noise(height, width)
    assert torch.equal(warp_image(image, warp(np.eye(3), (width, height))), image)


@pytest.mark.parametrize(("x", "y"), [(0, 0), (3, 0), (0, 5), (8, 4)])
def test_a_shift_by_whole_pixels_is_a_crop(x, y):
    image = noise(20, 30)
    assert torch.equal(warp_image(image, warp(shift(x, y), (22, 15))), image[:, y : y + 15, x : x + 22])


def test_a_shift_in_a_large_image_is_exact_too():
    image = noise(1080, 3840)
    shown = warp_image(image, warp(shift(1801, 333), (1900, 700)))
    assert torch.equal(shown, image[:, 333:1033, 1801:3701])


def test_half_a_pixel_is_the_mean_of_two():
    """Columns 10, 20, 40 at half a pixel to the right: 15 and 30; the last one has no neighbour."""
    image = torch.tensor([10, 20, 40], dtype=torch.uint8).expand(3, 1, 3)
    assert warp_image(image, warp(shift(0.5, 0), (2, 1)))[0, 0].tolist() == [15, 30]
    assert warp_image(image, warp(shift(0.5, 0), (3, 1)))[0, 0].tolist() == [15, 30, 40]


def test_twice_the_size_by_hand():
    """Shown pixel middles 0.5 and 1.5 of 2x come from 0.25 and 0.75: the border, then a quarter of the way on."""
    image = torch.tensor([0, 100], dtype=torch.uint8).expand(3, 1, 2)
    shown = warp_image(image, warp([[0.5, 0, 0], [0, 1, 0], [0, 0, 1]], (4, 1)))
    assert shown[0, 0].tolist() == [0, 25, 75, 100]


def test_the_scale_of_the_matrix_does_not_matter():
    image, matrix = noise(9, 9), np.array([[1, 0.02, 0.3], [0.01, 0.9, 0.4], [0.002, 0.001, 1]])
    one, other = (warp_image(image, warp(scale * matrix, (7, 7))) for scale in (1, 5))
    assert torch.equal(one, other)


def test_a_mirror_is_exact_and_its_own_inverse(tmp_path):
    clip = with_images(camera_clip(), tmp_path)
    (mirror,) = set(Mirror().view(clip, np.arange(5)).transforms)
    image = noise(SIZE[1], SIZE[0])
    shown = warp_image(image, mirror)
    assert torch.equal(shown, image.flip(2))
    assert torch.equal(warp_image(shown, mirror), image)


def test_corners_behind_the_camera_are_infinitely_far():
    """Row three of the matrix is depth: 1 - x / 5 is 0 at x = 5 and negative beyond."""
    corners = warped_corners(np.array([[1, 0, 0], [0, 1, 0], [-0.2, 0, 1.0]]), (4, 2))
    assert_close(corners, [[0, 0], [20, 0], [0, 2], [20, 10]])
    assert np.isinf(warped_corners(np.array([[1, 0, 0], [0, 1, 0], [-0.2, 0, 1.0]]), (5, 2))[1]).all()


def test_small_copies_are_means():
    image = noise(2 * SMALL_SIDE, 3 * SMALL_SIDE)
    means = image.double().unflatten(1, (SMALL_SIDE, 2)).unflatten(3, (SMALL_SIDE, 3)).mean((2, 4))
    np.testing.assert_allclose(small_copy(image), means.numpy(), atol=1e-3)


# -- turned windows ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("intrinsics", [INTRINSICS, CENTRED], ids=["off centre", "centred"])
@pytest.mark.parametrize("axis", ["yaw", "pitch", "roll"])
@pytest.mark.parametrize("degrees", [-9.0, -4.0, 5.0, 9.0])
def test_a_turned_window_shows_what_the_turned_camera_sees(axis, degrees, intrinsics):
    """The image of a pose, seen through the window, is the image taken at the turned pose: same focal lengths,
    principal point moved by the margin on the left and at the top. The opposite turn shows something else."""
    pose = poses([20.0], [10.0], [5.0])[0, :3, :3]
    window = Window(intrinsics, SIZE, (56, 38))
    own = intrinsics - [[0, 0, 20], [0, 0, 13], [0, 0, 0]]
    matrix = RotatedView(axis).matrix(degrees, window)
    shown = warp_image(photograph(pose, intrinsics), warp(matrix, window.shown))
    assert grey_levels(shown, photograph(pose @ turn_of(axis, degrees), own, window.shown)) < 0.2
    assert grey_levels(shown, photograph(pose @ turn_of(axis, -degrees), own, window.shown)) > 5
    for off in (0.9, 1.1):
        assert grey_levels(shown, photograph(pose @ turn_of(axis, off * degrees), own, window.shown)) > 0.3


@pytest.mark.parametrize("axis", ["yaw", "pitch", "roll"])
def test_rotations_are_those_of_someone_who_holds_the_camera(axis):
    np.testing.assert_allclose(axis_rotation(axis, 17.0), turn_of(axis, 17.0), atol=1e-12)


@pytest.mark.parametrize(
    ("axis", "degrees", "moved"),
    [
        ("yaw", 8, "left"),
        ("yaw", -8, "right"),
        ("pitch", 8, "down"),
        ("pitch", -8, "up"),
        ("roll", 20, "up"),
        ("roll", -20, "down"),
    ],
)
def test_where_a_thing_goes_when_the_window_turns(axis, degrees, moved):
    """A white square on the right, at the height of the optical axis: the image moves against the camera, and a
    clockwise roll lifts what is on the right."""
    image = torch.zeros(3, 200, 200, dtype=torch.uint8)
    image[:, 97:103, 127:133] = 255
    window = Window(np.array([[200.0, 0, 100], [0, 200, 100], [0, 0, 1]]), (200, 200), (120, 120))
    shown = warp_image(image, warp(RotatedView(axis).matrix(degrees, window), window.shown))[0].double()
    x, y = (float((shown.sum(along) * (torch.arange(120) + 0.5)).sum() / shown.sum()) for along in (0, 1))
    to_the_right, down = x - 90, y - 60  # the square is at (130, 100) of the image, (90, 60) of the window
    found = {"left": -to_the_right, "right": to_the_right, "up": -down, "down": down}
    assert found[moved] > 8
    assert max(found, key=found.get) == moved


def test_a_shifted_window_looks_where_its_middle_is():
    """A focal length of 100 pixels: 10 degrees aside are 100 tan 10 = 17.63 pixels from the principal point."""
    intrinsics = np.array([[100.0, 0, 80], [0, 100, 50], [0, 0, 1]])
    window = Window(intrinsics, (160, 100), (100, 60))
    np.testing.assert_allclose(ShiftedCrop("yaw").matrix(10, window), shift(30 + 17.632698, 20), atol=1e-6)
    np.testing.assert_allclose(ShiftedCrop("yaw").matrix(-10, window), shift(30 - 17.632698, 20), atol=1e-6)
    np.testing.assert_allclose(ShiftedCrop("pitch").matrix(10, window), shift(30, 20 - 17.632698), atol=1e-6)
    for axis in ("yaw", "pitch"):
        np.testing.assert_allclose(ShiftedCrop(axis).rotation(10, window), turn_of(axis, 10), atol=1e-12)


def test_a_shifted_window_beside_the_principal_point():
    """Unturned it looks at the middle of the image, (48, 32), which the camera sees at (-2/70, 2/72, 1); and along
    the rows of the image, whatever it is shifted by."""
    window = Window(INTRINSICS, SIZE, (56, 38))
    for degrees in (0.0, 6.0, -6.0):
        rotation = ShiftedCrop("yaw").rotation(degrees, window)
        x = -2 / 70 + np.tan(np.radians(degrees))
        ray = np.array([x, 2 / 72, 1.0])
        np.testing.assert_allclose(rotation[:, 2], ray / np.linalg.norm(ray), atol=1e-12)
        beside = np.array([1.0, 0, 0]) - ray * x / (ray @ ray)
        np.testing.assert_allclose(rotation[:, 0], beside / np.linalg.norm(beside), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1)
