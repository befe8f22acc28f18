"""Frames of a prompt's clip, found by the name of the prompt, for environments."""

import pytest

from remot.data.tasks import FrameSampling, GroundedEventChoice, TemporalGrounding
from remot.errors import DecodeError
from remot.structures import Event
from tests.data.handmade import clip_of, write_folder
from tests.data.made import data_module

NUM_FRAMES = 21
EVENTS = (Event("a door opens", 0.5, 1.0), Event("a lamp goes on", 1.4, 1.8))


def write(folder):
    """Clips of 2 s, ten frames a second, frame k of grey level 10 k."""
    clips = [clip_of(NUM_FRAMES, f"c{k}", f"s{k}", events=EVENTS) for k in range(6)]
    return str(write_folder(folder, clips))


def make(root, **settings):
    tasks = [TemporalGrounding(FrameSampling(5)), GroundedEventChoice(FrameSampling(2, as_video=False))]
    sizes = {"batch_size": 4, "num_train_prompts_per_epoch": 8, "num_val_prompts": 6, "num_test_prompts": 6}
    data = data_module(root, tasks=tasks, **sizes, **settings)
    data.setup()
    return data


def test_the_clip_is_that_of_the_prompt(tmp_path):
    """Of each split, of later epochs, and of prompts that were drawn again."""
    data = make(write(tmp_path))
    for split in ("train", "val", "test"):
        for number in range(6):
            sample = data.prompts[split][number]
            assert data.clip_frames(sample.question.prompt_id).clip.clip_id == sample.clip_id
    later = data.prompts["train"].prompt(2 * 8 + 3)
    assert data.clip_frames("train/2/3").clip.clip_id == later.clip_id
    batch = data.redraw(step=1, attempt=2, num_prompts=4)
    for question, clip_id in zip(batch.questions, batch.clip_ids, strict=True):
        assert data.clip_frames(question.prompt_id).clip.clip_id == clip_id
    replaced = data.prompts["train"].replacement(3, 1)
    assert data.clip_frames(replaced.question.prompt_id).clip.clip_id == replaced.clip_id


def test_frames_and_times_are_those_of_the_clip(tmp_path):
    held = make(write(tmp_path)).clip_frames("train/0/0")
    assert held.pts_seconds == pytest.approx([number / 10 for number in range(NUM_FRAMES)])
    levels = [float(image.float().mean()) for image in held.read([3, 20, 3])]
    assert levels == pytest.approx([30, 200, 30], abs=3)


def test_a_frame_that_cannot_be_read_ends_the_run_or_is_left_out(tmp_path):
    root = write(tmp_path)
    kept, skipping = make(root), make(root, on_bad_clip="skip")
    clip = kept.clip_frames("train/0/0").clip
    clip.media.write_bytes(b"broken")
    assert skipping.clip_frames("train/0/0").read([0]) is None
    with pytest.raises(DecodeError, match=clip.clip_id):
        kept.clip_frames("train/0/0").read([0])
