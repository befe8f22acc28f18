"""Tasks by address: which clips, which answers, whose turn, and what is shown."""

from collections import Counter
from dataclasses import dataclass, replace

import pytest
import torch

from remot.data.questions.text import plain
from remot.data.tasks import FrameSampling, ImageEdit, MotionContrast, Task, TaskPlan
from remot.errors import ConfigError, EmptySplitError
from remot.structures import Event, Question, Reference
from tests.data.handmade import clip_of, mixed_clips, write_folder
from tests.data.made import data_module

NUM_FRAMES = 7


class FirstFrame(Task):
    """Asks about clips with events: which of two words, one of them three times as easy to plan as the other."""

    name, needs, answers = "first_frame", "events", ("rare", "usual")

    def __init__(self, as_video=True, edit=None):
        self.as_video, self.edit = as_video, edit

    def serves(self, clip):
        return bool(clip.events)

    def plan(self, clip, generator):  # noqa: ARG002
        verdict = "rare" if generator.random() < 0.25 else "usual"
        frames, reference = (0, 2, 5), Reference(answer=verdict)
        transforms = (self.edit,) * 3 if self.edit else ()
        return TaskPlan(frames, "?", reference, verdict, self.as_video, "so", verdict=verdict, transforms=transforms)


class SecondTask(FirstFrame):
    name, answers = "second", ()


class Never(FirstFrame):
    name = "never"

    def plan(self, clip, generator):  # noqa: ARG002
        return None


class NeedsLayout(FirstFrame):
    name, needs = "layouts", "a layout of the scene"

    def serves(self, clip):
        return bool(clip.layout)


@dataclass(frozen=True)
class Invert(ImageEdit):
    def __call__(self, image):
        return 255 - image


def clips_with_events(num_scenes=6):
    event = (Event("it moves", 0.1, 0.3),)
    return [clip_of(NUM_FRAMES, f"e{k}", f"es{k}", "events", events=event) for k in range(num_scenes)]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return str(write_folder(tmp_path_factory.mktemp("clips"), [*clips_with_events(), *mixed_clips(5)]))


def make(root, tasks, **settings):
    sizes = {"num_train_prompts_per_epoch": 40, "num_val_prompts": 6, "num_test_prompts": 6}
    data = data_module(root, tasks=tasks, batch_size=4, **(sizes | settings))
    data.setup()
    return data


def questions(dataset, addresses):
    return [dataset.prompt(address).question for address in addresses]


# -- prompts by address --------------------------------------------------------------------------------------------


def test_a_prompt_is_a_function_of_seed_split_and_address(root):
    train = make(root, [FirstFrame(), SecondTask()]).prompts["train"]
    same = make(root, [FirstFrame(), SecondTask()]).prompts["train"]
    other = make(root, [FirstFrame(), SecondTask()], seed=1).prompts["train"]
    forwards, backwards = questions(train, range(12)), questions(same, reversed(range(12)))[::-1]
    assert [(q.prompt_id, q.task, q.target) for q in forwards] == [(q.prompt_id, q.task, q.target) for q in backwards]
    assert [train[k].clip_id for k in range(40)] != [other[k].clip_id for k in range(40)]


def test_tasks_take_turns_and_are_counted(root):
    data = make(root, [FirstFrame(), SecondTask(), FirstFrame()])
    train = data.prompts["train"]
    tasks = [question.task for question in questions(train, range(39))]
    turns = [tuple(sorted(tasks[k : k + 3])) for k in range(0, 39, 3)]
    assert set(turns) == {("first_frame", "first_frame", "second")}
    count = [question.task for question in questions(train, range(40))].count("second")
    assert train.counts() == {"first_frame": 40 - count, "second": count}
    train.num_prompts = 3 * 10**15  # nothing is drawn to count them
    assert train.counts() == {"first_frame": 2 * 10**15, "second": 10**15}
    train.num_prompts = 40
    first, second, few = data.describe()
    assert few.startswith("test split: intervals over 3 scenes hold less than 95 %")
    assert first.startswith(f"first_frame: train {40 - count} prompts of 4 clips, val ")
    assert second.startswith(f"second: train {count} prompts of 4 clips, val 2 prompts of 1 clips, test ")


def test_prompt_ids_are_unique_over_epochs_and_tasks(root):
    train = make(root, [FirstFrame(), FirstFrame(), MotionContrast()]).prompts["train"]
    ids = [question.prompt_id for question in questions(train, range(90))]
    assert len(set(ids)) == 90
    assert ids[39:41] == ["train/0/39", "train/1/0"]


def test_a_task_listed_twice_asks_two_different_things(root):
    train = make(root, [FirstFrame(), FirstFrame()]).prompts["train"]
    drawn = [(sample.clip_id, sample.question.target) for sample in (train[k] for k in range(40))]
    assert any(first != second for first, second in zip(drawn[::2], drawn[1::2], strict=True))


def test_answers_are_balanced_though_one_is_rare(root):
    """Three of four plans say "usual"; without balance 300 prompts would hold 225 of these, give or take 8."""
    train = make(root, [FirstFrame()]).prompts["train"]
    counts = Counter(question.reference.answer for question in questions(train, range(300)))
    assert abs(counts["rare"] - 150) < 35


def test_clips_are_drawn_evenly(root):
    """Four training clips have events; each is drawn 100 of 400 times, with a deviation of 9."""
    train = make(root, [SecondTask()]).prompts["train"]
    counts = Counter(train.prompt(k).clip_id for k in range(400))
    assert len(counts) == 4
    assert all(abs(count - 100) < 36 for count in counts.values())


def test_splits_share_no_scene(root):
    prompts = make(root, [FirstFrame()]).prompts
    seen = {split: {dataset.prompt(k).question.scene_id for k in range(40)} for split, dataset in prompts.items()}
    assert set(seen) == {"train", "val", "test"}
    assert sum(map(len, seen.values())) == len(set.union(*seen.values())) == 6


def test_triplets_can_be_one_of_the_tasks(root):
    train = make(root, [FirstFrame(), MotionContrast()]).prompts["train"]
    triplets = [question for question in questions(train, range(20)) if question.task == "motion_contrast"]
    assert len(triplets) == 10
    assert all(isinstance(question, Question) and len(question.slots) == 3 for question in triplets)
    assert triplets[0].response.endswith(f"<answer>{triplets[0].solution}</answer>")


def test_prompts_drawn_again_are_others(root):
    data = make(root, [FirstFrame(), MotionContrast()])
    batch = data.redraw(3, 1, 4)
    assert [q.prompt_id.split("/")[0] for q in batch.questions] == ["redrawn"] * 4
    assert data.prompts["train"].split == "train"
    assert data.redraw(3, 1, 4).clip_ids == batch.clip_ids


# -- what is shown -------------------------------------------------------------------------------------------------


def test_a_video_holds_the_frames_planned_with_their_times(root):
    sample = make(root, [FirstFrame()]).prompts["train"][0]
    (video,) = sample.videos
    assert sample.images == ()
    assert video.pts_seconds == (0.0, 0.2, 0.5)
    levels = video.frames.float().mean((1, 2, 3))
    assert (levels - torch.tensor([0.0, 20.0, 50.0])).abs().max() < 2  # the codec rounds


def test_images_are_shown_and_edited(root):
    sample = make(root, [FirstFrame(as_video=False, edit=Invert())]).prompts["train"][0]
    levels = torch.tensor([float(image.float().mean()) for image in sample.images])
    assert (levels - torch.tensor([255.0, 235.0, 205.0])).abs().max() < 2
    assert not sample.videos


def test_the_response_to_learn_is_the_whole_answer(root):
    question = make(root, [FirstFrame()]).prompts["train"][0].question
    assert question.response == question.target == f"<think>so</think><answer>{question.reference.answer}</answer>"
    assert TaskPlan((0,), "?", Reference()).response((1, 1)) == ""
    assert TaskPlan((0,), "?", Reference(), "B", after="<glue>[(1, 2)]</glue>").response((1, 1)) == (
        "<think></think><answer>B</answer><glue>[(1, 2)]</glue>"
    )


# -- refusals ------------------------------------------------------------------------------------------------------


def test_a_task_that_no_clip_serves_names_what_is_missing(root):
    with pytest.raises(ConfigError, match=r"layouts .* 16 clips.*layout"):
        make(root, [FirstFrame(), NeedsLayout()])


def test_tasks_that_no_clip_serves_are_left_out_on_request(root):
    """The rest is asked as if it were alone, and the description names what is left out."""
    with pytest.warns(UserWarning, match="layouts .* 16 clips.* left out"):
        data = make(root, [NeedsLayout(), FirstFrame()], on_unserved_task="skip")
    assert data.prompts["train"].counts().keys() == {"first_frame"}
    assert "left out, no clip serves them: layouts" in data.describe()
    with pytest.raises(ConfigError, match="layouts can ask about none"):
        make(root, [NeedsLayout()], on_unserved_task="skip")


def test_a_task_without_prompts_is_an_error(root):
    data = make(root, [Never()])
    with pytest.raises(ConfigError, match=r"task never .* 64 tries"):
        data.prompts["train"][0]


def test_a_split_without_a_clip_for_a_task(tmp_path):
    root = str(write_folder(tmp_path, [*clips_with_events(2), *mixed_clips(6)]))
    with pytest.raises(EmptySplitError, match=r"split .*first_frame.* events"):
        make(root, [FirstFrame()])


# -- frames and words ----------------------------------------------------------------------------------------------


def test_frames_at_even_times():
    """11 frames, 0.1 s apart: 0, 1/3, 2/3 and 1 s are nearest to frames 0, 3, 7 and 10."""
    clip = clip_of(11)
    assert FrameSampling(4).frames_of(clip) == (0, 3, 7, 10)
    assert FrameSampling(16, fps=2).frames_of(clip) == (0, 5, 10)
    assert FrameSampling(2, fps=30).frames_of(clip) == (0, 10)
    assert FrameSampling(1).frames_of(clip) == (5,)
    assert FrameSampling(64).frames_of(clip) == tuple(range(11))
    with pytest.raises(ConfigError, match="max_frames is 0"):
        FrameSampling(0)


def test_frames_follow_times_not_numbers():
    """Times 0, 1, 2 and 10 s: the middle of the clip, 5 s, is nearest to the frame at 2 s."""
    clip = clip_of(4)
    clip.pts_seconds[:] = [0, 1, 2, 10]
    assert FrameSampling(3).frames_of(clip) == (0, 2, 3)
    clip.pts_seconds[:] = [0, 2, 10, 12.2]  # the middle is at 6.1 s
    assert FrameSampling(1).frames_of(clip) == (2,)
    clip.pts_seconds[:] = [0, 1, 2, 3]  # as near to the second as to the third
    assert FrameSampling(1).frames_of(clip) == (1,)


def test_annotated_texts_hold_no_special_token():
    assert plain("a <|video_pad|>\nb" + "c" * 900) == "a (video_pad) b" + "c" * 285


def test_annotated_texts_hold_no_element():
    """Whatever is put together of pieces of tags: no "<" is left, so nothing opens or closes an answer."""
    assert plain("he says </answer>, x -> y") == "he says (/answer>, x -> y"
    for text in ("<<||video_pad|>", "<|<answer>|>", "</<|think|>>", "<\n|pad|>"):
        assert "<" not in plain(text)
        assert "|>" not in plain(text)


def test_clips_without_images_serve_no_task(tmp_path):
    from remot.data.annotations.native.writer import write_annotation

    for clip in clips_with_events(5):
        write_annotation(replace(clip, media=None), tmp_path, source="test", licence="Apache-2.0")
    with pytest.raises(ConfigError, match=r"first_frame .* 5 clips.* events"):
        make(str(tmp_path), [FirstFrame()])
