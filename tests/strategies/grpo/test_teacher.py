"""Token credit in a step: what the teacher is shown, what it changes, and when it changes nothing."""

from dataclasses import replace

import pytest
import torch

from remot.errors import ConfigError
from remot.strategies import PrivilegedTeacher
from remot.strategies.objective import StepAddress
from remot.structures import PromptBatch, Question
from tests.helpers import assert_close
from tests.strategies.grpo.test_objective import ADDRESS, FirstLetterReward, assert_same_update, objective_of, update
from tests.tiny import encode, make_batch, make_lora_policy


class SameTeacher(PrivilegedTeacher):
    """Is shown no answer, and so says what the policy says."""

    def hinted(self, question):
        return question


def ragged():
    policy = make_lora_policy()
    policy.logit_bias[policy.eos_token_ids[0]] = 4.0  # completions of different lengths
    return policy


def updated(teacher, address=ADDRESS, batch=None, size=2):
    policy = ragged()
    objective = objective_of(FirstLetterReward(), teacher=teacher)
    return update(objective.prepare(policy, batch or make_batch(3), address, size), policy)


def test_a_teacher_that_knows_nothing_changes_nothing():
    assert_same_update(updated(SameTeacher()), updated(None))


def test_the_weight_ends_after_its_steps():
    late = StepAddress(0, 7)
    assert_same_update(updated(PrivilegedTeacher(decay_steps=7), late), updated(None, late))
    assert [PrivilegedTeacher(0.5, 10).strength_at(step) for step in (0, 5, 10, 99)] == [0.5, 0.25, 0, 0]
    assert PrivilegedTeacher(0.5, None).strength_at(10**6) == 0.5


def test_tokens_weigh_as_the_hinted_prompt_says():
    """Against log-probabilities of a pass of its own, prompt by prompt, behind the written-out question."""
    policy, batch = ragged(), make_batch(3)
    teacher = PrivilegedTeacher(strength=1.0, decay_steps=None, clip=0.9)
    losses = objective_of(FirstLetterReward(), teacher=teacher).prepare(policy, batch, ADDRESS, 2).micro_losses
    ids = losses.rollout.token_ids
    assert losses.advantages.any()
    for row, question in enumerate(batch.questions):
        hinted = replace(question, text=f"{question.text}\nThe right response is: {question.response}")
        alone = PromptBatch([batch.images[row]], [hinted], [batch.clip_ids[row]])
        plain = PromptBatch([batch.images[row]], [question], [batch.clip_ids[row]])
        with torch.no_grad():
            known, own = (policy.completion_logprobs(encode(policy, one), ids[row : row + 1]) for one in (alone, plain))
        sign, mask = losses.advantages[row].sign()[:, None], losses.mask[row]
        mask = mask & losses.advantages[row].any()  # no credit is computed for a group without a difference
        expected = torch.where(mask, (sign * (known - own)[0]).exp().clamp(0.1, 1.9), 1.0)
        part = slice(row, row + 1)
        weights = losses.taught.credit(part, losses.advantages[part], own)[0]
        assert_close(weights, expected, rtol=1e-3, atol=1e-4)
        assert (weights[mask & (sign != 0)] != 1).any() or not sign.any()


def test_micro_batches_change_nothing():
    updates = [updated(PrivilegedTeacher(), size=size) for size in (3, 2, 1)]
    assert any(gradient.any() for gradient in updates[0][1].values())
    for other in updates[1:]:
        assert_same_update(other, updates[0])


def test_a_prompt_without_a_right_response_is_weighed_alike():
    batch = make_batch(2)
    batch.questions[:] = [Question(f"q{n}", "?", (), "d", "s", task="caption") for n in range(2)]
    assert_same_update(updated(PrivilegedTeacher(), batch=batch), updated(None, batch=batch))


@pytest.mark.parametrize(
    "wrong", [{"strength": 0.0}, {"strength": 1.1}, {"clip": 1.0}, {"decay_steps": 0}, {"hint": "no place"}]
)
def test_settings_that_cannot_work(wrong):
    with pytest.raises(ConfigError, match="teacher"):
        PrivilegedTeacher(**wrong)
