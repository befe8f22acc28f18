"""Motion-o's questions: told motions by hand, the published reward's verdict, and bands in which nothing is asked."""

import math
from collections import Counter

import numpy as np
import pytest

from remot.data.annotations.native.reader import NativeReader
from remot.data.clips.bundled import clips_root
from remot.data.tasks import FrameSampling, ObjectMotion
from remot.data.tasks.images.object_motion import DIRECTIONS, screen_motion
from remot.errors import ConfigError
from remot.rewards import ExactAnswerReward, MotionPerturbationReward, MotionTrajectoryReward, TaggedFormatReward
from remot.rewards.functional.boxes import direction_of, scale_of, speed_of
from remot.structures import ObjectTrack, Question
from tests.data.handmade import boxes, clip_of
from tests.data.made import task_prompts


def rng(number=0):
    return np.random.default_rng(number)


@pytest.fixture(autouse=True)
def size(monkeypatch):
    """Images of 200 x 100 pixels that need not exist."""
    monkeypatch.setattr("remot.data.tasks.images.object_motion.image_size", lambda _: (200, 100))


def moving(*centres, sides=(30.0, 40.0)):
    """A clip of one second from image to image with a cup at these places, None where it is hidden."""
    held = boxes([(0.0, 0.0) if place is None else place for place in centres])
    for row, place in enumerate(centres):
        x, y = (math.nan, math.nan) if place is None else place
        half = sides[0] / 2, sides[1] / 2
        held[row] = [x - half[0], y - half[1], x + half[0], y + half[1]]
    return clip_of(len(centres), objects={"red_cup": ObjectTrack(held)})


def only_plan(clip, **settings):
    return ObjectMotion(**settings).plan(clip, rng())


def test_a_prompt_by_hand():
    """100 pixels to the right, twice its diagonal of 50, in the time between the first and last image."""
    clip = moving((50, 50), (90, 55), (150, 50))
    seconds = float(clip.pts_seconds[2] - clip.pts_seconds[0])
    plan = only_plan(clip)
    assert plan.answer == plan.verdict == "E"
    assert plan.frame_indices == (0, 1, 2)
    (track,) = plan.reference.tracks
    assert track.name == "red cup"
    assert track.boxes == ((35.0, 30.0, 65.0, 70.0), (75.0, 35.0, 105.0, 75.0), (135.0, 30.0, 165.0, 70.0))
    assert plan.thought == (
        f"<obj>red cup</obj><box>[35, 30, 65, 70]</box>at<t>{clip.pts_seconds[0]:.2f}</t>s then "
        f"<obj>red cup</obj><box>[135, 30, 165, 70]</box>at<t>{clip.pts_seconds[2]:.2f}</t>s "
        '<motion obj="red cup" dir="E" speed="fast" scale="stable"/>'
    )
    assert 2 / seconds > 0.3
    assert "red cup" in plan.text
    assert "pixels of 200 x 100" in plan.text


@pytest.mark.parametrize(
    ("shift", "direction"),
    [((40, 0), "E"), ((30, -30), "NE"), ((0, -40), "N"), ((-30, -30), "NW"), ((-40, 0), "W"), ((-30, 30), "SW"),
     ((0, 40), "S"), ((30, 30), "SE"), ((0.5, 0.5), "STAT")],
)  # fmt: skip
def test_directions_by_hand(shift, direction):
    """North is up on the screen, where y is smaller."""
    assert only_plan(moving((100, 50), (100 + shift[0], 50 + shift[1]))).answer == direction


def test_speed_and_scale_by_hand():
    """A box of 30 x 40 has a diagonal of 50. 10 pixels in 2 s are 0.1 diagonals a second: moderate begins there."""
    still = (0.0, 0.0, 30.0, 40.0)
    assert screen_motion(still, (10.0, 0.0, 40.0, 40.0), 2.0).speed == "moderate"
    assert screen_motion(still, (10.0, 0.0, 40.0, 40.0), 2.0).margin == pytest.approx(0)
    assert screen_motion(still, (8.0, 0.0, 38.0, 40.0), 2.0).speed == "slow"
    assert screen_motion(still, (40.0, 0.0, 70.0, 40.0), 2.0).speed == "fast"
    assert screen_motion(still, still, 2.0).speed == "stationary"
    grown = screen_motion(still, (0.0, 0.0, 30.0 * math.exp(0.2), 40.0), 2.0)  # log of the ratio of areas: 0.2
    assert (grown.scale, screen_motion((0.0, 0.0, 30.0 * math.exp(0.2), 40.0), still, 2.0).scale) == (
        "approaching",
        "receding",
    )
    assert screen_motion(still, (0.0, 0.0, 30.0 * math.exp(0.1), 40.0), 2.0).scale == "stable"


@pytest.mark.parametrize("seed", range(200))
def test_motions_are_those_of_the_reward(seed):
    """Two ways to work it out that share no code agree on random boxes, thresholds aside."""
    generator = rng(seed)
    corner, sides = generator.uniform(0, 100, (2, 2)), generator.uniform(5, 60, (2, 2))
    first, last = (tuple(np.concatenate([c, c + s]).tolist()) for c, s in zip(corner, sides, strict=True))
    if seed % 4 == 0:
        last = tuple(edge + shift for edge, shift in zip(first, [*generator.uniform(-4, 4, 2)] * 2, strict=True))
    seconds = float(generator.choice([0.3, 2.0, 40.0]))
    motion = screen_motion(first, last, seconds)
    if motion.margin > 1e-9:
        told = motion.direction, motion.speed, motion.scale
        assert told == (direction_of(first, last), speed_of(first, last, seconds), scale_of(first, last))


def test_embedded_responses_get_full_marks_from_the_published_rewards():
    """The told response is worth everything; without its tag it is worth nothing; all directions occur."""
    clips = list(NativeReader().read(clips_root("embedded/tasks")))
    task = ObjectMotion(frames=FrameSampling(6))
    dataset = task_prompts(task, clips, "train", 200)
    rewards = MotionTrajectoryReward(), ExactAnswerReward("exact"), TaggedFormatReward()
    found = Counter()
    for address in range(200):
        question = dataset.question(address, *dataset.plan(address), (1, 1))
        assert isinstance(question, Question)
        assert [reward([question.response], [question]).total.item() for reward in rewards] == [1.0, 1.0, 1.0]
        bare = question.response.replace("<motion ", "<moving ")
        assert rewards[0]([bare], [question]).total.item() == 0.0
        found[question.reference.answer] += 1
    assert set(found) == set(DIRECTIONS)
    assert max(found.values()) < 3 * min(found.values())


def test_the_perturbed_answer_is_compared():
    """Told without the motion, a frozen video's answer differs in direction and speed: 0.5 + 0.3."""
    from remot.structures import with_counterfactuals

    plan = only_plan(moving((50, 50), (150, 50)))
    question = Question("q", plan.text, (), "d", "s", task="object_motion", reference=plan.reference)
    frozen = plan.response((1, 1)).replace('dir="E" speed="fast"', 'dir="STAT" speed="stationary"')
    total = MotionPerturbationReward()([plan.response((1, 1))], [with_counterfactuals(question, [frozen])]).total
    assert total.tolist() == pytest.approx([0.8])


@pytest.mark.parametrize(
    "clip",
    [
        moving((50, 50), None, None),
        moving((50, 50), (56, 50 - 2.4)),  # 21.8 degrees, near the border at 22.5
        moving((50, 50), (52.9, 50)),  # 2.9 of 3 pixels
        moving((50, 50), (90, 50), sides=(0.0, 40.0)),
        clip_of(5),
        clip_of(2, objects={f"cup {k}": ObjectTrack(boxes([(10, 10), (50, 10)])) for k in range(2)}),
    ],
)
def test_ambiguous_motion_is_not_asked_about(clip):
    assert not ObjectMotion().serves(clip)


def test_hidden_ends_are_left_out():
    """First and last are the first and last time it is seen among the frames shown."""
    plan = only_plan(moving(None, (50, 50), (50, 90), None))
    assert plan.answer == "S"
    assert len(plan.reference.tracks[0].boxes) == 2
    assert plan.frame_indices == (0, 1, 2, 3)


def test_settings():
    assert only_plan(moving((50, 50), (56, 50 - 2.4)), margin=0.0).answer == "E"
    with pytest.raises(ConfigError, match="margin"):
        ObjectMotion(margin=1.0)


@pytest.mark.parametrize(("name", "is_asked"), [("x" * 64, True), ("x" * 65, False), ('12" pipe', False)])
def test_a_name_that_no_tag_can_hold_is_not_asked_about(name, is_asked):
    """The reward reads 64 characters between the quotes of a tag."""
    held = moving((50, 50), (150, 50)).objects["red_cup"]
    assert ObjectMotion().serves(clip_of(2, objects={name: held})) is is_asked
