"""Tasks that ask for the answer at once: the same questions, other closings, and the formats that belong to them."""

from functools import cache

import pytest
import torch

from remot.answers import answer_char_spans
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
from tests.data.made import task_prompts
from tests.helpers import PROJECT

R1_5 = PROJECT / "configs" / "systems" / "videochat_r1_5.yaml"
KINDS = (
    TemporalGrounding,
    TemporalGroundingJson,
    TemporalGroundingSpans,
    ObjectTracking,
    EventChoice,
    GroundedEventChoice,
    ImageGroundedChoice,
    Detection,
    EventCaption,
    ImageQuality,
)
NUM_PROMPTS = 24


@cache
def clips():
    return tuple(NativeReader().read(clips_root("embedded/tasks")))


def asked(task):
    dataset = task_prompts(task, clips(), "train", NUM_PROMPTS)
    plans = [dataset.plan(k) for k in range(NUM_PROMPTS)]
    return [(plan, dataset.question(k, clip, plan, (1, 1))) for k, (clip, plan) in enumerate(plans)]


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_closing_and_the_thought_are_missing(kind):
    for (plan, one), (other_plan, other) in zip(asked(kind()), asked(kind(thinks=False)), strict=True):
        assert plan.frame_indices == other_plan.frame_indices
        assert vars(one.reference) == vars(other.reference)
        assert one.text.splitlines()[:-1] == other.text.splitlines()[:-1]
        assert "<think>...</think>" in one.text
        assert "think" not in other.text.lower()
        assert "<answer>" in other.text.splitlines()[-1]
        assert ("<glue>" in one.text) == ("<glue>" in other.text)
        assert one.response == f"<think>{plan.thought}</think>{other.response}"
        assert other.response.startswith(f"<answer>{plan.answer}</answer>")


def test_the_loss_covers_the_elements_only():
    for plan, question in asked(GroundedEventChoice(thinks=False)):
        letter, stretches = (question.response[start:end] for start, end in answer_char_spans(question.response))
        assert letter == plan.answer
        assert f"<glue>{stretches}</glue>" == plan.after


def test_prompts_state_image_times_in_both():
    for (_, one), (_, other) in zip(
        asked(TemporalGrounding(FrameSampling(3, as_video=False))),
        asked(TemporalGrounding(FrameSampling(3, as_video=False), thinks=False)),
        strict=True,
    ):
        assert "taken at" in one.text.splitlines()[0]
        assert one.text.splitlines()[0] == other.text.splitlines()[0]


#: What a right answer earns: format, letter, overlap; 0.2 for the box of an image.
FULL = {
    TemporalGroundingSpans: 2.0,
    GroundedEventChoice: 3.0,
    ImageGroundedChoice: 2.2,
    Detection: 2.0,
    EventChoice: 2.0,
}


@pytest.mark.parametrize("kind", FULL)
def test_the_recipe_of_r1_5_rewards_answers_at_once(kind):
    """The told response earns everything; with a thought before it the format is lost and nothing else."""
    reward, questions = reward_from(R1_5), [question for _, question in asked(kind(thinks=False))]
    responses = [question.response for question in questions]
    assert torch.allclose(reward(responses, questions).total, torch.full((NUM_PROMPTS,), FULL[kind]))
    thought = [f"<think>so</think>{response}" for response in responses]
    assert torch.allclose(reward(thought, questions).total, torch.full((NUM_PROMPTS,), FULL[kind] - 1))
