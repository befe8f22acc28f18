"""Distillation in a step: the plain formula over whole vocabularies, and an average that resumes exactly."""

from dataclasses import replace

import pytest
import torch

from remot.errors import ConfigError
from remot.losses import Distillation, Entropy, NoPolicyLoss
from remot.models import FullWeights, LoRA
from remot.strategies import GRPO, GRPOObjective, PrivilegedTeacher
from remot.structures import PromptBatch, Question
from tests.helpers import assert_close
from tests.strategies.grpo.test_objective import ADDRESS, FirstLetterReward, assert_same_update, objective_of, update
from tests.strategies.grpo.test_teacher import SameTeacher, ragged
from tests.strategies.test_module import fit, is_result, make_module
from tests.tiny import encode, make_batch, make_policy, randomise_

ALONE = {"strength": 0.0, "distillation": Distillation(beta=0.3)}


def distilled(teacher, **settings):
    return objective_of(FirstLetterReward(), NoPolicyLoss(), teacher=teacher, **settings)


def shown(batch, row, text):
    return PromptBatch([batch.images[row]], [replace(batch.questions[row], text=text)], [batch.clip_ids[row]])


def distributions(policy, prompt, ids, mask):
    """[M, tokens that may be sampled] probabilities that one group's tokens were drawn from, kept whole."""
    with policy._pass() as model:
        states = policy._predicting_states(model, encode(policy, prompt), ids[None], mask[None], shares_prompts=False)
        logits = policy.family.head(model)(states) + policy.logit_bias
        return logits[:, policy.logit_bias.isfinite()].softmax(-1)


@pytest.mark.parametrize("adaptation", ["lora", "full"])
def test_loss_and_gradient_are_those_of_the_plain_formula(adaptation):
    """Group by group behind written-out questions, over whole vocabularies, the mean over all tokens of the batch.

    With adapters the head is frozen, otherwise it is trained and its logits are computed again.
    """
    policy, batch = ragged() if adaptation == "lora" else make_policy(adaptation=FullWeights()), make_batch(3)
    prepared = distilled(PrivilegedTeacher(**ALONE)).prepare(policy, batch, ADDRESS, 2)
    ids, mask = prepared.micro_losses.rollout.token_ids, prepared.micro_losses.mask
    totals, gradients = update(prepared, policy)

    policy.zero_grad()
    plain = 0.0
    for row, question in enumerate(batch.questions):
        hinted = shown(batch, row, f"{question.text}\nThe right response is: {question.response}")
        own = distributions(policy, shown(batch, row, question.text), ids[row], mask[row])
        with torch.no_grad():
            taught = distributions(policy, hinted, ids[row], mask[row])
        mixture = 0.3 * taught + 0.7 * own
        gaps = 0.3 * taught * (taught / mixture).log() + 0.7 * own * (own / mixture).log()
        plain = plain + gaps.sum() / mask.sum()
    plain.backward()
    assert totals["loss"] == pytest.approx(plain.item(), rel=1e-4)
    assert totals["divergence"] == pytest.approx(plain.item(), rel=1e-4)
    assert plain.item() > 1e-4
    wanted = {name: p.grad for name, p in policy.named_parameters() if p.grad is not None}
    assert gradients.keys() == wanted.keys()
    for name, gradient in gradients.items():
        assert (gradient - wanted[name]).norm() <= 2e-3 * wanted[name].norm() + 1e-6, name


def test_a_teacher_that_knows_nothing_pulls_nowhere():
    policy = ragged()
    totals, gradients = update(distilled(SameTeacher(**ALONE)).prepare(policy, make_batch(3), ADDRESS, 2), policy)
    assert totals["divergence"] == pytest.approx(0.0, abs=1e-6)
    assert max(float(gradient.abs().max()) for gradient in gradients.values()) < 1e-5


def test_it_is_added_to_the_policy_loss():
    """The sum of the loss without a teacher and of the distillation alone, with the same mean."""
    weight = Distillation(beta=0.5, weight=0.7)
    teacher = PrivilegedTeacher(strength=0.0, distillation=weight)
    policy = ragged()
    parts = [
        update(one.prepare(policy, make_batch(3), ADDRESS, 2), policy)
        for one in (
            objective_of(FirstLetterReward()),
            objective_of(FirstLetterReward(), NoPolicyLoss(aggregation="sequence_mean"), teacher=teacher),
            objective_of(FirstLetterReward(), teacher=teacher),
        )
    ]
    (plain, plain_slopes), (alone, slopes_alone), (both, slopes) = parts
    assert both["loss"] == pytest.approx(plain["loss"] + alone["loss"], rel=1e-4, abs=1e-7)
    for name, slope in slopes.items():
        expected = plain_slopes[name] + slopes_alone[name]
        assert (slope - expected).norm() <= 1e-3 * expected.norm() + 1e-6, name


def test_groups_in_parts_change_nothing():
    """Completions of a prompt one by one, as where they are too long together."""
    policy, teacher = ragged(), PrivilegedTeacher(distillation=Distillation())
    settings = ({}, {"micro_batch_tokens": 1})
    objectives = [objective_of(FirstLetterReward(), teacher=teacher, **setting) for setting in settings]
    whole, parts = (update(one.prepare(policy, make_batch(2), ADDRESS, 2), policy) for one in objectives)
    assert any(gradient.any() for gradient in whole[1].values())
    assert_same_update(parts, whole)


def test_a_prompt_without_a_right_response_is_not_distilled():
    batch = make_batch(2)
    batch.questions[:] = [Question(f"q{n}", "?", (), "d", "s", task="caption") for n in range(2)]
    policy = ragged()
    totals, gradients = update(distilled(PrivilegedTeacher(**ALONE)).prepare(policy, batch, ADDRESS, 2), policy)
    assert totals["loss"] == 0.0
    assert not any(gradient.any() for gradient in gradients.values())


# -- the average ---------------------------------------------------------------------------------------------------


def averaging(kind):
    policy = ragged() if kind == "lora" else make_policy(adaptation=FullWeights())
    policy.keep_average()
    return policy


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_the_average_is_the_policy_that_it_was(kind):
    """What it says is what a policy with its weights says; once it has been moved, what one with the mean says."""
    policy, prompt = averaging(kind), make_batch(2)
    ids = torch.full((2, 1, 3), policy.pad_token_id)

    def said():
        with torch.no_grad():
            return policy.completion_logprobs(encode(policy, prompt), ids)

    policy.average.average(policy.model, 0.25, 0)
    before = {name: p.detach().clone() for name, p in policy.named_parameters() if name in policy.trained_names}
    first = said()
    randomise_((p for name, p in policy.named_parameters() if name in policy.trained_names), std=0.1, seed=9)
    now, other = {n: p.detach().clone() for n, p in policy.named_parameters() if n in policy.trained_names}, said()
    with policy.averaged():
        assert torch.equal(said(), first)
    assert not torch.allclose(other, first)
    policy.average.average(policy.model, 0.25, 1)
    policy.average.average(policy.model, 0.25, 1)  # a step that is begun again
    with policy.averaged():
        moved = said()
    assert torch.equal(said(), other)
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if name in before:
                parameter.copy_(0.75 * before[name] + 0.25 * now[name])
    assert_close(moved, said(), rtol=1e-4, atol=1e-5)


def test_an_average_in_half_precision_is_refused():
    """Of a rate of 0.01 nothing would be left after rounding."""
    policy = averaging("lora").bfloat16()
    policy.average.average(policy.model, 0.01, 0)
    with pytest.raises(ConfigError, match="bfloat16"):
        policy.average.average(policy.model, 0.01, 1)


def test_the_teacher_is_the_average():
    """Before it has moved it is the policy without adapters' updates, from which the policy has gone away."""
    policy = make_policy(adaptation=LoRA(rank=3, alpha=6.0))
    policy.keep_average()
    policy.average.average(policy.model, 0.1, 0)
    randomise_((p for name, p in policy.named_parameters() if name.endswith("lora_B.default.weight")), seed=1)
    live, averaged = (
        update(distilled(SameTeacher(average=rate, **ALONE)).prepare(policy, make_batch(3), ADDRESS, 2), policy)
        for rate in (None, 0.1)
    )
    assert live[0]["loss"] == pytest.approx(0.0, abs=1e-6)
    assert averaged[0]["loss"] > 1e-3
    credited = objective_of(FirstLetterReward(), teacher=SameTeacher(average=0.1, decay_steps=None))
    losses = credited.prepare(policy, make_batch(3), ADDRESS, 2).micro_losses
    with torch.no_grad():
        plain = policy.completion_logprobs(encode(policy, make_batch(3)), losses.rollout.token_ids, use_reference=True)
    known = losses.taught.known
    assert_close(losses.taught.logprobs[known], plain[known], rtol=1e-4, atol=1e-5)


def module_of(kind, **settings):
    teacher = PrivilegedTeacher(strength=0.5, decay_steps=None, average=0.2, distillation=Distillation())
    grpo = GRPOObjective(num_completions=3, max_new_tokens=5, reward=FirstLetterReward(), teacher=teacher)
    return make_module(GRPO(), {"lora": LoRA(rank=2), "full": FullWeights()}[kind], grpo=grpo, **settings)


def weights_of(module):
    """Trained ones and those of the average."""
    pairs = module.policy.average.pairs(module.policy.model)
    return [weight.detach().clone() for pair in pairs for weight in pair]


@pytest.mark.parametrize("kind", ["lora", pytest.param("full", marks=pytest.mark.slow)])
def test_two_steps_and_two_more_are_four_bit_for_bit(kind, tmp_path):
    whole, first, second = module_of(kind), module_of(kind), module_of(kind)
    at_once, _ = fit(whole, tmp_path, max_steps=4)
    begun, trainer = fit(first, tmp_path, max_steps=2)
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    continued, _ = fit(second, tmp_path, max_steps=4, ckpt_path=tmp_path / "two.ckpt", adapter_seed=99)
    logged = begun.logged + continued.logged
    assert len(logged) == len(at_once.logged) == 4
    for wanted, found in zip(at_once.logged, logged, strict=True):
        assert {name: repr(found[name]) for name in filter(is_result, wanted)} == {
            name: repr(wanted[name]) for name in filter(is_result, wanted)
        }
    kept = weights_of(second)
    assert all(torch.equal(one, other) for one, other in zip(kept, weights_of(whole), strict=True))
    assert not all(torch.equal(average, now) for average, now in zip(kept[::2], kept[1::2], strict=True))


def test_the_average_follows_the_steps(tmp_path):
    """θ̄ is θ₀ at step 0, then 0.8 θ̄ + 0.2 θ before each step; a checkpoint of a run without one begins anew."""
    weights = []
    module = module_of("lora")
    module.on_train_batch_start = lambda *_: weights.append(weights_of(module)[1::2])
    fit(module, tmp_path, max_steps=3)
    expected = weights[0]
    for later in weights[1:]:
        expected = [0.8 * average + 0.2 * now for average, now in zip(expected, later, strict=True)]
    for average, wanted in zip(weights_of(module)[::2], expected, strict=True):
        assert_close(average, wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    "wrong",
    [{"average": 0.0}, {"average": 1.0}, {"strength": -0.1, "distillation": Distillation()}],
)
def test_settings_that_cannot_work(wrong):
    with pytest.raises(ConfigError, match="teacher"):
        PrivilegedTeacher(**wrong)


def test_entropy_and_distillation_do_not_go_together():
    with pytest.raises(ConfigError, match=r"entropy.*distillation"):
        objective_of(FirstLetterReward(), teacher=PrivilegedTeacher(**ALONE), entropy=Entropy())


def test_without_a_teacher_no_average_is_kept():
    module = make_module(GRPO())
    module.configure_model()
    assert module.policy.average is None
    assert replace(module.objectives["GRPO"], teacher=PrivilegedTeacher(**ALONE)).average_rate == 0
