from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest
import torch

from remot.errors import AnnotationError, RemotError
from remot.structures import (
    CameraTrack,
    Clip,
    EffectorTrack,
    LossOutput,
    ObjectTrack,
    PromptBatch,
    RewardOutput,
    Rollout,
    Video,
)
from tests.helpers import join_questions, make_question


def make_clip(**changes):
    fields = {"clip_id": "c7", "scene_id": "s", "domain": "test", "media": Path("c.mp4")}
    return Clip(**(fields | {"pts_seconds": np.array([0.0, 0.5, 1.5])} | changes))


def poses(frame=None, value=None):
    stack = np.tile(np.eye(4), (3, 1, 1))
    if frame is not None:
        stack[frame, :3, :3] = value
    return CameraTrack(stack)


def test_clip_counts_frames_and_prints_no_numbers():
    clip = make_clip(camera=poses(), effectors={"left": EffectorTrack(np.zeros((3, 3)), np.zeros(3))})
    assert clip.num_frames == 3
    assert repr(clip) == "Clip('c7', domain='test', num_frames=3)"


def test_media_times_are_used_where_they_differ():
    shifted = np.array([2.0, 2.5, 3.5])
    assert make_clip(media_pts_seconds=shifted).frame_times_in_media is shifted
    plain = make_clip()
    assert plain.frame_times_in_media is plain.pts_seconds


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pts_seconds": np.zeros((3, 1))}, "pts_seconds has shape 3x1"),
        ({"pts_seconds": np.array([])}, "at least one time"),
        ({"pts_seconds": np.array([0.0, 1.0, 1.0])}, "strictly increasing"),
        ({"pts_seconds": np.array([0.0, np.nan, 1.0])}, "finite"),
        ({"media_pts_seconds": np.zeros(2)}, "media_pts_seconds has shape 2, expected 3"),
        ({"camera": CameraTrack(np.zeros((2, 4, 4)))}, "camera_to_world has shape 2x4x4"),
        ({"camera": poses(1, 2 * np.eye(3))}, "frame 1 is not a rigid motion"),
        ({"camera": poses(2, np.diag([1.0, 1.0, -1.0]))}, "frame 2 is not a rigid motion"),
        ({"effectors": {"left": EffectorTrack(np.zeros((3, 2)))}}, "effector left positions"),
        ({"effectors": {"left": EffectorTrack(np.zeros((3, 3)), np.zeros(4))}}, "effector left opening"),
        ({"objects": {"cup": ObjectTrack(np.zeros((3, 2)))}}, "object cup boxes_xyxy"),
        ({"objects": {"cup": ObjectTrack(np.zeros((3, 4)), masks=(Path("a"),))}}, "object cup has 1 masks for 3"),
    ],
)
def test_clip_errors_name_fault_and_place(changes, message):
    with pytest.raises(AnnotationError, match=message) as caught:
        make_clip(**changes)
    assert "c7" in str(caught.value)
    assert isinstance(caught.value, RemotError)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_poses_that_are_not_finite_are_an_error_without_a_warning(value):
    with pytest.raises(AnnotationError, match="frame 1 is not a rigid motion"):
        make_clip(camera=poses(1, value))


def test_records_cannot_be_changed():
    with pytest.raises(FrozenInstanceError):
        make_clip().clip_id = "other"


def test_solution_is_the_right_letters_in_slot_order():
    assert join_questions(make_question("ABC"), make_question("CCA", "gripper", "left")).solution == "ABCCCA"


def test_prompt_batch_needs_one_of_everything():
    question = make_question()
    assert len(PromptBatch(images=[[]], questions=[question], clip_ids=["c"])) == 1
    with pytest.raises(ValueError, match=r"2 .*, 1 questions, 1 clip"):
        PromptBatch(images=[[], []], questions=[question], clip_ids=["c"])
    with pytest.raises(ValueError, match="2 video lists"):
        PromptBatch(images=[[]], questions=[question], clip_ids=["c"], videos=[[], []])
    assert [list(videos) for videos in PromptBatch([[]], [question], ["c"]).videos] == [[]]


def test_a_video_has_a_time_for_each_frame():
    video = Video(torch.zeros(2, 3, 4, 6, dtype=torch.uint8), (0.0, 0.5))
    assert len(video) == 2
    assert repr(video) == "Video(frames=(2, 3, 4, 6), pts_seconds=0.0..0.5)"


@pytest.mark.parametrize(
    ("shape", "times", "message"),
    [
        ((2, 4, 6, 3), (0.0, 1.0), "must be uint8"),
        ((0, 3, 4, 6), (), "T at least 1"),
        ((2, 3, 4, 6), (0.0,), "as many finite times"),
        ((2, 3, 4, 6), (0.0, np.nan), "as many finite times"),
        ((2, 3, 4, 6), (0.5, 0.5), "must increase"),
    ],
)
def test_a_video_that_does_not_fit_its_times_is_refused(shape, times, message):
    with pytest.raises(ValueError, match=message):
        Video(torch.zeros(shape, dtype=torch.uint8), times)


def make_rollout(shape=(2, 3, 4), mask_shape=None):
    mask = torch.ones(mask_shape or shape, dtype=torch.bool)
    texts = [[""] * 3] * 2
    return Rollout(torch.zeros(shape, dtype=torch.int64), mask, torch.zeros(shape), texts, torch.ones(2, 3).bool())


def test_rollout_counts_tokens():
    rollout = make_rollout()
    rollout.completion_mask[0, 1, 2:] = False
    assert rollout.num_tokens.tolist() == [[4, 2, 4], [4, 4, 4]]
    assert repr(rollout) == "Rollout(shape=(2, 3, 4))"


@pytest.mark.parametrize("shapes", [((2, 3, 4), (2, 3, 5)), ((2, 12), None)])
def test_rollout_refuses_shapes_that_differ(shapes):
    with pytest.raises(ValueError, match="rollout shapes differ"):
        make_rollout(*shapes)


def test_reward_parts_have_the_shape_of_the_total():
    total = torch.zeros(3)
    RewardOutput(total, {"format": torch.zeros(3)}, torch.zeros(3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"part format.*2,.*total.*3,"):
        RewardOutput(total, {"format": torch.zeros(2)}, torch.zeros(3, dtype=torch.bool))
    with pytest.raises(ValueError, match="reward part success"):
        RewardOutput(total, {}, torch.zeros(2, dtype=torch.bool))


@pytest.mark.parametrize("loss", [torch.zeros(1), torch.tensor(1)])
def test_a_loss_is_a_floating_point_scalar(loss):
    with pytest.raises(ValueError, match="floating-point scalar"):
        LossOutput(loss, {})
