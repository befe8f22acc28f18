import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from remot.data import experts
from remot.data.experts import (
    AMBIGUOUS,
    CameraPitch,
    CameraYaw,
    EffectorHorizontal,
    EffectorVertical,
    Gripper,
    ObjectHorizontal,
    ObjectVertical,
)
from remot.data.experts.camera import rotation_degrees, turn_degrees
from remot.errors import ConfigError
from remot.motion import ATTRIBUTES
from remot.structures import CameraTrack, EffectorTrack, ObjectTrack
from tests.data.handmade import boxes, clip_of, poses


def value(expert, clip, subject=""):
    label = expert.label(clip, 0, 1, subject)
    return None if label is None else label.value


@pytest.mark.parametrize(
    ("yaw", "pitch", "yaw_value", "pitch_value"),
    [
        (20, 0, "right", None),
        (-20, 0, "left", None),
        (0, 15, None, "up"),
        (0, -15, None, "down"),
        (0.5, 0, "none", "none"),
        (5, 0, None, "none"),
        (20, 2, "right", None),
        (20, 12, None, None),
        (60, 0, None, None),
    ],
)
def test_camera_turns(yaw, pitch, yaw_value, pitch_value):
    """The forward axis of a camera that turned right has positive x, of one that tilted up negative y."""
    clip = clip_of(2, camera=CameraTrack(poses([0, yaw], [0, pitch])))
    assert value(CameraYaw(), clip) == yaw_value
    assert value(CameraPitch(), clip) == pitch_value


def test_a_pixel_moves_against_the_camera():
    """What lies straight ahead is seen to the left (x < 0) after a turn right and below (y > 0) after a tilt up."""
    camera = poses([0, 20, 0], [0, 0, 20])
    ahead = np.array([0.0, 0.0, 5.0])
    assert (camera[1, :3, :3].T @ ahead)[0] < 0
    assert (camera[2, :3, :3].T @ ahead)[1] > 0
    clip = clip_of(3, camera=CameraTrack(camera))
    assert CameraYaw().label(clip, 0, 1, "").value == "right"
    assert CameraPitch().label(clip, 0, 2, "").value == "up"


def test_heading_of_the_world_does_not_matter():
    camera = poses([0, 20, -15])
    turned = camera.copy()
    turned[:, :3, :3] = Rotation.from_euler("xyz", [10, 130, -40], degrees=True).as_matrix() @ camera[:, :3, :3]
    for track in (camera, turned):
        magnitudes = CameraYaw().measure(clip_of(3, camera=CameraTrack(track)), np.arange(3))[""]
        np.testing.assert_allclose(magnitudes[0], [0, 20, -15], atol=1e-9)
        np.testing.assert_allclose(magnitudes, -magnitudes.T, atol=1e-9)


def test_angles_agree_with_scipy():
    """Intrinsic turns about y (right), then x (up), then z (roll), in OpenCV axes."""
    rotations = Rotation.from_euler("YXZ", [[20, 5, 3], [-40, -10, 8], [0, 30, 0]], degrees=True)
    np.testing.assert_allclose(
        np.stack(turn_degrees(rotations.as_matrix()), 1), rotations.as_euler("YXZ", degrees=True)
    )
    np.testing.assert_allclose(rotation_degrees(rotations.as_matrix()), np.degrees(rotations.magnitude()))


def test_a_rolled_camera_is_ambiguous():
    clip = clip_of(2, camera=CameraTrack(poses([0, 20], roll_degrees=[0, 15])))
    assert value(CameraYaw(), clip) is None
    assert value(CameraYaw(max_other_degrees=20), clip) == "right"


@pytest.mark.parametrize(
    ("expert", "step", "expected"),
    [
        (EffectorHorizontal(), (0.3, 0, 0), "right"),
        (EffectorHorizontal(), (-0.3, 0, 0), "left"),
        (EffectorHorizontal(), (0.01, 0.3, 0), "none"),
        (EffectorHorizontal(), (0.1, 0, 0), None),
        (EffectorVertical(), (0, -0.3, 0), "up"),
        (EffectorVertical(), (0, 0.3, 0), "down"),
        (EffectorVertical(), (0.3, 0, 0.3), "none"),
    ],
)
def test_effector_moves(expert, step, expected):
    clip = clip_of(
        2, effectors={"left arm": EffectorTrack(np.array([(0, 0, 1), np.add((0, 0, 1), step)], dtype=float))}
    )
    assert value(expert, clip, "left arm") == expected
    assert value(Gripper(), clip, "left arm") is None


@pytest.mark.parametrize(
    ("before", "after", "expected"), [(0.1, 0.9, "opened"), (0.9, 0.1, "closed"), (0.5, 0.52, "none"), (0.5, 0.6, None)]
)
def test_gripper(before, after, expected):
    clip = clip_of(2, effectors={"hand": EffectorTrack(np.zeros((2, 3)), np.array([before, after]))})
    assert value(Gripper(), clip, "hand") == expected


@pytest.mark.parametrize(
    ("end", "horizontal", "vertical"),
    [
        ((80, 50), "right", "none"),
        ((20, 50), "left", "none"),
        ((50, 20), "none", "up"),
        ((50, 80), "none", "down"),
        ((60, 50), None, "none"),
        ((np.nan, np.nan), None, None),
    ],
)
def test_object_moves(end, horizontal, vertical):
    clip = clip_of(2, objects={"ball": ObjectTrack(boxes([(50, 50), end]))})
    assert value(ObjectHorizontal(), clip, "ball") == horizontal
    assert value(ObjectVertical(), clip, "ball") == vertical


def test_an_object_is_not_asked_about_while_the_camera_moves():
    moved = {"ball": ObjectTrack(boxes([(50, 50), (90, 50)]))}
    for track, expected in [
        (poses([0, 0.1]), "right"),
        (poses([0, 2]), None),
        (poses([0, 0], places=[(0, 0, 0), (0.5, 0, 0)]), None),
    ]:
        assert value(ObjectHorizontal(), clip_of(2, camera=CameraTrack(track), objects=moved), "ball") == expected


def test_landmarks_and_effectors_are_not_objects():
    track = boxes([(50, 50), (90, 50)])
    clip = clip_of(
        2,
        objects={"tower": ObjectTrack(track, is_landmark=True), "arm": ObjectTrack(track), "ball": ObjectTrack(track)},
        effectors={"arm": EffectorTrack(np.zeros((2, 3)))},
    )
    assert set(ObjectHorizontal().measure(clip, np.arange(2))) == {"ball"}


def test_a_threshold_belongs_to_its_near_side():
    steps = np.zeros((4, 3))
    steps[:, 0] = [0.0, 0.2, 0.02, 0.7]
    clip = clip_of(4, effectors={"arm": EffectorTrack(steps)})
    codes = EffectorHorizontal(salient_max=0.7).judge(clip, np.arange(4))["arm"].codes
    np.testing.assert_array_equal(codes[0], [0, 1, 0, 1])
    assert codes[1, 2] == AMBIGUOUS


def test_labels_carry_size_and_unit():
    label = CameraYaw().label(clip_of(2, camera=CameraTrack(poses([0, -20]))), 0, 1, "", (2, 3))
    assert (label.pair, label.attribute, label.value, label.unit, label.subject) == (
        (2, 3),
        "camera_yaw",
        "left",
        "degrees",
        "",
    )
    assert label.magnitude == pytest.approx(20)


def test_every_attribute_has_an_expert():
    public = [getattr(experts, name) for name in experts.__all__]
    found = [one.attribute.name for one in public if hasattr(one, "attribute")]
    assert sorted(found) == sorted(ATTRIBUTES)


def test_thresholds_must_be_in_order():
    with pytest.raises(ConfigError, match=r"CameraYaw: still=10.*0 <= still < salient_min"):
        CameraYaw(still=10, salient_min=5)
