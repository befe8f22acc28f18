"""Why pairs of frames are not asked about, counted by hand."""

import pytest

from remot.data.clips.catalogue import Fault
from remot.data.experts import CameraYaw, EffectorHorizontal, MaskFrame, ObjectHorizontal
from remot.data.tasks.motion_contrast.task import MAX_FRAMES, pairs_by_verdict
from remot.datatools.build.manifest import faults_by_reason
from remot.errors import AnnotationError, DecodeError
from remot.structures import ObjectTrack
from tests.data.handmade import arm_clip, boxes, camera_clip, clip_of

NONE = {"none": 0, "moved": 0, "unclear": 0, "not_measurable": 0}


def test_pairs_are_counted_by_hand():
    """Yaw 0, 20, 25, 80: 0-20 moved, 0-25 moved, 0-80 too far, 20-25 unclear, 20-80 too far, 25-80 too far."""
    counts = pairs_by_verdict([camera_clip([0, 20, 25, 80])], [CameraYaw()])
    assert counts == {"camera_yaw": NONE | {"moved": 2, "unclear": 4}}
    counts = pairs_by_verdict([camera_clip([0, 0.5, 20])], [CameraYaw()])
    assert counts == {"camera_yaw": NONE | {"none": 1, "moved": 2}}


def test_what_cannot_be_measured_is_not_called_unclear():
    """The camera also tilts by 20 degrees between frames 0 and 1."""
    tilted = camera_clip([0, 20, 20], [0, 20, 20])
    assert pairs_by_verdict([tilted], [CameraYaw()])["camera_yaw"] == NONE | {"none": 1, "not_measurable": 2}


def test_clips_subjects_and_experts_add_up():
    arms = [arm_clip([0, 0.3, 0.3]), arm_clip([0, 0.1], clip_id="other")]
    counts = pairs_by_verdict(arms, [EffectorHorizontal(), CameraYaw()])
    assert counts["effector_horizontal"] == NONE | {"none": 1, "moved": 2, "unclear": 1}
    assert counts["camera_yaw"] == NONE


def test_two_experts_of_one_attribute_are_counted_together():
    clip = camera_clip([0, 5])
    counts = pairs_by_verdict([clip], [CameraYaw(), CameraYaw(salient_min=4.0)])
    assert counts == {"camera_yaw": NONE | {"unclear": 1, "moved": 1}}


def test_unseen_objects_and_masks():
    seen = boxes([(5, 5), (15, 5), (25, 5)])
    seen[1] = float("nan")
    clip = clip_of(3, objects={"ball": ObjectTrack(seen)})
    counts = pairs_by_verdict([clip], [ObjectHorizontal(salient_min=10), MaskFrame()])
    assert counts["object_horizontal"] == NONE | {"moved": 1, "not_measurable": 2}
    assert counts["mask_frame"] == NONE | {"moved": 1, "not_measurable": 2}


def test_long_clips_are_thinned_and_short_ones_are_not():
    long = pairs_by_verdict([camera_clip([0.001 * k for k in range(100)])], [CameraYaw()])["camera_yaw"]
    assert sum(long.values()) == MAX_FRAMES * (MAX_FRAMES - 1) // 2
    assert sum(pairs_by_verdict([camera_clip([0])], [CameraYaw()])["camera_yaw"].values()) == 0


@pytest.mark.parametrize("order", [1, -1])
def test_faults_are_counted_by_reason(tmp_path, order):
    errors = [AnnotationError("a", reason="pose"), DecodeError("b"), AnnotationError("c"), DecodeError("d")]
    sources = [Fault(str(tmp_path), error.reason, str(error)) for error in errors[::order]]
    assert faults_by_reason(sources) == {"malformed": 1, "media": 2, "pose": 1}
    assert list(faults_by_reason(sources)) == ["malformed", "media", "pose"]
