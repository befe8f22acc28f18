"""The audit: the truth worked out by hand, blind models on data that give themselves away, and leaks between splits."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from remot.cli import EXIT_BAD_INPUT, main
from remot.commands.data.sources import data_section, read_data
from remot.commands.parsing.functions import OwnParser, instantiated
from remot.data.annotations.native.reader import write_clip
from remot.data.datamodule import MotionDataModule
from remot.data.experts import CameraYaw, Gripper, ObjectHorizontal, default_experts
from remot.data.experts.base import MotionExpert
from remot.data.questions.formats import Comparative, FillIn, MultipleChoice, TrueFalse
from remot.data.questions.templates import read_wordings
from remot.data.questions.writer import QuestionWriter
from remot.datatools.audit import audit_data
from remot.datatools.audit.baselines import AnswerFromText, KnownLaw, MajorityAnswer, TextOnlyPrompt, ValuesFromText
from remot.datatools.audit.blind import score_blind
from remot.datatools.audit.leaks import print_frames, similar_pairs
from remot.datatools.audit.overlap import scenes_in_two_splits
from remot.datatools.audit.triplets.answer_check import wrong_letters
from remot.datatools.audit.triplets.label_check import NOT_ASKED, ExpertLimits, expected_value, wrong_labels
from remot.datatools.audit.triplets.measures import ShownPair, camera_turn, rotation_between
from remot.datatools.audit.triplets.tuples import CORNERS, WORDS, answer_tuple, possible_tuples
from remot.datatools.audit.triplets.views import looking_through, seen_as, turn_behind
from remot.errors import ConfigError
from remot.motion import ATTRIBUTES, CONSISTENT_TRIPLES, PAIRS, Order
from remot.structures import (
    AgentTrack,
    CameraTrack,
    EffectorTrack,
    MaskOf,
    MotionLabel,
    ObjectTrack,
    Question,
    Slot,
    Triplet,
    Warp,
)
from tests.data.handmade import arm_clip, boxes, camera_clip, clip_of, mixed_clips, poses, write_folder
from tests.data.made import write
from tests.data.worlds import all_experts
from tests.helpers import PROJECT, assert_close

QUICKSTART = PROJECT / "configs" / "quickstart.yaml"
KEYS = {
    *("checked_labels", "wrong_labels", "blind_accuracy", "chance"),
    *("duplicate_frames_across_splits", "tasks"),
}
LIMITS = {expert.attribute.name: ExpertLimits.of(expert) for expert in default_experts()}


def label(attribute, value="none", subject="", pair=(1, 2)):
    return MotionLabel(pair, attribute, value, magnitude=0.0, unit="", subject=subject)


def expected(clip, attribute, subject="", frames=(0, 1), limits=None):
    first, second = (seen_as(clip, frame, None) for frame in frames)
    return expected_value(attribute, ShownPair(clip, frames, (first, second), subject), limits or LIMITS[attribute])


def arm(places, opening=None):
    track = EffectorTrack(np.array(places, dtype=float), None if opening is None else np.array(opening, dtype=float))
    return clip_of(len(places), effectors={"arm": track})


def ball(centres, **others):
    return clip_of(len(centres), objects={"ball": ObjectTrack(boxes(centres))}, **others)


# -- the truth -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("yaw", "value"),
    [(20, "right"), (-20, "left"), (0.5, "none"), (-0.5, "none"), (5, NOT_ASKED), (60, NOT_ASKED), (50, "right")],
)
def test_yaw(yaw, value):
    """The camera looks along z; turned right it looks towards +x."""
    assert expected(camera_clip([0, yaw]), "camera_yaw") == value


@pytest.mark.parametrize(("pitch", "value"), [(20, "up"), (-20, "down"), (0.5, "none"), (5, NOT_ASKED)])
def test_pitch(pitch, value):
    """Upwards is -y."""
    assert expected(camera_clip([0, 0], [0, pitch]), "camera_pitch") == value


def test_a_turn_about_another_axis_is_not_asked():
    tilted = camera_clip([0, 20], [0, 7])
    rolled = clip_of(2, camera=CameraTrack(poses([0, 20], roll_degrees=[0, 7])))
    assert expected(tilted, "camera_yaw") == expected(rolled, "camera_yaw") == NOT_ASKED
    assert expected(camera_clip([0, 20], [0, 5]), "camera_yaw") == "right"


def test_turns_and_angles_are_those_of_scipy():
    """Intrinsic turns about y (to the right), x (upwards), z; composed by scipy, from a camera that is askew itself."""
    start = Rotation.from_euler("YXZ", [130, -50, 20], degrees=True)
    for yaw, pitch, roll in ((30, 10, 0), (-40, 20, 15), (5, -60, -80), (0, 0, 3)):
        turn = Rotation.from_euler("YXZ", [yaw, pitch, roll], degrees=True)
        first, second = np.eye(4), np.eye(4)
        first[:3, :3], second[:3, :3] = start.as_matrix(), (start * turn).as_matrix()
        assert_close(np.array(camera_turn(first, second)), np.array([yaw, pitch, roll]), rtol=1e-9, atol=1e-9)
        assert_close(rotation_between(first, second), math.degrees(turn.magnitude()), rtol=1e-9)


@pytest.mark.parametrize(
    ("place", "horizontal", "vertical"),
    [
        ((0.3, 0, 0), "right", "none"),
        ((-0.3, 0.1, 0), "left", NOT_ASKED),
        ((0.01, -0.3, 5), "none", "up"),
        ((0, 0.3, 0), "none", "down"),
    ],
)
def test_effector(place, horizontal, vertical):
    """Metres in viewer axes: x to the right, y downwards; away from the viewer is not asked."""
    clip = arm([(0, 0, 0), place])
    assert expected(clip, "effector_horizontal", "arm") == horizontal
    assert expected(clip, "effector_vertical", "arm") == vertical
    assert expected(clip, "effector_vertical", "other") == NOT_ASKED


@pytest.mark.parametrize(("opening", "value"), [(0.9, "opened"), (0.1, "closed"), (0.52, "none"), (0.6, NOT_ASKED)])
def test_gripper(opening, value):
    clip = arm([(0, 0, 0)] * 2, [0.5, opening])
    assert expected(clip, "gripper", "arm") == value
    assert expected(arm([(0, 0, 0)] * 2), "gripper", "arm") == NOT_ASKED


@pytest.mark.parametrize(
    ("centre", "horizontal", "vertical"),
    [((80, 52), "right", "none"), ((20, 20), "left", "up"), ((51, 80), "none", "down"), ((60, 40), *2 * [NOT_ASKED])],
)
def test_object(centre, horizontal, vertical):
    """Pixels, y downwards, from (50, 50)."""
    clip = ball([(50, 50), centre])
    assert expected(clip, "object_horizontal", "ball") == horizontal
    assert expected(clip, "object_vertical", "ball") == vertical


def test_an_object_is_not_asked_about():
    """Unseen, before a moving camera, as a landmark, as the box of an effector; before a resting camera it is."""
    moved = [(50, 50), (90, 50)]
    hidden = ball([(50, 50), (math.nan, math.nan)])
    turned = ball(moved, camera=CameraTrack(poses([0, 2])))
    carried = ball(moved, camera=CameraTrack(poses([0, 0], places=[(0, 0, 0), (0.1, 0, 0)])))
    landmark = clip_of(2, objects={"ball": ObjectTrack(boxes(moved), is_landmark=True)})
    effector = ball(moved, effectors={"ball": EffectorTrack(np.zeros((2, 3)))})
    for clip in (hidden, turned, carried, landmark, effector):
        assert expected(clip, "object_horizontal", "ball") == NOT_ASKED
    assert expected(ball(moved, camera=CameraTrack(poses([9, 9]))), "object_horizontal", "ball") == "right"


@pytest.mark.parametrize(
    ("others", "frame", "is_asked"),
    [
        ({"camera_moves": False}, "viewer", True),
        ({"camera_moves": None}, "viewer", False),
        ({"camera_moves": True}, "viewer", False),
        ({"camera_moves": True}, "camera", True),
        ({"camera": CameraTrack(poses([9, 9.3]))}, "viewer", True),
        ({"camera": CameraTrack(poses([9, 12]))}, "viewer", False),
    ],
)
def test_directions_unknown_from_the_images(others, frame, is_asked):
    track = EffectorTrack(np.array([(0, 0, 1), (0.3, 0, 1)]), np.array([0.0, 1.0]), frame)
    clip = clip_of(2, effectors={"arm": track}, **others)
    assert expected(clip, "effector_horizontal", "arm") == ("right" if is_asked else NOT_ASKED)
    assert expected(clip, "gripper", "arm") == "opened"


@pytest.mark.parametrize(
    ("visible", "boxes_xyxy", "asked"),
    [
        (None, None, (True, False, True)),
        ([True, True], None, (True, True, True)),
        ([False, True], None, (False, False, True)),
        (None, boxes([(9, 9), (math.nan, math.nan)]), (False, False, True)),
        ([True, True], boxes([(9, 9), (math.nan, math.nan)]), (True, True, True)),
    ],
)
def test_what_no_image_shows_is_not_asked(visible, boxes_xyxy, asked):
    shown = None if visible is None else np.array(visible)
    track = EffectorTrack(np.array([(0, 0, 1), (0.3, 0, 1)]), np.array([0.0, 1.0]), visible=shown)
    objects = {} if boxes_xyxy is None else {"arm": ObjectTrack(boxes_xyxy)}
    clip = clip_of(2, effectors={"arm": track}, objects=objects)
    for require, is_asked in zip(("when_known", "always", "never"), asked, strict=True):
        for attribute, answer in (("gripper", "opened"), ("effector_horizontal", "right")):
            limits = replace(LIMITS[attribute], require_visible=require)
            told = expected(clip, attribute, "arm", limits=limits)
            assert told == (answer if is_asked else NOT_ASKED)


def test_small_objects_are_not_asked_about():
    centres = [(50, 50), (90, 50)]
    for half, told in ((7.9, NOT_ASKED), (8.0, "right")):
        clip = clip_of(2, objects={"ball": ObjectTrack(boxes(centres, half))})
        assert expected(clip, "object_horizontal", "ball") == told


def test_limits_are_the_experts_numbers():
    assert ExpertLimits.of(CameraYaw(2, 12, 40, 5)) == ExpertLimits(2, 12, 40, max_other_degrees=5)
    assert ExpertLimits.of(ObjectHorizontal(1, 9)) == ExpertLimits(
        1, 9, math.inf, math.inf, 0.5, 0.01, min_size_pixels=16
    )
    assert ExpertLimits.of(Gripper(require_visible="always")).require_visible == "always"


def test_every_value_has_a_word():
    """The audit's own list is checked here, where an error in either shows."""
    orders = [attribute for attribute in ATTRIBUTES.values() if isinstance(attribute, Order)]
    assert {name: WORDS[name] for name in WORDS} == {a.name: (a.positive, a.negative) for a in orders}
    assert set(CORNERS.values()) == set(ATTRIBUTES["effector_composite"].values) - {"none"}


def yaw_triplet(*values):
    """From 0 to 20 to -20 degrees: right, left, left."""
    sizes = {(1, 2): 20.0, (1, 3): 20.0, (2, 3): 40.0}
    labels = tuple(
        MotionLabel(pair, "camera_yaw", value, sizes[pair], "degrees")
        for value, pair in zip(values, PAIRS, strict=True)
    )
    return Triplet(camera_clip([0, 20, -20]), (0, 1, 2), labels)


def test_a_wrong_label_is_found_and_named():
    assert wrong_labels(yaw_triplet("right", "left", "left"), [LIMITS["camera_yaw"]]) == []
    (wrong,) = wrong_labels(yaw_triplet("right", "right", "left"), [LIMITS["camera_yaw"]])
    assert (wrong.clip_id, wrong.frames, wrong.pair) == ("camera", (0, 2), (1, 3))
    assert (wrong.said, wrong.should_be) == ("right", "left")
    assert_close(wrong.measured, -20.0)
    (wrong,) = wrong_labels(yaw_triplet("none", "left", "left"), [LIMITS["camera_yaw"]])
    assert (wrong.pair, wrong.should_be) == ((1, 2), "right")


def test_one_expert_that_agrees_is_enough():
    strict = ExpertLimits(still=1, salient_min=30)
    assert len(wrong_labels(yaw_triplet("right", "left", "left"), [strict])) == 2
    assert wrong_labels(yaw_triplet("right", "left", "left"), [strict, LIMITS["camera_yaw"]]) == []


def test_possible_answers():
    """Found by enumeration here and by derivation in the library."""
    signs = {1: "+", 0: "0", -1: "-"}
    yaw = possible_tuples("camera_yaw", 3)
    assert yaw == {"".join(signs[one] for one in triple) for triple in CONSISTENT_TRIPLES}
    assert len(yaw) == 13
    assert possible_tuples("camera_yaw", 1) == {"+", "0", "-"}
    assert len(possible_tuples("effector_composite", 3)) == len(ATTRIBUTES["effector_composite"].patterns)
    assert possible_tuples("mask_frame", 1) == {"1", "2", "0"}
    assert answer_tuple(yaw_triplet("right", "none", "left").labels) == "+0-"


def test_letters_are_read_back_from_the_text():
    triplet, wordings = yaw_triplet("right", "left", "left"), read_wordings()
    question = write(QuestionWriter(), triplet, "p", (9, 9), np.random.default_rng(0))
    assert wrong_letters(question, triplet, wordings) == []
    first, *rest = question.slots
    other = next(letter for letter in "ABC" if letter != first.gold)
    (fault,) = wrong_letters(replace(question, slots=(replace(first, gold=other), *rest)), triplet, wordings)
    assert f"the letter {other} is not right" in fault
    (fault,) = wrong_letters(replace(question, text=question.text.replace("1 to 2", "2 to 1")), triplet, wordings)
    assert "another pair" in fault
    (fault,) = wrong_letters(
        replace(question, text=question.text.replace("second, ", "second ").replace("1 to 3", "")), triplet, wordings
    )
    assert "2 questions, 3 are answered" in fault
    (fault,) = wrong_letters(
        replace(question, text=question.text.replace("none", "up", 1).replace("right", "up", 1)), triplet, wordings
    )
    assert "not 3 different ones" in fault


# -- the other attributes, and other formats -----------------------------------------------------------------------


ALL_LIMITS = {one.attribute.name: ExpertLimits.of(one) for one in all_experts()}
MASK_LIMITS = replace(ALL_LIMITS["mask_frame"], min_size_pixels=4)


def expected_of(attribute, clip, subject="", frames=(0, 1)):
    return expected(clip, attribute, subject, frames, ALL_LIMITS[attribute])


@pytest.mark.parametrize(
    ("attribute", "pose", "value"),
    [
        ("camera_roll", {"roll_degrees": [0, 20]}, "clockwise"),
        ("camera_roll", {"roll_degrees": [0, -20]}, "counterclockwise"),
        ("camera_roll", {"roll_degrees": [0, 0.5]}, "none"),
        ("camera_roll", {"roll_degrees": [0, 20], "pitch_degrees": [0, 9]}, NOT_ASKED),
        ("camera_forward", {"places": [(0, 0, 0), (0, 0, 1)]}, "forward"),
        ("camera_forward", {"places": [(0, 0, 0), (0, 0, -1)]}, "backward"),
        ("camera_forward", {"places": [(0, 0, 0), (1, 1, 0)]}, "none"),
        ("camera_forward", {"places": [(0, 0, 0), (0, 0, 1)], "pitch_degrees": [0, 30]}, NOT_ASKED),
        ("camera_sideways", {"places": [(0, 0, 0), (1, 0, 0)]}, "right"),
        ("camera_sideways", {"places": [(0, 0, 0), (-1, 0, 0)]}, "left"),
        ("camera_height", {"places": [(0, 0, 0), (0, -1, 0)]}, "up"),
        ("camera_height", {"places": [(0, 0, 0), (0, 1, 0)]}, "down"),
        ("camera_height", {"places": [(0, 0, 0), (0, 0.1, 0)]}, NOT_ASKED),
    ],
)
def test_the_camera_rolls_and_moves(attribute, pose, value):
    """Metres in the first camera's axes, y down; clockwise as its holder sees it, whose right hand sinks."""
    clip = clip_of(2, camera=CameraTrack(poses([0, 0], **pose)))
    assert expected_of(attribute, clip) == value


def test_without_the_metre_no_way_is_asked():
    track = CameraTrack(poses([0, 0], places=[(0, 0, 0), (0, 0, 1)]), None, False)
    assert expected_of("camera_forward", clip_of(2, camera=track)) == NOT_ASKED
    assert expected_of("camera_forward", clip_of(2)) == NOT_ASKED


@pytest.mark.parametrize(
    ("step", "depth", "corner"),
    [
        ((0.3, -0.3, 0.3), "forward", "upper_right"),
        ((-0.3, -0.3, -0.3), "backward", "upper_left"),
        ((0.3, 0.3, 0), "none", "lower_right"),
        ((-0.3, 0.3, 0.1), NOT_ASKED, "lower_left"),
        ((0, 0, 0.3), "forward", "none"),
        ((0.3, 0, 0), "none", NOT_ASKED),
        ((0.1, 0.3, 0), "none", NOT_ASKED),
    ],
)
def test_effector_in_depth_and_in_the_plane(step, depth, corner):
    clip = arm([(0, 0, 1), np.add((0, 0, 1), step)])
    assert expected_of("effector_depth", clip, "arm") == depth
    assert expected_of("effector_composite", clip, "arm") == corner


@pytest.mark.parametrize(
    ("headings", "place", "turn", "advance"),
    [
        ((90, 60), (0, 1), "right", "forward"),
        ((90, 120), (0, -1), "left", "backward"),
        ((10, 350), (1, 0), "right", "forward"),
        ((90, 90), (1, 0), "none", "none"),
        ((0, 60), (1, 0), "left", NOT_ASKED),
        ((0, 5), (0.3, 0), NOT_ASKED, NOT_ASKED),
    ],
)
def test_agent(headings, place, turn, advance):
    """Counter-clockwise from east; north is y."""
    track = AgentTrack(np.array([(0, 0), place], dtype=float), np.array(headings, dtype=float))
    clip = clip_of(2, agent=track)
    assert expected_of("agent_turn", clip) == turn
    assert expected_of("agent_advance", clip) == advance
    assert expected_of("agent_turn", clip_of(2)) == expected_of("agent_advance", clip_of(2)) == NOT_ASKED


@pytest.mark.parametrize(
    ("after", "value"), [(2.0, "approaching"), (4.0, "receding"), (3.01, "none"), (3.2, NOT_ASKED)]
)
def test_object_depth(after, value):
    track = ObjectTrack(boxes([(50, 50)] * 2), is_landmark=True, depths_metres=np.array([3.0, after]))
    assert expected_of("object_depth", clip_of(2, objects={"ball": track}), "ball") == value
    assert expected_of("object_depth", ball([(50, 50)] * 2), "ball") == NOT_ASKED


def mask_triplet(frames, value, xs=(10, 20, 30, 10.5)):
    """Boxes 4 wide: those at 10 and 10.5 overlap by 3.5 of 4.5."""
    said = MotionLabel((1, 2), "mask_frame", value, 0.0, "overlap", "ball")
    clip = clip_of(len(xs), objects={"ball": ObjectTrack(boxes([(x, 20) for x in xs], 2))})
    return Triplet(clip, frames, (said,), transforms=(None, None, MaskOf("ball")))


@pytest.mark.parametrize(
    ("frames", "value", "should_be"),
    [
        ((0, 1, 0), "first", None),
        ((0, 1, 1), "second", None),
        ((0, 1, 2), "neither", None),
        ((0, 1, 0), "second", "first"),
        ((0, 1, 1), "first", "second"),
        ((0, 1, 2), "first", "neither"),
        ((0, 3, 0), "first", NOT_ASKED),
        ((0, 1, 3), "neither", NOT_ASKED),
        ((0, 0, 1), "neither", "neither"),
    ],
)
def test_masks(frames, value, should_be):
    wrong = wrong_labels(mask_triplet(frames, value), [MASK_LIMITS])
    assert [one.should_be for one in wrong] == ([] if should_be is None else [should_be])


def test_the_same_image_twice_is_a_fault():
    """Though its size, the overlap of a box with itself, is right."""
    triplet = mask_triplet((0, 0, 1), "neither")
    (said,) = triplet.labels
    assert wrong_labels(replace(triplet, labels=(replace(said, magnitude=1.0),)), [MASK_LIMITS])


def test_a_thin_box_has_no_mask():
    triplet = mask_triplet((0, 1, 0), "first")
    thin = ObjectTrack(np.array([(10, 18, 10.5, 22), (20, 18, 24, 22), (0, 0, 9, 9), (0, 0, 9, 9)]))
    assert wrong_labels(replace(triplet, clip=replace(triplet.clip, objects={"ball": thin})), [MASK_LIMITS])


def test_a_wrong_size_is_a_wrong_label():
    triplet = yaw_triplet("right", "left", "left")
    first, *rest = triplet.labels
    for magnitude, count in ((20.05, 0), (20.2, 1), (40.0, 1)):
        changed = replace(triplet, labels=(replace(first, magnitude=magnitude), *rest))
        assert len(wrong_labels(changed, [LIMITS["camera_yaw"]])) == count


def test_the_turn_behind_a_window():
    """K R K'^-1 for any other camera K', with scipy's turns, up to any scale."""
    intrinsics = np.array([[70.0, 0, 50], [0, 72, 30], [0, 0, 1]])
    other = np.array([[90.0, 0, 20], [0, 65, 44], [0, 0, 1]])
    for angles in ((10, 0, 0), (-10, 0, 0), (0, 12, 0), (0, 0, 30), (5, -8, 20), (0, 0, 0)):
        turn = Rotation.from_euler("YXZ", angles, degrees=True).as_matrix()
        found = turn_behind(3.7 * intrinsics @ turn @ np.linalg.inv(other), intrinsics)
        np.testing.assert_allclose(found, turn, atol=1e-12)


def test_where_a_shifted_window_looks():
    """A focal length of 100; the middle (50, 30) of the window comes from (70, 50), 20 right of and 10 below the
    principal point."""
    intrinsics = np.array([[100.0, 0, 50], [0, 100, 40], [0, 0, 1]])
    axes = looking_through(np.array([[1, 0, 20], [0, 1, 20], [0, 0, 1.0]]), (100, 60), intrinsics)
    np.testing.assert_allclose(axes[:, 2], np.array([0.2, 0.1, 1]) / np.linalg.norm([0.2, 0.1, 1]), atol=1e-6)
    np.testing.assert_allclose(axes.T @ axes, np.eye(3), atol=1e-12)
    assert np.linalg.det(axes) == pytest.approx(1)
    assert axes[0, 0] > 0.9
    assert axes[1, 1] > 0.9


def test_a_cropped_image_without_intrinsics_is_not_checked():
    clip = camera_clip([0, 20])
    window = Warp("rotated_view", (1, 0, 5, 0, 1, 5, 0, 0, 1), (20, 20))
    assert seen_as(clip, 0, window).pose is None
    assert seen_as(clip, 0, None).pose is not None
    mirrored = seen_as(clip, 1, Warp("mirror", (-1, 0, 32, 0, 1, 0, 0, 0, 1), (32, 32)))
    assert mirrored.mirrored
    np.testing.assert_allclose(mirrored.pose, poses([-20])[0], atol=1e-12)


def asked(form, triplet, seed=0):
    return write(QuestionWriter(num_wordings=2, formats=[form]), triplet, "p", (9, 9), np.random.default_rng(seed))


def fault_of(question, triplet):
    faults = wrong_letters(question, triplet, read_wordings())
    return "; ".join(faults)


def test_claims_are_read_back_from_the_text():
    triplet = yaw_triplet("right", "left", "left")
    question = asked(TrueFalse(), triplet)
    first, *rest = question.slots
    other = replace(first, gold="F" if first.gold == "T" else "T")
    assert f"is not {other.gold}: it was right" in fault_of(replace(question, slots=(other, *rest)), triplet)
    lie = replace(question, slots=(replace(first, gold="X"), *rest))
    assert "is not X: it was right" in fault_of(lie, triplet)
    lines = question.text.split("\n")
    lines[1] = "first, 1 to 2: the camera sang"
    assert "'the camera sang' is not" in fault_of(replace(question, text="\n".join(lines)), triplet)


def test_numbers_are_read_back_from_the_text():
    triplet = yaw_triplet("right", "left", "left")
    question = asked(FillIn(), triplet)
    assert [slot.gold for slot in question.slots] == ["20", "-20", "-40"]
    first, *rest = question.slots
    for gold in ("21", "-20", "0"):
        wrong = replace(question, slots=(replace(first, gold=gold), *rest))
        assert f"{gold} degrees is not right by 20" in fault_of(wrong, triplet)
    wordless = replace(question, text=question.text.replace("... degrees", "... turns", 1))
    assert "'... turns' does not name degrees" in fault_of(wordless, triplet)
    still = replace(first, label=replace(first.label, value="none"), gold="3")
    assert "3 degrees is not none" in fault_of(replace(question, slots=(still, *rest)), triplet)


def test_rounding_of_metres_is_a_hundredth():
    said = MotionLabel((1, 2), "camera_forward", "forward", 1.236, "metres")
    triplet = Triplet(clip_of(3), (0, 1, 2), tuple(replace(said, pair=pair) for pair in PAIRS))
    question = asked(FillIn(), triplet)
    assert wrong_letters(question, triplet, read_wordings()) == []
    first, *rest = question.slots
    assert "1.25 metres is not forward by 1.24" in fault_of(
        replace(question, slots=(replace(first, gold="1.25"), *rest)), triplet
    )


def test_the_largest_is_read_back_from_the_text():
    triplet = yaw_triplet("right", "left", "left")
    question = asked(Comparative(), triplet)
    (slot,) = question.slots
    other = replace(slot, gold=next(letter for letter in "ABC" if letter != slot.gold))
    assert "is not 2 to 3" in fault_of(replace(question, slots=(other,)), triplet)
    equal = replace(triplet, labels=tuple(replace(one, magnitude=40.0) for one in triplet.labels))
    assert "no motion is the largest" in fault_of(question, equal)
    assert "0 lines of options" in fault_of(replace(question, text="nothing"), triplet)


def test_a_mask_is_read_back_from_the_text():
    triplet = mask_triplet((0, 1, 0), "first")
    question = asked(MultipleChoice(), triplet)
    assert wrong_letters(question, triplet, read_wordings()) == []
    other = replace(question.slots[0], gold=next(letter for letter in "ABC" if letter != question.slots[0].gold))
    assert "is not first" in fault_of(replace(question, slots=(other,)), triplet)
    claim = asked(TrueFalse(), triplet)
    assert wrong_letters(claim, triplet, read_wordings()) == []
    lie = replace(claim.slots[0], gold="F" if claim.slots[0].gold == "T" else "T")
    assert "it was first" in fault_of(replace(claim, slots=(lie,)), triplet)
    assert "makes 0 claims" in fault_of(replace(claim, text="only a line"), triplet)


def test_options_of_the_text_are_those_that_letters_are_read_by():
    """Two wrong options of the slot exchanged: the right letter stands, but a wrong answer would mean another."""
    triplet = yaw_triplet("right", "left", "left")
    question = asked(MultipleChoice(), triplet)
    first, *rest = question.slots
    wrong = [one for one in first.options if one != "right"]
    swapped = tuple({wrong[0]: wrong[1], wrong[1]: wrong[0]}.get(one, one) for one in first.options)
    assert "lists other options than" in fault_of(
        replace(question, slots=(replace(first, options=swapped), *rest)), triplet
    )


def test_third_party_formats_are_not_read_back():
    triplet = yaw_triplet("right", "left", "left")
    question = replace(asked(MultipleChoice(), triplet), format="essay", text="Tell me.")
    assert wrong_letters(question, triplet, read_wordings()) == []


# -- guessing without images -------------------------------------------------------------------------------------


def toy(count, values_of, options_of=None, subject_of=lambda _: "ball", seed=0):
    """Prompts, each of a scene of its own, whose values and options are as told and at random where not."""
    generator = np.random.default_rng(seed)
    values = ATTRIBUTES["object_horizontal"].values
    questions = []
    for k in range(count):
        subject = subject_of(k)
        slots, lines = [], [f"Which way did the {subject} move?"]
        for pair, value in zip(PAIRS, values_of(k, generator), strict=True):
            shuffled = tuple(generator.permutation(values).tolist())
            options = shuffled if options_of is None else options_of(value)
            slots.append(Slot(label("object_horizontal", value, subject, pair), options, "ABC"[options.index(value)]))
            lines.append(f"{pair[0]} to {pair[1]}: A {options[0]}, B {options[1]}, C {options[2]}")
        questions.append(Question(f"p{k}", "\n".join(lines), tuple(slots), "d", scene_id=f"s{k}"))
    return questions


def anything(_, generator):
    return generator.choice(ATTRIBUTES["object_horizontal"].values, 3).tolist()


def right_first(value):
    """The right option always has the letter B."""
    others = [one for one in ATTRIBUTES["object_horizontal"].values if one != value]
    return (others[0], value, others[1])


SHUFFLED = toy(1000, anything)
SUBJECTS = {0: ("left", "none", "right"), 1: ("right", "right", "none")}
LEAKS = {
    "majority_letter": (MajorityAnswer(), toy(40, anything, right_first)),
    "letters_from_text": (AnswerFromText(), toy(40, anything, right_first)),
    "values_from_text": (
        ValuesFromText(),
        toy(40, lambda k, _: SUBJECTS[k % 2], subject_of=lambda k: ("ball", "cube")[k % 2]),
    ),
    "known_law": (KnownLaw(), toy(40, lambda *_: ("right", "left", "left"))),
}


@pytest.mark.parametrize("name", LEAKS)
def test_a_blind_model_is_perfect_on_leaky_data(name):
    model, questions = LEAKS[name]
    scores = score_blind(questions)
    assert scores.by_model[name] == 1.0
    assert scores.standard_errors[name] == 0.0
    prompts = [TextOnlyPrompt(question) for question in questions]
    assert ["".join(answers) for answers in model.answers(prompts[:20], prompts[20:])] == [
        one.solution for one in questions[20:]
    ]


def test_letters_follow_from_the_order_of_the_options():
    """Options in either of two orders, the right one last in the first order and first in the other."""
    orders = [("left", "none", "right"), ("right", "left", "none")]
    questions = toy(200, lambda *_: ("right",) * 3, lambda _: orders[0])
    questions[1::2] = toy(200, lambda *_: ("right",) * 3, lambda _: orders[1])[1::2]
    scores = score_blind(questions)
    assert scores.by_model["letters_from_text"] == 1.0
    assert scores.by_model["majority_letter"] < 0.7


def test_blind_models_are_at_chance_on_shuffled_data():
    """3000 letters: one standard error is sqrt(1/3 2/3 / 3000) = 0.0086; four of them are the margin."""
    scores = score_blind(SHUFFLED)
    assert_close(scores.chance, 1 / 3)
    assert set(scores.by_model) == set(LEAKS)
    for name, share in scores.by_model.items():
        assert abs(share - 1 / 3) < 0.035, name
        assert_close(scores.standard_errors[name], 0.0086, rtol=1e-2, atol=1e-3)
    assert scores.by_model[scores.best] == max(scores.by_model.values())


def test_halves_share_no_scene():
    """A scene's letter follows from its subject, and each scene has its own: known from the training scenes."""
    answers = [tuple(one) for one in np.random.default_rng(5).choice(["left", "right", "none"], (30, 3)).tolist()]
    questions = toy(600, lambda k, _: answers[k // 20], subject_of=lambda k: f"thing{k // 20}")
    together = [replace(question, scene_id=f"s{k // 20}") for k, question in enumerate(questions)]
    assert score_blind(questions).by_model["values_from_text"] == 1.0
    assert score_blind(together).by_model["values_from_text"] < 0.6


def test_one_scene_is_halved_by_prompt():
    """Then what holds in that scene alone is found as well: here that things go right, left and left."""
    lawful = toy(40, lambda *_: ("right", "left", "left"))
    scores = score_blind([replace(question, scene_id="s") for question in lawful])
    assert (scores.halved_by, scores.by_model["known_law"]) == ("prompt", 1.0)
    assert score_blind(lawful).halved_by == "scene"
    assert score_blind(lawful[:1]) is None
    assert score_blind([]) is None


# -- leaks ---------------------------------------------------------------------------------------------------------


def textured(seed, num_frames=4, size=64):
    """Images [N, size, size, 3] of 8 x 8 squares in shades of one colour, other ones in each frame."""
    shades = np.random.default_rng(seed).uniform(0.2, 1, (num_frames, 8, 8, 1))
    squares = (shades * (240, 200, 160)).astype(np.uint8)
    return squares.repeat(size // 8, 1).repeat(size // 8, 2)


def written(folder, name, frames, crf=23, scene=None):
    folder.mkdir(exist_ok=True)
    clip = arm_clip([0.0] * len(frames), clip_id=name, scene_id=scene or name)
    write_clip(clip, np.ascontiguousarray(frames), folder, fps=10, source="test", licence="Apache-2.0", crf=crf)
    return replace(clip, media=folder / f"{name}.mp4")


def duplicates(train, test):
    return same_images(print_frames({"train": [train], "test": [test]}))


def same_images(prints):
    return [one for one in similar_pairs(prints) if one.is_same]


def test_a_frame_copied_into_another_split_is_found(tmp_path):
    """Smaller and coded with more loss, so that not a single pixel needs to be the same."""
    original = textured(0)
    other = textured(1, size=48)
    other[2] = textured(0, size=48)[1]
    train = written(tmp_path, "train", original)
    (found,) = duplicates(train, written(tmp_path, "copy", other, crf=30))
    assert (found.first.address, found.second.address) == (("train", "train", 1), ("test", "copy", 2))
    assert 0 < found.grey_levels < 6
    assert duplicates(train, written(tmp_path, "new", textured(1))) == []


def test_equal_frames_within_a_split_do_not_count(tmp_path):
    still = np.repeat(textured(0, 1), 4, axis=0)
    clips = [written(tmp_path, "a", still), written(tmp_path, "b", still)]
    prints = print_frames({"train": clips, "test": [written(tmp_path, "c", textured(1))]})
    assert len(prints) == 12
    assert same_images(prints) == []


def test_plain_images_do_not_count(tmp_path):
    """A small thing at another place before the same background is another image; black is none at all."""
    black = np.zeros((4, 64, 64, 3), np.uint8)
    assert print_frames({"train": [written(tmp_path, "black", black)]}) == []
    left, right = np.full((2, 4, 64, 64, 3), 90, np.uint8)
    left[:, 20:36, 4:20], right[:, 20:36, 40:56] = (250, 40, 40), (250, 40, 40)
    assert duplicates(written(tmp_path, "left", left), written(tmp_path, "right", right)) == []


def test_the_same_shape_in_other_colours_is_another_image(tmp_path):
    train = textured(0)
    assert duplicates(written(tmp_path, "a", train), written(tmp_path, "b", train[..., ::-1])) == []


def test_progress_counts_clips(tmp_path):
    told = []
    print_frames({"train": [written(tmp_path, name, textured(0)) for name in "ab"]}, 2, told.append)
    assert told == [1, 2]


def test_a_scene_in_two_splits_is_found():
    one, other = (arm_clip([0, 1], clip_id=name, scene_id="kitchen") for name in "ab")
    third = arm_clip([0, 1], scene_id="cellar")
    assert scenes_in_two_splits({"train": [one, third], "test": [other]}) == ["kitchen"]
    assert scenes_in_two_splits({"train": [one, other], "test": [third]}) == []


# -- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("audit") / "clips", mixed_clips(6))


def run(clips, *words, config=QUICKSTART):
    """Prints JSON; gives the exit status."""
    words = ("--num_triplets", "40", "--root", str(clips), *words)
    try:
        main(["data", "audit", "--config", str(config), "--format", "json", *words])
    except SystemExit as stop:
        return stop.code
    return 0


def test_the_command_prints_the_figures(clips, capsys):
    """40 prompts of three labels."""
    assert run(clips) == 0
    figures = json.loads(capsys.readouterr().out)
    assert set(figures) > KEYS
    assert (figures["checked_labels"], figures["wrong_labels"]) == (120, 0)
    assert figures["duplicate_frames_across_splits"] == 0
    assert_close(figures["chance"], 1 / 3)
    (task,) = figures["tasks"]
    assert figures["blind_accuracy"] == max(task["guesses"][0]["blind_models"].values())
    labels = task["labels"]
    assert (len(labels["answer_tuples"]), sum(labels["answer_tuples"].values())) == (13, 40)
    assert sum(labels["labels_by_attribute"].values()) == 120
    assert set(figures["num_scenes"]) == {"train", "val", "test"}
    assert sum(figures["num_scenes"].values()) == 12


def test_a_corrupted_label_fails_the_command(clips, capsys, monkeypatch):
    """An expert that mistakes left for right."""
    measure = CameraYaw.measure
    mirrored = lambda self, clip, frames: {name: -one for name, one in measure(self, clip, frames).items()}  # noqa: E731
    monkeypatch.setattr(CameraYaw, "measure", mirrored)
    assert run(clips) == 1
    out, err = capsys.readouterr()
    figures = json.loads(out)
    assert figures["wrong_labels"] > 0
    wrong = figures["tasks"][0]["labels"]["wrong_examples"]
    assert {one["attribute"] for one in wrong} == {"camera_yaw"}
    assert {one["said"] for one in wrong} <= {"left", "right"}
    assert all(one["said"] != one["should_be"] for one in wrong)
    assert err.splitlines()[-1].startswith(f"remot: {figures['wrong_labels']} labels are wrong, such as clip camera-")


def test_impossible_answers_fail_the_command(clips, capsys, monkeypatch):
    """Labels with a word that is no answer; whatever else reads labels is kept from stumbling over it."""
    unknown = lambda self, *_: tuple(label(self.attribute.name, "?", pair=pair) for pair in PAIRS)  # noqa: E731
    monkeypatch.setattr(MotionExpert, "labels", unknown)
    monkeypatch.setattr("remot.data.questions.formats.choice._shuffled", lambda *_: ("?",))
    monkeypatch.setattr("remot.datatools.audit.checkers.score_blind", lambda *_: None)
    monkeypatch.setattr("remot.data.questions.writer.describe_reasoning", lambda *_: "")
    assert run(clips) == 1
    out, err = capsys.readouterr()
    figures = json.loads(out)
    labels = figures["tasks"][0]["labels"]
    assert (labels["impossible_answers"], labels["answer_tuples"]["???"]) == (40, 40)
    assert figures["blind_accuracy"] is None
    assert "the answers of 40 prompts cannot be true together" in err


def test_a_leak_fails_the_command(tmp_path, capsys):
    """Two scenes of three, each a split of its own, show the same images."""
    for k in range(3):
        clip = arm_clip([0.0, 0.3, 0.6, 0.0], clip_id=f"clip-{k}", scene_id=f"s{k}")
        write_clip(clip, textured(min(k, 1)), tmp_path, fps=10, source="test", licence="Apache-2.0")
    assert run(tmp_path) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["duplicate_frames_across_splits"] == 4
    assert "4 pairs of images are the same in two splits" in err


def test_the_table_is_for_people(clips, capsys):
    main(["data", "audit", "--config", str(QUICKSTART), "--root", str(clips), "--num_triplets", "8"])
    out, err = capsys.readouterr()
    assert "8 prompts of the train split" in out
    assert "wrong labels" in out
    assert "right by chance" in out
    assert "checking labels" in err


def test_prompts_are_those_of_the_run(clips, monkeypatch):
    """Text, letters and names of the prompts that the training loader gives."""
    seen = []
    monkeypatch.setattr(
        "remot.datatools.audit.checkers.wrong_letters", lambda question, *_: seen.append(question) or []
    )
    data = read_data(QUICKSTART, str(clips), seed=3)
    audit_data(data, data.batch_size)
    parser = OwnParser(prog="remot fit")
    parser.add_class_arguments(MotionDataModule, "data")
    settings = {"data": data_section(QUICKSTART, str(clips), seed=3)}
    module = instantiated(parser, parser.parse_object(settings)).data
    module.setup("fit")
    batch = next(iter(module.train_dataloader()))
    keys = [(question.prompt_id, question.text, question.solution) for question in batch.questions]
    assert [(question.prompt_id, question.text, question.solution) for question in seen] == keys


def test_another_split_and_another_seed(clips, capsys):
    tuples = []
    for words in ((), ("--seed", "7"), ("--split", "test")):
        assert run(clips, *words) == 0
        tuples.append(json.loads(capsys.readouterr().out)["tasks"][0]["labels"]["answer_tuples"])
    assert tuples[0] != tuples[1]
    assert tuples[0] != tuples[2]


def config_file(tmp_path, text):
    file = tmp_path / "config.yaml"
    file.write_text(text)
    return file


def test_the_configuration_is_that_of_a_run(tmp_path):
    """Experts by name, the seed and the folder as `remot fit` takes them; what is not about data is passed over."""
    text = (
        "seed_everything: 5\nroot: somewhere\nmodel: {no: thing}\ntrainer: {}\n"
        "data:\n  tasks:\n  - class_path: MotionContrast\n    init_args:\n      binary: true\n"
        "      experts:\n      - {class_path: CameraYaw, init_args: {still: 2}}\n"
    )
    data = read_data(config_file(tmp_path, text))
    assert (data.options.seed, str(data.root), data.tasks[0].writer.binary) == (5, "somewhere", True)
    (expert,) = data.tasks[0].sampler.experts
    assert isinstance(expert, CameraYaw)
    assert expert.still == 2
    assert read_data(config_file(tmp_path, text), "elsewhere", 6).options.seed == 6
    assert read_data(config_file(tmp_path, "seed_everything: true")).options.seed == 0


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("data: {bath_size: 8}", "batch_size"),
        ("data: {batch_size: many}", "batch_size"),
        ("data: {tasks: [{class_path: MotionContrast, init_args: {experts: [{class_path: CameraYow}]}}]}", "CameraYaw"),
        ("data: 3", r"data section of .*config\.yaml .*mapping"),
        ("- 1", "no mapping of settings by name"),
        ("data: {", "cannot be read"),
    ],
)
def test_a_bad_configuration_gets_a_one_line_error(tmp_path, text, sentence, capsys, clips):
    file = config_file(tmp_path, text)
    with pytest.raises(ConfigError, match=sentence):
        read_data(file)
    assert run(clips, config=file) == EXIT_BAD_INPUT
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("words", [("--num_triplets", "0"), ("--num_triples", "9"), ("--config", "gone.yaml")])
def test_a_bad_command_line_gets_a_one_line_error(words, clips, capsys):
    assert run(clips, *words) == EXIT_BAD_INPUT
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_help(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["data", "audit", "--help"])
    assert stop.value.code == 0
    assert "--num_triplets" in capsys.readouterr().out
    main(["data", "--help"])
    assert "audit" in capsys.readouterr().out


def test_random_state_is_left_alone(clips):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    audit_data(read_data(QUICKSTART, str(clips)), 4)
    assert torch.equal(before, torch.get_rng_state())
