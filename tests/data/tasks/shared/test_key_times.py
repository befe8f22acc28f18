"""The frames of a second look, worked out by hand: dense where a first answer points, sparse elsewhere, as many."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from remot.data.tasks import (
    EventChoice,
    FrameSampling,
    GroundedEventChoice,
    MotionContrast,
    Task,
    TaskPlan,
    TemporalGrounding,
    TemporalGroundingSpans,
)
from remot.data.tasks.shared.frames import KeyFrames, evenly, inside
from remot.errors import ConfigError
from remot.structures import Event, Reference, ResampleRequest
from tests.data.handmade import clip_of, write_folder
from tests.data.made import data_module

NUM_FRAMES = 21
EVENTS = (Event("a door opens", 0.5, 1.0), Event("a lamp goes on", 1.4, 1.8))
LOOK = ResampleRequest(((0.5, 1.0),))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Clips of 2 s, ten frames a second, frame k of grey level 10 k."""
    clips = [clip_of(NUM_FRAMES, f"c{k}", f"s{k}", events=EVENTS) for k in range(6)]
    return str(write_folder(tmp_path_factory.mktemp("clips"), clips))


def make(root, *tasks):
    data = data_module(
        root, tasks=list(tasks), batch_size=4, num_train_prompts_per_epoch=8, num_val_prompts=12, num_test_prompts=12
    )
    data.setup()
    return data


# -- which frames --------------------------------------------------------------------------------------------------


def frames(look, num_frames=41, sampling=None):
    """Of a clip with frames at 0.0, 0.1, 0.2 … s, of which a first look shows 8."""
    first = sampling or FrameSampling(8)
    return KeyFrames(first.max_frames, first.fps, first=first, request=look).frames_of(clip_of(num_frames))


def test_six_of_eight_lie_in_the_stretch():
    """Frames 10 to 20 are inside; six of them are every second one. Of the 30 others the first and the last."""
    assert frames(ResampleRequest(((1.0, 2.0),))) == (0, 10, 12, 14, 16, 18, 20, 40)


def test_stretches_that_overlap_are_one_and_what_lies_outside_is_cut():
    """3.5 to 9 s is frames 35 to 40; with 3.8 to 4.5 s it is the same. Two outside: 0 and 34."""
    once, twice = ResampleRequest(((3.5, 9.0),)), ResampleRequest(((3.8, 4.5), (3.5, 9.0)))
    assert frames(once) == frames(twice) == (0, 34, 35, 36, 37, 38, 39, 40)


def test_two_stretches_share_the_frames():
    """0.0 to 0.2 and 3.8 to 4.0 s are frames 0 1 2 38 39 40, all six; of 3 to 37 the first and the last."""
    assert frames(ResampleRequest(((3.8, 4.0), (0.0, 0.2)))) == (0, 1, 2, 3, 37, 38, 39, 40)


def test_a_stretch_between_two_frames_has_the_nearest():
    """1.02 to 1.04 s: frame 10. Seven of the other 40, places 0 7 13 20 26 33 39, which lie one further from 10 on."""
    assert frames(ResampleRequest(((1.02, 1.04),))) == (0, 7, 10, 14, 21, 27, 34, 40)


def test_rounded_times_are_those_of_frames():
    """Frame 3 is at 0.30000000000000004 s, which an answer writes 0.30; 0.336 and 0.664 it writes 0.34 and 0.66."""
    assert inside(np.arange(41) * 0.1, [(0.1, 0.3)]).nonzero()[0].tolist() == [1, 2, 3]
    assert inside(np.array([0.0, 0.336, 0.664]), [(0.34, 0.66)]).nonzero()[0].tolist() == [1, 2]
    assert inside(np.array([0.0, 0.33, 0.67]), [(0.34, 0.66)]).nonzero()[0].tolist() == [1]


def test_where_nothing_is_to_be_seen_the_frames_stay():
    first = FrameSampling(8).frames_of(clip_of(41))
    assert frames(ResampleRequest(((4.01, 9.0),))) == frames(ResampleRequest(())) == first
    assert frames(ResampleRequest(((4.0, 9.0),))) != first


def test_the_share_is_a_setting_and_so_is_the_number():
    """A quarter of 8 are 2, 10 and 20; six of the other 30 at places 0 6 12 17 23 29."""
    assert frames(ResampleRequest(((1.0, 2.0),), 0.25)) == (0, 6, 10, 20, 23, 28, 34, 40)
    two_a_second = FrameSampling(64, fps=2.0)
    assert len(frames(LOOK, sampling=two_a_second)) == len(two_a_second.frames_of(clip_of(41))) == 9


def test_always_as_many_frames_all_different():
    generator = np.random.default_rng(0)
    shares = Counter()
    for _ in range(400):
        mask = generator.random(int(generator.integers(2, 40))) < generator.random()
        count, share = int(generator.integers(1, len(mask) + 1)), float(generator.uniform(0.05, 1.0))
        if not mask.any():
            continue
        stretches = tuple((k / 10, k / 10) for k in np.flatnonzero(mask).tolist())
        picked = frames(ResampleRequest(stretches, share), len(mask), FrameSampling(count))
        assert len(picked) == count
        assert all(after > before for before, after in pairwise(picked))
        dense = int(mask[list(picked)].sum())
        enough = mask.sum() >= round(share * count) and (~mask).sum() >= count - round(share * count)
        shares[bool(enough)] += 1
        if enough:
            assert dense == max(1, round(share * count))
    assert min(shares.values()) > 50


def test_even_picks():
    assert evenly(np.arange(11), 6).tolist() == [0, 2, 4, 6, 8, 10]
    assert evenly(np.arange(6), 4).tolist() == [0, 2, 3, 5]
    assert evenly(np.arange(5), 1).tolist() == [2]
    assert evenly(np.arange(5), 0).tolist() == []


@pytest.mark.parametrize("broken", [((2.0, 1.0),), ((0.0, float("inf")),), ((float("nan"), 1.0),)])
def test_looks_are_checked(broken):
    with pytest.raises(ValueError, match="finite stretches"):
        ResampleRequest(broken)
    with pytest.raises(ValueError, match="share"):
        ResampleRequest(((0.0, 1.0),), 0.0)


# -- the same prompt with other frames -----------------------------------------------------------------------------


def test_a_video_is_shown_again(root):
    """Of 5 frames 4 inside: of 5 to 10 the places 0 2 3 5. One outside: the middle of the 15 others, frame 13."""
    data = make(root, TemporalGrounding(FrameSampling(5)))
    for number in range(12):
        first = data.prompts["test"][number]
        again = data.resampler(f"test/0/{number}", LOOK)
        (video,) = again.videos[0]
        assert video.pts_seconds == (0.5, 0.7, 0.8, 1.0, 1.3)
        assert len(first.videos[0]) == len(video) == 5
        levels = video.frames.float().mean((1, 2, 3)).tolist()
        assert levels == pytest.approx([50, 70, 80, 100, 130], abs=3)
        (question,) = again.questions
        assert (question.prompt_id, question.target, again.clip_ids[0]) == (
            f"test/0/{number}",
            first.question.target,
            first.clip_id,
        )
        assert vars(question.reference) == vars(first.question.reference)
        told = "The frames of the video were taken at 0.50, 0.70, 0.80, 1.00, 1.30 seconds.\n"
        assert question.text == told + first.question.text


def test_prompts_of_videos_need_no_times(root):
    data = make(root, TemporalGrounding(FrameSampling(5)))
    again = data.resampler("val/0/1", ResampleRequest(LOOK.stretches, tell_times=False))
    assert again.questions[0].text == data.prompts["val"][1].question.text


def test_resampled_images_come_with_their_times(root):
    data = make(root, GroundedEventChoice(FrameSampling(5, as_video=False)))
    first, again = data.prompts["test"][2], data.resampler("test/0/2", LOOK)
    levels = [float(image.float().mean()) for image in again.images[0]]
    assert levels == pytest.approx([50, 70, 80, 100, 130], abs=3)
    assert again.videos == [()]
    before, after = first.question.text.split("\n", 1), again.questions[0].text.split("\n", 1)
    assert before[0] == "The pictures are frames of a video, taken at 0.0, 0.5, 1.0, 1.5, 2.0 seconds."
    assert after[0] == "The pictures are frames of a video, taken at 0.50, 0.70, 0.80, 1.00, 1.30 seconds."
    assert before[1] == after[1]


def test_each_prompt_of_several_tasks_is_found_by_its_name(root):
    tasks = [TemporalGrounding(FrameSampling(5)), EventChoice(FrameSampling(5)), TemporalGroundingSpans()]
    data = make(root, *tasks)
    seen = Counter()
    for number in range(12):
        first, again = data.prompts["val"][number], data.resampler(f"val/0/{number}", LOOK)
        seen[first.question.task] += 1
        if first.question.task == "multiple_choice":
            assert first.question.key_times == ""
            assert again is None
        else:
            assert first.question.key_times == again.questions[0].key_times == "answer"
            assert again.questions[0].target == first.question.target
    assert set(seen.values()) == {4}
    later = data.resampler("train/2/3", LOOK)
    assert later.questions[0].target == data.prompts["train"].prompt(2 * 8 + 3).question.target


def test_prompts_that_would_not_change_are_not_shown_again(root):
    data = make(root, TemporalGrounding(FrameSampling(NUM_FRAMES)))
    assert data.resampler("test/0/0", LOOK) is None
    few = make(root, TemporalGrounding(FrameSampling(5)))
    assert few.resampler("test/0/0", ResampleRequest(((7.0, 9.0),))) is None


def test_no_resampler_without_a_task_about_times(root):
    assert make(root, EventChoice()).resampler is None
    assert data_module(root, tasks=[MotionContrast()]).resampler is None
    assert data_module(root).resampler is None


class CountFrames(Task):
    """Its answer is the number of the last frame shown, so it must not be shown others."""

    name, needs, key_times = "count_frames", "nothing", "answer"

    def __init__(self, last=20):
        self.last = last

    def serves(self, clip):  # noqa: ARG002
        return True

    def plan(self, clip, generator):  # noqa: ARG002
        return TaskPlan((0, self.last), "?", Reference(number=self.last), "same")

    def closer(self, look):  # noqa: ARG002
        return CountFrames(10)


def test_a_reference_that_depends_on_frames_is_refused(root):
    with pytest.raises(ConfigError, match="count_frames has key_times"):
        make(root, CountFrames()).resampler("test/0/0", LOOK)
