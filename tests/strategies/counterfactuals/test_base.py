"""Changed inputs: what is changed, that it has an address, that rewards see it and training does not."""

import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import yaml
from jsonargparse import ArgumentParser

from remot.errors import ConfigError
from remot.losses import GRPOLoss
from remot.rewards import Reward, ShuffledFramesReward
from remot.rollout.decoding.engine import generate
from remot.rollout.sampling import GREEDY, RolloutAddress, RolloutRequest, SamplingSettings
from remot.strategies import Counterfactual, FrozenFrames, GRPOObjective, MirroredImages, ShuffledFrames
from remot.strategies.counterfactuals.base import PromptInput, changed_batch, questions_with_counterfactuals
from remot.strategies.counterfactuals.inputs import exchanged_words, other_order
from remot.strategies.grpo.groups import merged_groups
from remot.strategies.grpo.step import StepSettings, sample_groups
from remot.strategies.objective import StepAddress
from remot.structures import (
    BoxTrack,
    Question,
    Reference,
    RewardOutput,
    Video,
    reference_of,
    task_of,
    with_counterfactuals,
)
from tests.helpers import PROJECT, make_question
from tests.strategies.grpo.test_objective import ADDRESS, FirstLetterReward, assert_same_update, objective_of, update
from tests.tiny import encode, make_batch, make_lora_policy, make_mixed_batch, make_policy, make_video, select

RANDOM = np.random.default_rng(0)


def levels(*values):
    """Frames of one grey level each, 2 x 3 pixels, whose first column is one brighter."""
    frames = torch.tensor(values, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 2, 3).clone()
    frames[..., 0] += 1
    return Video(frames, tuple(k / 2 for k in range(len(values))))


def last_column(frames):
    return frames[..., 0, 0, -1].tolist()


class Recorder(Reward):
    """Keeps the questions it is asked about."""

    name = "recorder"

    def __call__(self, completions, questions):
        self.questions = list(questions)
        total = torch.tensor([float(len(text)) for text in completions])
        return RewardOutput(total, {self.name: total}, total > 0)


# -- what is changed -----------------------------------------------------------------------------------------------


def test_shuffled_frames_keep_times_and_images():
    """Frames of the video change places, each at another's time; images beside it stay."""
    video, image = levels(10, 20, 30), make_batch(1).images[0][0]
    other = ShuffledFrames().change(PromptInput([image], [video, levels(5)], "what?"), RANDOM)
    assert sorted(last_column(other.videos[0].frames)) == [10, 20, 30]
    assert last_column(other.videos[0].frames) != [10, 20, 30]
    assert other.videos[0].pts_seconds == video.pts_seconds
    assert last_column(other.videos[1].frames) == [5]
    assert other.images == [image]
    assert other.text == "what?"
    assert last_column(video.frames) == [10, 20, 30]


def test_without_a_video_images_are_shuffled():
    pictures = list(levels(1, 2, 3).frames)
    other = ShuffledFrames().change(PromptInput(pictures, [], ""), RANDOM)
    assert sorted(map(last_column, other.images)) == [1, 2, 3]
    assert list(map(last_column, other.images)) != [1, 2, 3]


@pytest.mark.parametrize("counterfactual", [ShuffledFrames(), FrozenFrames()])
@pytest.mark.parametrize(("num_images", "lengths"), [(0, ()), (1, ()), (0, (1,)), (3, (1,))])
def test_where_there_is_no_order_there_are_no_counterfactuals(counterfactual, num_images, lengths):
    images = make_batch(2).images[1][:num_images]
    assert counterfactual.change(PromptInput(images, [make_video(n) for n in lengths], ""), RANDOM) is None


@pytest.mark.parametrize("count", [2, 3, 7])
def test_other_orders(count):
    """Never the order itself, and all frames are there."""
    orders = [tuple(other_order(count, np.random.default_rng(seed)).tolist()) for seed in range(60)]
    assert {tuple(sorted(order)) for order in orders} == {tuple(range(count))}
    assert tuple(range(count)) not in orders
    assert len(set(orders)) >= {2: 1, 3: 5, 7: 50}[count]
    assert other_order(1, RANDOM).tolist() == [0]


@pytest.mark.parametrize(("position", "level"), [(0.0, 10), (0.5, 30), (1.0, 50)])
def test_frozen_frames_show_one_all_the_time(position, level):
    video = levels(10, 20, 30, 40, 50)
    other = FrozenFrames(position).change(PromptInput([], [video], ""), RANDOM)
    assert last_column(other.videos[0].frames) == [level] * 5
    assert other.videos[0].pts_seconds == video.pts_seconds
    pictures = FrozenFrames(position).change(PromptInput(list(video.frames), [], ""), RANDOM)
    assert list(map(last_column, pictures.images)) == [level] * 5


@pytest.mark.parametrize(
    ("key_times", "shown"),
    [
        ((), [10] * 5),  # the first frame
        ((0.0, 2.0), [10] * 5),
        ((1.0, 2.0), [10, 20, 30, 30, 30]),  # the first key frame and what is before it
        ((1.2,), [10, 20, 30, 30, 30]),
        ((2.0,), [10, 20, 30, 40, 50]),
        ((9.0,), [10, 20, 30, 40, 50]),
    ],
)
def test_the_first_key_frame_is_frozen_as_in_motion_o(key_times, shown):
    """Frames at 0, 0.5, 1, 1.5 and 2 s; the key frames are the times of the earliest track."""
    box = (0.0, 0.0, 1.0, 1.0)
    tracks = [
        BoxTrack(name, times, (box,) * len(times)) for name, times in (("dog", (8.0, 9.0)), ("cat", key_times)) if times
    ]
    question = Question("p", "", (), "", "", reference=Reference(tracks=tuple(tracks) if key_times else None))
    video = levels(10, 20, 30, 40, 50)
    other = FrozenFrames().change(PromptInput([], [video], "", question), RANDOM)
    assert last_column(other.videos[0].frames) == shown
    pictures = FrozenFrames().change(PromptInput(list(video.frames), [], "", question), RANDOM)
    assert list(map(last_column, pictures.images)) == [10] * 5


def test_mirrored_images_and_words():
    """The bright column is on the other side, in images and frames; words change places in the question only."""
    video = levels(10, 20)
    shown = PromptInput(list(video.frames), [video], "Is it LEFT of the upper-right box, and bright?")
    other = MirroredImages().change(shown, RANDOM)
    assert other.text == "Is it RIGHT of the upper-left box, and bright?"
    assert list(map(last_column, other.images)) == [11, 21]
    assert last_column(other.videos[0].frames) == [11, 21]
    assert MirroredImages(exchanged=()).change(shown, RANDOM).text == shown.text
    assert MirroredImages().change(PromptInput([], [], "left"), RANDOM) is None


def test_exchanged_words():
    """Whole words, their capitals and everything around them; not parts of words."""
    pairs = (("left", "right"), ("clockwise", "counterclockwise"))
    text = "Left, right;\n leftover  bright counterclockwise A: left. Right_left"
    assert exchanged_words(text, pairs) == "Right, left;\n leftover  bright clockwise A: right. Left_right"
    assert exchanged_words(exchanged_words(text, pairs), pairs) == text
    assert exchanged_words(text, ()) == text


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (ShuffledFrames, {"num_completions": 0}, "at least 1"),
        (FrozenFrames, {"num_completions": 2}, "all be the same"),
        (FrozenFrames, {"position": 1.5}, "0 to 1"),
        (MirroredImages, {"exchanged": (("left", "right"), ("left", "up"))}, "different words"),
        (MirroredImages, {"exchanged": (("Left", "right"),)}, "lower case"),
    ],
)
def test_settings_that_make_no_sense(kind, settings, message):
    with pytest.raises(ConfigError, match=message):
        kind(**settings)


# -- addresses -----------------------------------------------------------------------------------------------------


def test_changes_have_an_address():
    """The same step changes in the same way, whatever else is in the batch; another step or seed does not."""
    batch = make_mixed_batch()
    batch.videos = [[make_video(6, seed=row)] for row in range(4)]

    def frames(rows, **address):
        changed = changed_batch(
            select(batch, rows), ShuffledFrames(), StepAddress(**({"seed": 0, "step": 0} | address))
        )
        return [videos[0].frames for videos in changed[2].videos]

    first = frames(range(4))
    assert all(torch.equal(a, b) for a, b in zip(first, frames(range(4)), strict=True))
    assert torch.equal(first[2], frames([2])[0])
    for address in ({"step": 1}, {"seed": 1}):
        assert any(not torch.equal(a, b) for a, b in zip(first, frames(range(4), **address), strict=True))


def test_prompts_without_a_change_are_left_out():
    """Prompt 3 shows nothing. The others have names of their own, so that errors and noise tell them apart."""
    batch = make_mixed_batch()
    rows, _, changed = changed_batch(batch, ShuffledFrames(), ADDRESS)
    assert rows == [0, 1, 2]
    assert [question.prompt_id for question in changed.questions] == [f"0-{k}/shuffled" for k in range(3)]
    assert [question.slots for question in changed.questions] == [batch.questions[k].slots for k in rows]
    assert changed.clip_ids == [batch.clip_ids[k] for k in rows]
    assert torch.equal(changed.images[0][0], batch.images[0][0])


# -- references ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OwnQuestion(Question):
    """A user's own, with a place for a reference."""

    reference: Reference | None = None
    extra: int = 0


def test_with_counterfactuals():
    """The rest of the question and of its reference stays, whatever kind of question it is."""
    plain = make_question("CAB")
    held = with_counterfactuals(plain, ["x", "y"])
    assert vars(reference_of(held)) == vars(Reference(answer="CAB", counterfactuals=("x", "y")))
    assert task_of(held) == task_of(plain)
    assert vars(held) | {"reference": None} == vars(plain)
    told = Question("q", "?", (), "d", "s", task="grounding", reference=Reference(number=2.0))
    own = OwnQuestion("q", "?", (), "d", "s", extra=3)
    for question, wanted in (
        (told, Reference(number=2.0, counterfactuals=("z",))),
        (own, Reference(counterfactuals=("z",))),
    ):
        held = with_counterfactuals(question, ["z"])
        assert type(held) is type(question)
        assert vars(held) | {"reference": None} == vars(question) | {"reference": None}
        assert vars(held.reference) == vars(wanted)


# -- rollouts ------------------------------------------------------------------------------------------------------


def completions_of(policy, batch, num_completions, sampling, prompt_ids):
    """What the policy says, rolled out by hand."""
    request = RolloutRequest(num_completions, 5, sampling, RolloutAddress(ADDRESS.seed, ADDRESS.step, prompt_ids))
    return generate(policy, encode(policy, batch), request).texts


@pytest.mark.parametrize(
    ("counterfactual", "sampling"),
    [(ShuffledFrames(2), SamplingSettings(temperature=0.9)), (FrozenFrames(), GREEDY), (MirroredImages(), None)],
)
def test_counterfactuals_are_completions_of_the_changed_input(counterfactual, sampling):
    policy, batch = make_policy(), make_mixed_batch()
    drawn = SamplingSettings(temperature=0.9)
    questions = questions_with_counterfactuals(policy, batch, counterfactual, ADDRESS, drawn, 5)
    rows, _, changed = changed_batch(batch, counterfactual, ADDRESS)
    names = tuple(f"0-{row}/{counterfactual.name}" for row in rows)
    wanted = completions_of(policy, changed, counterfactual.num_completions, sampling or drawn, names)
    found = [reference_of(questions[row]).counterfactuals for row in rows]
    assert [list(texts) for texts in found] == [list(texts) for texts in wanted]
    same = completions_of(policy, select(batch, rows), counterfactual.num_completions, sampling or drawn, names)
    assert [list(texts) for texts in found] != [list(texts) for texts in same]
    assert questions[3] is batch.questions[3]


def test_no_prompt_to_change_costs_no_rollout(monkeypatch):
    batch = select(make_mixed_batch(), [3])
    policy = make_policy()
    monkeypatch.setattr(policy, "process", None)
    assert (
        questions_with_counterfactuals(policy, batch, ShuffledFrames(), ADDRESS, SamplingSettings(), 5)
        == batch.questions
    )


def test_rewards_see_counterfactuals_and_nothing_else_changes():
    """The same completions, the same losses and gradients as without; the reward gets the references."""
    policy, batch = make_lora_policy(), make_mixed_batch()
    plain, compared = Recorder(), Recorder()
    without = objective_of(plain, GRPOLoss(beta=0.1)).prepare(policy, batch, ADDRESS, 2)
    having = objective_of(compared, GRPOLoss(beta=0.1), counterfactuals=ShuffledFrames(2)).prepare(
        policy, batch, ADDRESS, 2
    )
    assert [len(reference_of(question).counterfactuals or ()) for question in compared.questions[::3]] == [2, 2, 2, 0]
    assert all(reference_of(question).counterfactuals is None for question in plain.questions)
    assert [sample.completions for sample in having.samples] == [sample.completions for sample in without.samples]
    assert_same_update(update(having, policy), update(without, policy))
    assert set(having.metrics) - set(without.metrics) == {"rollout/counterfactual_seconds"}
    assert having.metrics["rollout/counterfactual_seconds"] > 0


class Looks(Reward):
    """1 for a completion with an even number of characters; a stand-in for accuracy that random texts reach."""

    name = "looks"

    def __call__(self, completions, questions):
        assert len(completions) == len(questions)
        total = torch.tensor([float(len(text) % 2 == 0) for text in completions])
        return RewardOutput(total, {self.name: total}, total > 0)


def test_t_grpo_end_to_end():
    """The bonus of SpaceR from a rollout: 0.3 for right completions of groups that are not worse than shuffled ones."""
    policy, batch = make_policy(), make_mixed_batch()
    reward = ShuffledFramesReward(Looks())
    settings = StepSettings(4, 5, SamplingSettings(), reward, ShuffledFrames(2))
    groups, scores = sample_groups(policy, batch, StepAddress(0, 0), settings)
    shuffled = questions_with_counterfactuals(policy, batch, ShuffledFrames(2), ADDRESS, SamplingSettings(), 5)
    for row, texts in enumerate(groups.rollout.texts):
        right = [float(len(text) % 2 == 0) for text in texts]
        others = [float(len(text) % 2 == 0) for text in reference_of(shuffled[row]).counterfactuals or ()]
        if others:
            reached = np.mean(right) >= 0.8 * np.mean(others)
            assert groups.rewards[row].tolist() == pytest.approx([0.3 * one * reached for one in right])
        else:
            assert groups.rewards[row].isnan().all()
    assert len(set(scores.total[:12].tolist())) == 2
    both = merged_groups(policy, [(groups, 1), (groups, 0)])
    assert both.counterfactual_seconds == groups.counterfactual_seconds > 0


# -- configuration -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "kind", "held"),
    [
        ("{class_path: remot.strategies.ShuffledFrames, init_args: {num_completions: 3}}", ShuffledFrames, 3),
        ("{class_path: remot.strategies.FrozenFrames, init_args: {position: 0.0}}", FrozenFrames, 1),
        ("{class_path: remot.strategies.MirroredImages, init_args: {exchanged: [[up, down]]}}", MirroredImages, 1),
    ],
)
def test_configuration(words, kind, held):
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(GRPOObjective, "grpo")
    config = parser.parse_object({"grpo": {"counterfactuals": yaml.safe_load(words)}})
    objective = parser.instantiate_classes(config).grpo
    assert type(objective.counterfactuals) is kind
    assert isinstance(objective.counterfactuals, Counterfactual)
    assert objective.counterfactuals.num_completions == held
    assert objective_of(FirstLetterReward()).counterfactuals is None


def test_documented_configuration():
    """Shuffled frames whose answers the documented reward compares with."""
    page = (PROJECT / "docs" / "video.md").read_text()
    (text,) = (one for one in re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL) if "grpo:" in one)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(GRPOObjective, "grpo")
    objective = parser.instantiate_classes(parser.parse_object(yaml.safe_load(text)["model"])).grpo
    assert type(objective.counterfactuals) is ShuffledFrames
    assert 2 * objective.counterfactuals.num_completions == objective.num_completions
    policy, batch, reward = make_policy(), make_mixed_batch(), Recorder()
    compared = replace(objective, max_new_tokens=3)
    assert compared.prepare(policy, batch, ADDRESS, 4).metrics["reward/temporal_bonus"] == 0  # none is right
    replace(compared, reward=reward).prepare(policy, batch, ADDRESS, 4)
    assert len(reference_of(reward.questions[0]).counterfactuals) == 4
