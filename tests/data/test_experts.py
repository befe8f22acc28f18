import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from remot.data import experts
from remot.data.experts import (
    AMBIGUOUS,
    AgentAdvance,
    AgentTurn,
    CameraForward,
    CameraHeight,
    CameraPitch,
    CameraRoll,
    CameraSideways,
    CameraYaw,
    EffectorComposite,
    EffectorDepth,
    EffectorHorizontal,
    EffectorVertical,
    Gripper,
    MaskFrame,
    ObjectDepth,
    ObjectHorizontal,
    ObjectVertical,
)
from remot.data.experts.camera import rotation_degrees, turn_degrees
from remot.data.experts.mask import box_overlaps
from remot.errors import ConfigError
from remot.motion import ATTRIBUTES
from remot.structures import AgentTrack, CameraTrack, EffectorTrack, MaskOf, ObjectTrack
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


# -- the camera rolls and moves: where a point of the world goes in the image ------------------------------------


def seen_at(pose, point):
    """Where a camera at ``pose`` sees a point of the world, x to the right and y down, at a focal length of 1."""
    x, y, z = pose[:3, :3].T @ (np.asarray(point, dtype=float) - pose[:3, 3])
    return np.array([x / z, y / z])


AHEAD, RIGHT_OF_IT, ABOVE = (0.0, 0.0, 5.0), (1.0, 0.0, 5.0), (0.0, -1.0, 5.0)


@pytest.mark.parametrize(("roll", "value_"), [(20, "clockwise"), (-20, "counterclockwise"), (0.5, "none"), (5, None)])
def test_camera_rolls(roll, value_):
    """With the camera rolled clockwise, what was on the right goes up and what was above goes left."""
    camera = poses([0, 0], roll_degrees=[0, roll])
    assert value(CameraRoll(), clip_of(2, camera=CameraTrack(camera))) == value_
    went = seen_at(camera[1], RIGHT_OF_IT) - seen_at(camera[0], RIGHT_OF_IT)
    assert np.sign(went[1]) == -np.sign(roll)
    assert np.sign((seen_at(camera[1], ABOVE) - seen_at(camera[0], ABOVE))[0]) == -np.sign(roll)
    np.testing.assert_allclose(seen_at(camera[1], AHEAD), [0, 0], atol=1e-12)


def test_a_roll_is_not_asked_about_with_another_turn():
    rolled = CameraTrack(poses([0, 8], roll_degrees=[0, 20]))
    assert value(CameraRoll(), clip_of(2, camera=rolled)) is None
    assert value(CameraRoll(max_other_degrees=9), clip_of(2, camera=rolled)) == "clockwise"


@pytest.mark.parametrize(
    ("place", "forward", "sideways", "height"),
    [
        ((0, 0, 1), "forward", "none", "none"),
        ((0, 0, -1), "backward", "none", "none"),
        ((1, 0, 0), "none", "right", "none"),
        ((-1, 0, 0), "none", "left", "none"),
        ((0, -1, 0), "none", "none", "up"),
        ((0, 1, 0), "none", "none", "down"),
        ((0.1, 0.02, -0.2), "backward", None, "none"),
    ],
)
def test_camera_moves(place, forward, sideways, height):
    """Metres in the axes of the first camera, which looks along z of the world, y down."""
    clip = clip_of(2, camera=CameraTrack(poses([0, 0], places=[(0, 0, 0), place])))
    assert value(CameraForward(), clip) == forward
    assert value(CameraSideways(), clip) == sideways
    assert value(CameraHeight(), clip) == height


def test_where_things_go_when_the_camera_moves():
    """Going forward spreads things from the middle; going right moves them left; going up moves them down."""
    start = poses([0])[0]
    for place, expert, word, check in [
        ((0, 0, 1), CameraForward(), "forward", lambda before, after: np.abs(after).sum() > np.abs(before).sum()),
        ((0, 0, -1), CameraForward(), "backward", lambda before, after: np.abs(after).sum() < np.abs(before).sum()),
        ((1, 0, 0), CameraSideways(), "right", lambda before, after: after[0] < before[0]),
        ((-1, 0, 0), CameraSideways(), "left", lambda before, after: after[0] > before[0]),
        ((0, -1, 0), CameraHeight(), "up", lambda before, after: after[1] > before[1]),
        ((0, 1, 0), CameraHeight(), "down", lambda before, after: after[1] < before[1]),
    ]:
        camera = poses([0, 0], places=[(0, 0, 0), place])
        point = (0.7, -0.6, 5.0)
        assert check(seen_at(start, point), seen_at(camera[1], point))
        assert value(expert, clip_of(2, camera=CameraTrack(camera))) == word


def test_a_displacement_is_in_the_axes_of_the_first_image():
    """A camera that looks along +x of the world goes forward along x, to its right along -z, up along -y; it may be
    anywhere and face anywhere."""
    places = [(4, 5, 6), (5, 5, 6), (4, 5, 5), (4, 4, 6)]
    clip = clip_of(4, camera=CameraTrack(poses([90] * 4, places=places)))
    ways = [expert.measure(clip, np.arange(4))[""][0] for expert in (CameraForward(), CameraSideways(), CameraHeight())]
    np.testing.assert_allclose(ways, [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], atol=1e-12)


def test_a_way_is_not_asked_about_after_a_turn_or_without_the_metre():
    moved = poses([0, 18, 22], places=[(0, 0, 0), (0, 0, 1), (0, 0, 1)])
    clip = clip_of(3, camera=CameraTrack(moved))
    assert CameraForward().label(clip, 0, 1, "").value == "forward"
    assert CameraForward().label(clip, 0, 2, "") is None
    assert CameraForward(max_turn_degrees=23).label(clip, 0, 2, "").value == "forward"
    assert CameraForward().measure(clip_of(3, camera=CameraTrack(moved, None, False)), np.arange(3)) == {}
    assert CameraForward().measure(clip_of(3), np.arange(3)) == {}


def test_a_way_that_reads_differently_backwards_is_not_asked_about():
    """Going sideways by 1 m and turning 15 degrees is 0.26 m backward in the axes of the second image."""
    camera = CameraTrack(poses([0, 15], places=[(0, 0, 0), (1, 0, 0)]))
    clip = clip_of(2, camera=camera)
    np.testing.assert_allclose(CameraForward().measure(clip, np.arange(2))[""], [[0, 0], [-0.258819, 0]], atol=1e-6)
    assert value(CameraForward(), clip) is None
    assert value(CameraSideways(), clip) == "right"


# -- effectors in depth and in the plane ---------------------------------------------------------------------------


def arm_of(*steps):
    return clip_of(len(steps), effectors={"arm": EffectorTrack(np.array(steps, dtype=float))})


@pytest.mark.parametrize(
    ("step", "expected"),
    [((0, 0, 0.3), "forward"), ((0, 0, -0.3), "backward"), ((0.5, 0.5, 0.01), "none"), ((0, 0, 0.1), None)],
)
def test_effector_depth(step, expected):
    """Forward is away from the viewer: what goes forward becomes smaller, a tip at (1, 0, 1) nears the middle."""
    clip = arm_of((1, 0, 1), np.add((1, 0, 1), step))
    assert value(EffectorDepth(), clip, "arm") == expected
    before, after = (abs(x / z) for x, _, z in clip.effectors["arm"].positions)
    if expected in {"forward", "backward"}:
        assert (after < before) == (expected == "forward")


def test_a_direction_that_is_not_known_is_not_asked_about():
    clip = arm_of((0, 0, np.nan), (0.3, 0, np.nan))
    assert value(EffectorDepth(), clip, "arm") is None
    assert value(EffectorHorizontal(), clip, "arm") == "right"


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ((0.3, -0.3, 0), "upper_right"),
        ((-0.3, -0.4, 0.2), "upper_left"),
        ((0.2, 0.2, 0), "lower_right"),
        ((-0.9, 0.3, 0), "lower_left"),
        ((0.02, -0.02, 0.7), "none"),
        ((0.3, 0, 0), None),  # along one axis only
        ((0, 0.3, 0), None),
        ((0.3, 0.1, 0), None),
        ((0.1, 0.1, 0), None),
        ((np.nan, 0.3, 0), None),
    ],
)
def test_effector_composite(step, expected):
    """Corners of the image: x to the right, y down."""
    label = EffectorComposite().label(arm_of((0, 0, 1), np.add((0, 0, 1), step)), 0, 1, "arm")
    assert (label and label.value) == expected
    if label is not None:
        assert label.magnitude == pytest.approx(np.hypot(step[0], step[1]))


def test_composite_thresholds():
    clip = arm_of((0, 0, 1), (0.5, -0.1, 1))
    assert EffectorComposite(salient_min=0.1).label(clip, 0, 1, "arm").value == "upper_right"
    assert EffectorComposite(salient_min=0.1, salient_max=0.4).label(clip, 0, 1, "arm") is None
    with pytest.raises(ConfigError, match="EffectorComposite: still=1"):
        EffectorComposite(still=1)


# -- the agent -----------------------------------------------------------------------------------------------------


def agent_of(places, headings):
    return clip_of(len(places), agent=AgentTrack(np.array(places, dtype=float), np.array(headings, dtype=float)))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (90, 60, "right"),  # from north towards east
        (90, 120, "left"),
        (0, 350, "right"),
        (350, 10, "left"),  # the shorter way round
        (-170, 170, "right"),
        (720, 750, "left"),
        (45, 45.5, "none"),
        (0, 5, None),
        (0, 120, None),
        (0, np.nan, None),
    ],
)
def test_agent_turns(before, after, expected):
    """Headings are counter-clockwise from east; facing north and turning right ends facing east."""
    assert value(AgentTurn(), agent_of([(0, 0)] * 2, [before, after])) == expected


@pytest.mark.parametrize(
    ("heading", "place", "expected"),
    [
        (90, (0, 1), "forward"),
        (90, (0, -1), "backward"),
        (0, (1, 0), "forward"),
        (180, (1, 0), "backward"),
        (90, (1, 0), "none"),  # sideways
        (45, (0.5, 0.5), "forward"),
        (90, (0, 0.3), None),
    ],
)
def test_agent_advances(heading, place, expected):
    """East is x, north is y; only the way along the first heading counts."""
    assert value(AgentAdvance(), agent_of([(0, 0), place], [heading] * 2)) == expected


def test_an_advance_is_not_asked_about_after_a_turn():
    clip = agent_of([(0, 0), (0, 1), (0, 1), (0, 1)], [90, 130, 40, 450])
    assert [AgentAdvance().label(clip, 0, k, "") is None for k in (1, 2, 3)] == [False, True, False]
    assert AgentAdvance(max_turn_degrees=60).label(clip, 0, 2, "").value == "forward"
    assert AgentTurn().measure(clip_of(2), np.arange(2)) == AgentAdvance().measure(clip_of(2), np.arange(2)) == {}


# -- what the images show of an effector ---------------------------------------------------------------------------

MOVED = np.array([(0, 0, 1), (0.3, 0, 1)])
DIRECTIONS = [EffectorHorizontal, EffectorVertical, EffectorDepth, EffectorComposite]


def hand_clip(track, **others):
    return clip_of(2, effectors={"hand": track}, **others)


@pytest.mark.parametrize("expert", DIRECTIONS)
@pytest.mark.parametrize(
    ("others", "is_asked"),
    [
        ({"camera_moves": False}, True),
        ({"camera_moves": None}, False),
        ({"camera_moves": True}, False),
        ({"camera": CameraTrack(poses([0, 0.3]))}, True),
        ({"camera": CameraTrack(poses([0, 3]))}, False),
        ({"camera": CameraTrack(poses([0, 0], places=[(0, 0, 0), (0.3, 0, 0)]))}, False),  # at the wrist
    ],
)
def test_a_viewer_s_directions_need_a_camera_known_to_be_fixed(expert, others, is_asked):
    clip = hand_clip(EffectorTrack(np.array([(0, 0, 1), (0.3, 0.3, 1.3)]), np.array([0.0, 1.0])), **others)
    assert (value(expert(), clip, "hand") is not None) == is_asked
    assert value(Gripper(), clip, "hand") == "opened"


def test_directions_in_each_image_s_own_axes_hold_however_the_camera_moves():
    clip = hand_clip(EffectorTrack(MOVED, frame="camera"), camera_moves=True)
    assert value(EffectorHorizontal(), clip, "hand") == "right"


@pytest.mark.parametrize(
    ("visible", "boxes_xyxy", "asked"),
    [
        (None, None, {"when_known": True, "always": False, "never": True}),
        ([True, True], None, {"when_known": True, "always": True, "never": True}),
        ([True, False], None, {"when_known": False, "always": False, "never": True}),
        (None, boxes([(9, 9), (9, 9)]), {"when_known": True, "always": True, "never": True}),
        (None, boxes([(9, 9), (np.nan, np.nan)]), {"when_known": False, "always": False, "never": True}),
        ([True, True], boxes([(9, 9), (np.nan, np.nan)]), {"when_known": True, "always": True, "never": True}),
    ],
)
def test_an_effector_out_of_the_image_is_not_asked_about(visible, boxes_xyxy, asked):
    track = EffectorTrack(MOVED, np.array([0.0, 1.0]), visible=None if visible is None else np.array(visible))
    clip = hand_clip(track, objects={} if boxes_xyxy is None else {"hand": ObjectTrack(boxes_xyxy)})
    for require, is_asked in asked.items():
        for expert in (EffectorHorizontal(require_visible=require), Gripper(require_visible=require)):
            assert (value(expert, clip, "hand") is not None) == is_asked, (expert, require)


@pytest.mark.parametrize("expert", [*DIRECTIONS, Gripper])
def test_another_wish_for_visibility_is_refused(expert):
    with pytest.raises(ConfigError, match=f"{expert.__name__}: require_visible is 'sometimes'"):
        expert(require_visible="sometimes")


# -- objects in depth, and masks -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(3, 2, "approaching"), (2, 3, "receding"), (2, 2.04, "none"), (2, 2.2, None), (2, np.nan, None)],
)
def test_object_depth(before, after, expected):
    """Nearer means that its distance shrinks, whether it moved or the camera."""
    track = ObjectTrack(boxes([(50, 50)] * 2), depths_metres=np.array([before, after]))
    assert value(ObjectDepth(), clip_of(2, objects={"ball": track}), "ball") == expected
    moving = CameraTrack(poses([0, 30]))
    assert value(ObjectDepth(), clip_of(2, camera=moving, objects={"ball": track}), "ball") == expected


def test_whose_depth_is_asked_about():
    """A landmark's too, since the camera may come nearer; not that of an arm, nor of what has none."""
    track = ObjectTrack(boxes([(50, 50)] * 2), True, np.array([1.0, 2.0]))
    clip = clip_of(
        2,
        objects={"tower": track, "arm": track, "ball": ObjectTrack(boxes([(50, 50)] * 2))},
        effectors={"arm": EffectorTrack(np.zeros((2, 3)))},
    )
    assert set(ObjectDepth().measure(clip, np.arange(2))) == {"tower"}


def test_overlaps_by_hand():
    """Boxes of 4 x 4: shifted by 2 they share 8 of 24; apart, unseen, thinner than a pixel."""
    held = np.array(
        [(0, 0, 4, 4), (2, 0, 6, 4), (4, 0, 8, 4), (np.nan,) * 4, (1, 1, 1.5, 4), (1, 1, 2, 2)], dtype=float
    )
    overlaps = box_overlaps(held)
    np.testing.assert_allclose(overlaps[0], [1, 1 / 3, 0, np.nan, np.nan, 1 / 16])
    np.testing.assert_allclose(overlaps, overlaps.T)
    assert np.isnan(overlaps[3]).all()
    assert np.isnan(overlaps[4]).all()


@pytest.mark.parametrize("half", [7.9, 8.0])
def test_an_object_smaller_than_a_patch_is_not_asked_about(half):
    """Squares of 15.8 and of 16 pixels; a bar of 4 by 64 has the area of the latter."""
    is_asked = half == 8.0
    for sides in ((half, half), (half / 4, half * 4)):
        centres = np.array([(80, 80), (160, 160)])
        track = ObjectTrack(np.hstack([centres - sides, centres + sides]), depths_metres=np.array([1.0, 3.0]))
        clip = clip_of(2, objects={"ball": track})
        for expert in (ObjectHorizontal, ObjectVertical, ObjectDepth):
            assert (value(expert(), clip, "ball") is not None) == is_asked
            assert value(expert(min_size_pixels=4), clip, "ball") is not None
        assert (MaskFrame().labels(clip, (0, 1, 0), "ball") is not None) == is_asked
    for expert in (ObjectHorizontal, ObjectDepth, MaskFrame):
        with pytest.raises(ConfigError, match="min_size_pixels is -1"):
            expert(min_size_pixels=-1)


def test_the_depth_of_what_no_image_shows_is_not_asked_about():
    track = ObjectTrack(boxes([(50, 50), (np.nan, np.nan)]), depths_metres=np.array([1.0, 3.0]))
    assert value(ObjectDepth(), clip_of(2, objects={"ball": track}), "ball") is None


def mask_of(*xs):
    return clip_of(len(xs), objects={"ball": ObjectTrack(boxes([(x, 20) for x in xs], 2))})


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ((0, 1, 0), "first"),
        ((1, 0, 0), "second"),
        ((0, 1, 2), "neither"),
        ((0, 3, 0), None),  # the same position at another time is not distinguishable
        ((0, 1, 3), None),
        ((0, 0, 1), None),
        ((0, 1, 4), None),
    ],
)
def test_mask_frame(frames, expected):
    labels = MaskFrame(min_size_pixels=4).labels(mask_of(10, 20, 30, 10.5, np.nan), frames, "ball")
    if expected is None:
        assert labels is None
    else:
        (label,) = labels
        assert (label.value, label.pair, label.unit, label.subject) == (expected, (1, 2), "overlap", "ball")
        assert label.magnitude == 0


def test_overlap_limit_of_masks():
    """Boxes 4 wide shifted by 1 share 3 of 5."""
    clip = mask_of(10, 11)
    assert MaskFrame(min_size_pixels=4).labels(clip, (0, 1, 0), "ball") is None
    assert MaskFrame(0.6, min_size_pixels=4).labels(clip, (0, 1, 0), "ball")[0].magnitude == pytest.approx(0.6)
    for wrong in (1.0, -0.1, np.nan):
        with pytest.raises(ConfigError, match="MaskFrame: max_overlap is"):
            MaskFrame(wrong)


def test_masks_are_of_things_that_move():
    landmark = ObjectTrack(boxes([(10, 20), (30, 20)]), is_landmark=True)
    clip = clip_of(2, objects={"tower": landmark})
    assert MaskFrame().judge(clip, np.arange(2)) == {}
    assert MaskFrame().labels(clip, (0, 1, 0), "tower") is None
    assert MaskFrame().third_transform("ball") == MaskOf("ball")
    assert CameraYaw().third_transform("") is None


def test_every_attribute_has_an_expert():
    public = [getattr(experts, name) for name in experts.__all__]
    found = [one.attribute.name for one in public if hasattr(one, "attribute")]
    assert sorted(found) == sorted(ATTRIBUTES)


def test_thresholds_must_be_in_order():
    with pytest.raises(ConfigError, match=r"CameraYaw: still=10.*0 <= still < salient_min"):
        CameraYaw(still=10, salient_min=5)
