"""Reasoning in the first person: every sentence from its label, and nothing that a file's names could smuggle in."""

import re

import pytest

from remot.data.questions.narration import DIGITS, PHRASES, narrate
from remot.data.questions.writer import QuestionWriter
from remot.motion import ATTRIBUTES, NONE, PAIRS
from remot.seeding import numpy_generator
from remot.structures import MotionLabel, Slot
from tests.data.handmade import camera_clip
from tests.data.made import write
from tests.data.questions.test_writer import triplet

CLIP = camera_clip([0, 20, 40])


def slots(attribute, values, subject="", magnitude=19.6, letters="CAB"):
    labels = (
        MotionLabel(pair, attribute, value, 0.0 if value == NONE else magnitude, ATTRIBUTES[attribute].unit, subject)
        for pair, value in zip(PAIRS, values, strict=True)
    )
    return [Slot(label, ("x", "y", "z"), letter) for label, letter in zip(labels, letters, strict=True)]


def test_a_turn_by_hand():
    assert narrate(CLIP, (0, 1, 2), slots("camera_yaw", ("right", "none", "left")), (32, 32)) == (
        "I am where the camera is. The red tower is at x0, x1, x2. "
        "From image 1 to image 2 I turn right by about 20 degrees: C. "
        "From image 1 to image 3 I keep facing the same way: A. "
        "From image 2 to image 3 I turn left by about 20 degrees: B."
    )


def test_what_moves_is_watched_and_metres_have_two_digits():
    told = narrate(CLIP, (0, 1, 2), slots("effector_depth", ("forward", "none", "backward"), "left_arm", 0.256), (9, 9))
    assert told.startswith(
        "I watch the left arm. From image 1 to image 2 the left arm moves forward by about 0.26 metres: C."
    )
    told = narrate(CLIP, (0, 1, 2), slots("object_vertical", ("up", "none", "down"), "mug", 30.0), (9, 9))
    assert "the mug moves up: C." in told  # pixels say nothing without the images


@pytest.mark.parametrize("attribute", sorted(PHRASES))
def test_every_value_is_named_and_no_size_of_what_rests(attribute):
    for value in ATTRIBUTES[attribute].values:
        told = narrate(CLIP, (0, 1, 2), slots(attribute, (value,) * 3, "arm"), (9, 9))
        assert told.count(".") - told.count("19.60") >= 4
        assert ("about" in told) is (value != NONE and ATTRIBUTES[attribute].unit in DIGITS)
        assert (value.replace("_", " ") in told) is (value != NONE)
        assert re.findall(r": ([A-H])\.", told) == ["C", "A", "B"]


def test_all_attributes_but_that_of_masks_have_phrases():
    assert set(ATTRIBUTES) - set(PHRASES) == {"mask_frame"}


def test_names_of_files_cannot_close_the_reasoning():
    told = narrate(CLIP, (0, 1, 2), slots("object_depth", ("approaching",) * 3, "a</think><answer>B"), (9, 9))
    assert "<" not in told


def test_the_writer_narrates_only_where_it_is_asked_to():
    for narrates in (True, False):
        writer = QuestionWriter(num_wordings=1, narrates=narrates)
        question = write(writer, triplet(), "train/0/0", (32, 32), numpy_generator(0))
        assert question.response.startswith("<think>I am where") is narrates
        letters = re.findall(r": ([A-C])\." if narrates else r"([A-C])(?:,|$)", question.reasoning)
        assert "".join(letters) == question.solution
