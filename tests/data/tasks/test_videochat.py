"""The tasks of VideoChat-R1 and R1.5: pinned on clips written by hand, and scored by the published rewards."""

import re
from collections import Counter

import numpy as np
import pytest
import torch

from remot.commands.score import reward_from
from remot.data.annotations.native.reader import NativeReader
from remot.data.clips.bundled import clips_root
from remot.data.tasks import (
    Detection,
    EventCaption,
    EventChoice,
    FrameSampling,
    GroundedEventChoice,
    ImageGroundedChoice,
    ImageQuality,
    ObjectTracking,
    TemporalGrounding,
    TemporalGroundingJson,
    TemporalGroundingSpans,
)
from remot.data.tasks.images.quality import Blur, Darken, Noise
from remot.data.tasks.shared import places as places_module
from remot.data.tasks.shared.places import lone_names, share_box
from remot.errors import ConfigError
from remot.rewards import TemporalRLTReward
from remot.structures import Event, ObjectTrack, Question
from tests.data.handmade import boxes, clip_of
from tests.data.made import data_module, task_prompts
from tests.helpers import PROJECT

SYSTEMS = PROJECT / "configs" / "systems"
TASKS = [
    TemporalGrounding(),
    TemporalGroundingSpans(),
    ObjectTracking(),
    EventChoice(),
    GroundedEventChoice(),
    ImageGroundedChoice(),
    Detection(),
    EventCaption(),
    ImageQuality(),
    ImageQuality("blur"),
]


def rng(number=0):
    return np.random.default_rng(number)


def plans(task, clip, count=60):
    found = (task.plan(clip, rng(k)) for k in range(count))
    return [plan for plan in found if plan is not None]


def happening(*events, num_frames=41, **tracks):
    """A clip of 4 s with events (text, start, end)."""
    return clip_of(num_frames, events=tuple(Event(*event) for event in events), **tracks)


@pytest.fixture
def square(monkeypatch):
    """Images of 100 x 50 pixels that need not exist."""
    monkeypatch.setattr("remot.data.tasks.images.tracking.image_size", lambda _: (100, 50))
    monkeypatch.setattr("remot.data.tasks.shared.places.image_size", lambda _: (100, 50))


# -- grounding -----------------------------------------------------------------------------------------------------

DOOR, LAMP, CUP = ("A door opens.", 0.5, 1.254), ("the lamp goes on", 1.5, 2.0), ("a cup falls", 2.5, 3.5)


def test_grounding_asks_for_the_stretch_of_one_event():
    for plan in plans(TemporalGrounding(FrameSampling(5)), happening(DOOR, LAMP), 20):
        about_door = "A door opens" in plan.text
        assert about_door != ("the lamp goes on" in plan.text)
        assert plan.reference.intervals == (((0.5, 1.25) if about_door else (1.5, 2.0)),)
        assert plan.answer == ("0.50 to 1.25" if about_door else "1.50 to 2.00")
        assert plan.frame_indices == (0, 10, 20, 30, 40)
        assert "<answer>" in plan.text


def test_grounding_leaves_out_what_happens_twice():
    twice = happening(DOOR, LAMP, ("a door  opens", 3.0, 3.4))
    assert {plan.reference.intervals for plan in plans(TemporalGrounding(), twice)} == {((1.5, 2.0),)}
    assert not TemporalGrounding().serves(happening(DOOR, ("a door opens", 3.0, 3.4)))
    assert not TemporalGrounding().serves(happening(("too short", 1.001, 1.002)))


def test_grounding_in_json():
    """The same stretch as another string, worth all that Temporal-RLT gives; its own words ask for it."""
    (plan,) = plans(TemporalGroundingJson(), happening(DOOR), 1)
    assert plan.answer == '{"start_time": "0.50", "end_time": "1.25"}'
    assert plan.reference.intervals == ((0.5, 1.25),)
    assert '<answer>{"start_time": "12.54", "end_time": "17.83"}</answer>' in plan.text
    question = Question("q", plan.text, (), "d", "s", task="temporal_grounding_json", reference=plan.reference)
    assert TemporalRLTReward()([plan.response((1, 1))], [question]).total.tolist() == [1.0]


def test_spans_hold_every_time_something_happens():
    twice = happening(DOOR, ("a door opens", 3.0, 3.4))
    (plan,) = plans(TemporalGroundingSpans(), twice, 1)
    assert plan.reference.intervals == ((0.5, 1.25), (3.0, 3.4))
    assert plan.answer == "[(0.50, 1.25), (3.00, 3.40)]"
    often = happening(*[("a door opens", k, k + 0.5) for k in range(4)])
    assert not TemporalGroundingSpans().serves(often)
    assert TemporalGroundingSpans(max_spans=4).serves(often)


def test_prompts_with_images_state_their_times():
    pictures = TemporalGrounding(FrameSampling(3, as_video=False))
    (plan,) = plans(pictures, happening(DOOR), 1)
    assert plan.text.startswith("The pictures are frames of a video, taken at 0.0, 2.0, 4.0 seconds.")
    assert not plan.as_video
    (plan,) = plans(TemporalGrounding(FrameSampling(3)), happening(DOOR), 1)
    assert "taken at" not in plan.text


# -- choices of events ---------------------------------------------------------------------------------------------


def options_of(text):
    return dict(re.findall(r"^([A-H])\. (.*)$", text, flags=re.MULTILINE))


def chosen(plan):
    return options_of(plan.text)[plan.reference.answer]


def test_first_last_next_and_during():
    clip = happening(LAMP, CUP, DOOR)
    texts = ["A door opens", "the lamp goes on", "a cup falls"]

    def asked(kind):
        return plans(EventChoice(kinds=(kind,)), clip, 40)

    for plan in asked("first"):
        order = [texts.index(text) for text in options_of(plan.text).values()]
        assert texts.index(chosen(plan)) == min(order)
    for plan in asked("last"):
        order = [texts.index(text) for text in options_of(plan.text).values()]
        assert texts.index(chosen(plan)) == max(order)
    for plan in asked("after"):
        given = next(text for text in texts if text in plan.text.split("\n")[0])
        assert texts.index(chosen(plan)) == texts.index(given) + 1
        assert given not in options_of(plan.text).values()
    for plan in asked("during"):
        start, end = map(float, re.findall(r"\d+\.\d\d", plan.text.split("\n")[0]))
        assert (start, end) == {"A door opens": (0.5, 1.25), "the lamp goes on": (1.5, 2.0), "a cup falls": (2.5, 3.5)}[
            chosen(plan)
        ]


def test_what_overlaps_is_no_wrong_option():
    """The radio plays all the time: it is no wrong answer to what happens meanwhile, nor clearly before or after."""
    clip = happening(DOOR, CUP, ("a radio plays", 0.0, 4.0))
    for kind in ("during", "first", "last", "after"):
        for plan in plans(EventChoice(kinds=(kind,)), clip, 40):
            wrong = set(options_of(plan.text).values()) - {chosen(plan)}
            assert "a radio plays" not in wrong
            assert chosen(plan) != "a radio plays"


def test_what_comes_shortly_before_or_after_is_no_wrong_option():
    """Nearer than the margin of 0.2 s; 0.25 s are enough. What lasts 0.1 s itself is not asked about."""
    clip = happening(("one", 1.0, 2.0), ("two", 2.1, 3.0), ("three", 3.25, 3.75), ("four", 3.85, 3.95))
    found = {}
    for plan in plans(EventChoice(kinds=("during",)), clip, 200):
        found.setdefault(chosen(plan), set()).update(options_of(plan.text).values())
    assert found == {
        "one": {"one", "three", "four"},
        "two": {"two", "three", "four"},
        "three": {"one", "two", "three"},
    }


def test_what_begins_just_before_the_end_may_be_next():
    """Two begins 0.1 s before one is over: neither it nor three is clearly next. 0.3 s before, it is under way."""

    def asked_after(start):
        clip = happening(("zero", 0.0, 0.5), ("one", 1.0, 2.0), ("two", start, 3.0), ("three", 3.5, 3.9))
        found = plans(EventChoice(kinds=("after",)), clip, 100)
        return {(plan.text.split("\n")[0].count("one") > 0, chosen(plan)) for plan in found}

    assert (True, "three") not in asked_after(1.9)
    assert (True, "three") in asked_after(1.7)
    assert (True, "two") in asked_after(2.0)


def test_simultaneous_starts_are_not_ordered():
    clip = happening(DOOR, ("a dog barks", 1.5, 2.0), ("the lamp goes on", 1.6, 2.1))
    after = plans(EventChoice(kinds=("after",)), clip, 40)
    assert {plan.text.split("\n")[0].count("A door opens") for plan in after} <= {0}
    for plan in plans(EventChoice(kinds=("first", "last")), clip, 60):
        assert {"a dog barks", "the lamp goes on"} != set(options_of(plan.text).values())
    assert not EventChoice(kinds=("first",)).serves(happening(DOOR, ("a dog barks", 0.6, 1.3)))


def test_the_same_in_other_words_is_offered_once():
    """1.5 to 2.0 and 1.6 to 2.0 share four fifths of their time."""
    clip = happening(DOOR, LAMP, CUP, ("someone lights the lamp", 1.6, 2.0))
    seen = set()
    for plan in plans(EventChoice(kinds=("during",)), clip, 60):
        if chosen(plan) in {"A door opens", "a cup falls"}:
            options = set(options_of(plan.text).values())
            assert len(options & {"the lamp goes on", "someone lights the lamp"}) == 1
            seen |= options
    assert {"the lamp goes on", "someone lights the lamp"} <= seen


def test_each_letter_is_right_as_often():
    clip = happening(LAMP, CUP, DOOR)
    letters = Counter(plan.reference.answer for plan in plans(EventChoice(kinds=("during",)), clip, 600))
    assert set(letters) == set("ABC")
    assert all(abs(count - 200) < 48 for count in letters.values())


def test_grounded_answers_give_the_interval():
    clip = happening(LAMP, CUP, DOOR)
    for plan in plans(GroundedEventChoice(), clip, 30):
        times = {"A door opens": (0.5, 1.25), "the lamp goes on": (1.5, 2.0), "a cup falls": (2.5, 3.5)}[chosen(plan)]
        assert plan.reference.intervals == (times,)
        assert plan.after == f"<glue>[({times[0]:.2f}, {times[1]:.2f})]</glue>"
        assert "between" not in plan.text


def test_kinds_are_checked():
    with pytest.raises(ConfigError, match="first, last, after, during"):
        EventChoice(kinds=("never",))
    for margin in (0.0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="margin_seconds is above 0"):
            EventChoice(margin_seconds=margin)


# -- boxes ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("square")
def test_tracking_shows_the_published_frames():
    """Of 41 frames: 0, then int(i 40 / 6) = 6, 13, 20, 26, 33, then 40, and the last box twice."""
    track = ObjectTrack(boxes([(2 * k + 10, 20) for k in range(41)], half=5))
    (plan,) = plans(ObjectTracking(min_pixels=10), happening(objects={"red_ball": track}), 1)
    assert plan.frame_indices == (0, 6, 13, 20, 26, 33, 40)
    assert len(plan.reference.boxes) == 8
    assert plan.reference.boxes[0] == (0.05, 0.3, 0.15, 0.5)
    assert plan.reference.boxes[6] == plan.reference.boxes[7] == (0.85, 0.3, 0.95, 0.5)
    assert "the red ball" in plan.text or "The red ball" in plan.text
    assert "[0.05, 0.3, 0.15, 0.5]" in plan.text
    assert plan.answer.startswith("[[0.05, 0.3, 0.15, 0.5], ")


@pytest.mark.usefixtures("square")
def test_tracking_needs_something_of_the_object_in_every_image():
    """Right of the 100 pixels, and below the 50: nothing that an answer could overlap."""
    inside, right, below = boxes([(50, 25)] * 41), boxes([(50, 25)] * 41), boxes([(50, 25)] * 41)
    right[-1] += [200, 0, 200, 0]
    below[0] += [0, 100, 0, 100]
    assert plans(ObjectTracking(), happening(objects={"ball": ObjectTrack(inside)}), 1)
    for outside in (right, below):
        assert plans(ObjectTracking(), happening(objects={"ball": ObjectTrack(outside)}), 5) == []


def test_tracking_needs_a_name_of_its_own():
    track = ObjectTrack(boxes([(50, 25)] * 41))
    assert not ObjectTracking().serves(happening(objects={"red_ball": track, "red ball": track}))
    assert not ObjectTracking().serves(happening(objects={" ": track}))
    other = ObjectTrack(boxes([(80, 25)] * 41))
    assert ObjectTracking().serves(happening(objects={"red_ball": track, "red_ball 2": other}))
    assert lone_names(happening(objects={" ": track, "ball": track})) == ["ball"]


@pytest.mark.usefixtures("square")
def test_tracking_needs_the_object_in_every_frame_shown():
    hidden = boxes([(20, 20)] * 41)
    hidden[20] = np.nan
    assert not ObjectTracking().serves(happening(objects={"ball": ObjectTrack(hidden)}))
    assert (
        ObjectTracking(num_boxes=5, repeat_last=False).serves(happening(objects={"ball": ObjectTrack(hidden)})) is False
    )
    hidden[20], hidden[19] = hidden[0], np.nan
    assert ObjectTracking().serves(happening(objects={"ball": ObjectTrack(hidden)}))
    assert not ObjectTracking().serves(happening(num_frames=6, objects={"ball": ObjectTrack(hidden[:6] * 0 + 1)}))
    plan = ObjectTracking(num_boxes=5, repeat_last=False).plan(
        happening(objects={"ball": ObjectTrack(boxes([(20, 20)] * 41))}), rng()
    )
    assert (plan.frame_indices, len(plan.reference.boxes)) == ((0, 10, 20, 30, 40), 5)


@pytest.mark.usefixtures("square")
def test_detection_asks_about_names_of_their_own():
    objects = {
        "red crate": ObjectTrack(boxes([(20, 20)] * 41, half=8)),
        "blue crate 1": ObjectTrack(boxes([(50, 20)] * 41, half=8)),
        "blue crate 2": ObjectTrack(boxes([(80, 20)] * 41, half=8)),
        "speck": ObjectTrack(boxes([(80, 40)] * 41, half=0.5)),
    }
    clip = happening(objects=objects)
    assert lone_names(clip) == ["red crate", "speck"]
    found = plans(Detection(), clip, 40)
    assert {plan.reference.boxes for plan in found} == {((0.12, 0.24, 0.28, 0.56),)}
    assert all("red crate" in plan.text and not plan.as_video for plan in found)


def test_boxes_are_cut_at_the_border():
    assert share_box(np.array([-10.0, 5, 50, 60]), (100, 50)) == (0.0, 0.1, 0.5, 1.0)


@pytest.mark.usefixtures("square")
def test_the_farthest_object_of_an_image():
    """Middles at x .2 .5 .8 and y .4 .8 .6 of the image."""
    tracks = {"ball": (20, 20), "ring": (50, 40), "cone": (80, 30)}
    clip = happening(objects={name: ObjectTrack(boxes([at] * 41, half=8)) for name, at in tracks.items()})
    right = {"left": "ball", "right": "cone", "highest": "ball", "lowest": "ring"}
    seen = Counter()
    for plan in plans(ImageGroundedChoice(), clip, 80):
        (word,) = [word for word in right if word in plan.text.split("\n")[0]]
        assert chosen(plan) == right[word]
        x, y = tracks[right[word]]
        assert plan.reference.boxes == (((x - 8) / 100, (y - 8) / 50, (x + 8) / 100, (y + 8) / 50),)
        seen[word] += 1
    assert set(seen) == set(right)
    near = {"a": ObjectTrack(boxes([(20, 20)] * 41)), "b": ObjectTrack(boxes([(24, 22)] * 41))}
    assert plans(ImageGroundedChoice(margin=0.1), happening(objects=near), 20) == []


def test_the_size_of_an_image_is_decoded_once(monkeypatch):
    calls = []
    monkeypatch.setattr(places_module, "read_frames", lambda clip, _: calls.append(clip) or [torch.zeros(3, 50, 100)])
    clip = happening()
    assert [places_module.image_size(clip) for _ in range(3)] == [(100, 50)] * 3
    assert len(calls) == 1


# -- captions and quality ------------------------------------------------------------------------------------------


def test_captions_describe_every_event_in_order():
    (plan,) = plans(EventCaption(), happening(CUP, DOOR, LAMP), 1)
    assert plan.reference.events == ("A door opens", "the lamp goes on", "a cup falls")
    assert plan.answer == "A door opens. The lamp goes on. A cup falls."
    (plan,) = plans(EventCaption(), happening(("ßing", 0.5, 1.0)), 1)
    assert plan.answer == "ßing."  # its capital would be SSing


def test_quality_names_what_was_done():
    words = {"blurred": Blur, "noisy": Noise, "dark": Darken, "clean": type(None)}
    seen = Counter()
    for plan in plans(ImageQuality(), happening(), 200):
        assert isinstance(plan.frame_transforms[0], words[plan.reference.answer])
        assert all(word in plan.text for word in words)
        seen[plan.verdict] += 1
    assert all(abs(count - 50) < 28 for count in seen.values())
    levels = {plan.reference.answer: plan.frame_transforms[0] for plan in plans(ImageQuality("blur"), happening(), 40)}
    assert levels["none"] is None
    assert levels["strong"].radius > levels["slight"].radius > 0


def test_images_get_worse():
    """Darken halves, noise has its deviation, blur takes a checkerboard's contrast away; all the same again."""
    grey = torch.full((3, 40, 40), 100, dtype=torch.uint8)
    assert torch.equal(Darken(0.5)(grey), grey // 2)
    noisy = Noise(20.0, 3)(grey)
    assert abs(float(noisy.float().std()) - 20) < 1.5
    assert torch.equal(noisy, Noise(20.0, 3)(grey))
    assert not torch.equal(noisy, Noise(20.0, 4)(grey))
    assert not torch.equal(noisy - grey, Noise(20.0, 3)(grey + 1) - grey - 1)
    board = ((torch.arange(40)[:, None] + torch.arange(40)[None]) % 2 * 200).to(torch.uint8).expand(3, 40, 40)
    assert float(Blur(0.05)(board).float().std()) < 10 < 90 < float(board.float().std())
    assert Blur(0.05)(board).dtype == torch.uint8


# -- with the published rewards on the embedded clips --------------------------------------------------------------


@pytest.fixture(scope="module")
def clips():
    return list(NativeReader().read(clips_root("embedded/tasks")))


@pytest.fixture(scope="module")
def reward():
    return reward_from(SYSTEMS / "videochat_r1.yaml")


FULL = {"grounded_qa": 3.0, "image_grounded_qa": 2.2}


@pytest.mark.parametrize("task", TASKS, ids=lambda task: f"{task.name}-{getattr(task, 'ask', '')}")
def test_the_right_response_earns_everything_and_another_does_not(task, clips, reward):
    """Each response is scored with its own question, then with that of a prompt with another reference."""
    dataset = task_prompts(task, clips, "train", 40)
    questions = [dataset.question(k, *dataset.plan(k), (1, 1)) for k in range(40)]
    assert all(isinstance(question, Question) for question in questions)
    scores = reward([question.response for question in questions], questions)
    assert torch.allclose(scores.total, torch.full((40,), FULL.get(task.name, 2.0)), atol=1e-5)
    assert bool(scores.success.all())
    shifted = reward([question.response for question in questions[1:] + questions[:1]], questions)
    assert float(shifted.total.mean()) < 0.85 * FULL.get(task.name, 2.0)
    assert float(shifted.success.float().mean()) < 0.7


def test_every_task_finds_clips_among_the_embedded(clips):
    for task in TASKS:
        assert sum(task.serves(clip) for clip in clips) >= 25


def test_processes_that_decode_give_the_same_prompts():
    settings = {"num_train_prompts_per_epoch": 16, "num_val_prompts": 9, "num_test_prompts": 9, "batch_size": 8}
    plain, workers = (data_module("embedded/tasks", tasks=TASKS, num_workers=number, **settings) for number in (0, 2))
    for data in (plain, workers):
        data.setup()
    for one, other in zip(plain.train_dataloader(), workers.train_dataloader(), strict=True):
        assert [q.text for q in one.questions] == [q.text for q in other.questions]
        for own, theirs in zip(one.videos, other.videos, strict=True):
            assert [video.pts_seconds for video in own] == [video.pts_seconds for video in theirs]
            assert all(torch.equal(a.frames, b.frames) for a, b in zip(own, theirs, strict=True))
        assert any(len(videos) == 1 for videos in one.videos)
        assert any(len(images) == 1 for images in one.images)


@pytest.mark.usefixtures("square")
@pytest.mark.parametrize(("half", "is_asked"), [(7.9, False), (8.0, True)])
def test_specks_are_no_detection_and_no_option(half, is_asked):
    """Images of 100 x 50 pixels: sides of 15.8 pixels are large shares of them, and less than an image patch."""
    far = {
        "ball": ObjectTrack(boxes([(20, 25)] * 41, half=half)),
        "cone": ObjectTrack(boxes([(80, 25)] * 41, half=half)),
    }
    clip = happening(objects=far)
    for task in (Detection(), ImageGroundedChoice()):
        assert task.serves(clip) == is_asked
        assert bool(is_asked and plans(task, clip, 20)) == is_asked


@pytest.mark.usefixtures("square")
def test_what_the_border_cuts_off_does_not_count():
    """Of a box 20 pixels wide 10 lie in the image."""
    clip = happening(objects={"ball": ObjectTrack(boxes([(0, 25)] * 41, half=10))})
    assert plans(Detection(), clip, 20) == []
    assert plans(Detection(min_pixels=10), clip, 20)
