"""What the engine under a training step may change (memory, time) and what it may not, and what it tells."""

import dataclasses
import logging
from functools import partial

import pytest
import torch

from remot.losses import GRPOLoss, TruncatedImportance
from remot.models import FullWeights
from remot.rollout.decoding.engine import RolloutEngine, RolloutSettings
from remot.strategies import GRPO, SFT, SFTObjective
from remot.strategies.objective import StepAddress
from tests.strategies.grpo.test_objective import ADDRESS, assert_same_update, objective_of, update
from tests.strategies.test_module import fit, ready_module
from tests.tiny import FAMILIES, make_batch, make_lora_policy, make_policy, randomise_, snapshot

SGD = partial(torch.optim.SGD, lr=0.1)
MEAN, MAX = "rollout/logprob_gap_mean", "rollout/logprob_gap_max"


# -- sampler and scoring pass --------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("make", [make_lora_policy, partial(make_policy, adaptation=FullWeights())])
def test_the_gap_is_rounding_in_single_precision(family, make):
    policy = make(family)
    policy.logit_bias[policy.eos_token_ids[0]] = 3.0
    prepared = objective_of(loss=GRPOLoss(beta=0.1)).prepare(policy, make_batch(3), ADDRESS, 2)
    assert prepared.late_metrics() == {}, "nothing has been scored yet"
    update(prepared, policy)
    gaps = prepared.late_metrics()
    assert 0 < gaps[MEAN] <= gaps[MAX] < 1e-5


def test_the_gap_by_hand():
    """Each second token of the sampler is off by a half: the mean is the share of such tokens times a half."""
    policy = make_lora_policy()
    policy.logit_bias[policy.eos_token_ids[0]] = 5.0
    prepared = objective_of().prepare(policy, make_batch(3), ADDRESS, 2)
    rollout = prepared.micro_losses.rollout
    rollout.logprobs[..., ::2] -= 0.5
    mask = rollout.completion_mask
    assert not mask.all()
    rollout.logprobs[~mask] = 100.0  # padding is no token
    update(prepared, policy)
    gaps = prepared.late_metrics()
    turn = torch.arange(mask.shape[-1]) % 2 == 0
    assert gaps[MAX] == pytest.approx(0.5, abs=1e-4)
    assert gaps[MEAN] == pytest.approx(0.5 * float((mask & turn).sum() / mask.sum()), abs=1e-4)


@pytest.mark.parametrize("size", [1, 3])
def test_the_gap_is_that_before_the_weights_move(size):
    policy = make_lora_policy()
    prepared = objective_of(updates_per_rollout=2).prepare(policy, make_batch(3), ADDRESS, size)
    update(prepared, policy)
    before = prepared.late_metrics()
    randomise_(policy.trainable_parameters(), seed=9)
    update(prepared, policy)
    assert prepared.late_metrics() == before
    assert before[MAX] < 1e-5


def test_the_gap_is_logged(tmp_path):
    notebook, _ = fit(ready_module(GRPO()), tmp_path, max_steps=1)
    (metrics,) = notebook.logged
    assert 0 < metrics[f"train/{MEAN}"] <= metrics[f"train/{MAX}"] < 1e-5


# -- memory --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("correction", [pytest.param(None, marks=pytest.mark.slow), TruncatedImportance(2.0)])
def test_smaller_micro_batches_in_the_middle_of_a_rollout_change_nothing(correction):
    """What is kept between updates (reference, log-probabilities before the first) is found for other parts too."""
    policy, batch = make_lora_policy(), make_batch(4)
    objective = objective_of(loss=GRPOLoss(beta=0.1), updates_per_rollout=2, correction=correction)
    results = []
    for sizes in ((4, 4), (4, 2), (3, 1)):
        trained = make_lora_policy()
        prepared = objective.prepare(trained, batch, ADDRESS, 4)
        for size in sizes:
            trained.zero_grad()
            for output in prepared.micro_losses(size):
                output.loss.backward()
            with torch.no_grad():
                for parameter in trained.trainable_parameters():
                    parameter.sub_(0.1 * parameter.grad)
        results.append(snapshot(trained))
    assert policy.logit_bias.isfinite().any()
    for other in results[1:]:
        for name, wanted in results[0].items():
            torch.testing.assert_close(other[name], wanted, rtol=1e-5, atol=1e-6, msg=name)


def refusing(policy, most_prompts):
    """Let passes with gradient over more prompts run out of memory, as a small GPU would; tells what was asked."""
    asked, real = [], policy.completion_logprobs

    def completion_logprobs(encoded, completion_ids, wanted=None, **settings):
        if torch.is_grad_enabled() and not settings.get("use_reference"):
            asked.append(len(encoded))
            if len(encoded) > most_prompts:
                raise torch.OutOfMemoryError("CUDA out of memory (simulated)")
        return real(encoded, completion_ids, wanted, **settings)

    policy.completion_logprobs = completion_logprobs
    return asked


@pytest.mark.parametrize("strategy", [GRPO, SFT])
def test_running_out_of_memory_in_training_halves_and_changes_no_step(tmp_path, caplog, strategy):
    """Batches of two prompts, room for one: the weights after two steps are those of a run with enough memory."""
    plenty = ready_module(strategy(), optimizer=SGD, micro_batch_prompts=2)
    fit(plenty, tmp_path)
    module = ready_module(strategy(), optimizer=SGD, micro_batch_prompts=16)  # more than there are
    asked = refusing(module.policy, most_prompts=1)
    with caplog.at_level(logging.WARNING):
        fit(module, tmp_path)
    assert asked == [2, 1, 1, 1, 1], "the second step begins with what did fit"
    assert "training on 2 prompts" in caplog.text
    weights = dict(plenty.policy.named_parameters())
    for name, parameter in module.policy.named_parameters():
        torch.testing.assert_close(parameter, weights[name], rtol=1e-4, atol=1e-6, msg=name)


ATTEMPTS = []


class RefusingOnce(SFTObjective):
    """Runs out of memory after the first prompt of the first attempt."""

    def prepare(self, policy, batch, address, micro_batch_prompts):
        prepared = super().prepare(policy, batch, address, micro_batch_prompts)

        def micro_losses(size):
            ATTEMPTS.append((size, torch.is_grad_enabled()))
            parts = prepared.micro_losses(1)
            yield next(parts)
            if len(ATTEMPTS) == 1:
                raise torch.OutOfMemoryError("simulated")
            yield from parts

        return dataclasses.replace(prepared, micro_losses=micro_losses)


def test_gradients_of_the_attempt_that_failed_do_not_stay(tmp_path):
    """The first prompt's gradient was there when the second prompt failed: it is not counted twice."""
    plenty, module = (ready_module(SFT(), optimizer=SGD, micro_batch_prompts=2) for _ in range(2))
    fit(plenty, tmp_path, max_steps=1)
    module.objectives = {"SFT": RefusingOnce(loss_on="response")}
    ATTEMPTS.clear()
    fit(module, tmp_path, max_steps=1)
    assert ATTEMPTS == [(2, True), (1, True), (1, False)], "the last pass checks that the updated weights are finite"
    weights = dict(plenty.policy.named_parameters())
    for name, parameter in module.policy.named_parameters():
        torch.testing.assert_close(parameter, weights[name], rtol=1e-5, atol=1e-7, msg=name)


def test_automatic_micro_batches(tmp_path):
    """Without a GPU four prompts, or as many as there are; the step is the same."""
    prepared = objective_of().prepare(make_lora_policy(), make_batch(5), ADDRESS, "auto")
    assert prepared.micro_batch_prompts == 4
    assert len(list(prepared.micro_losses())) == 2
    assert SFTObjective().prepare(make_lora_policy(), make_batch(2), ADDRESS, "auto").micro_batch_prompts == 2
    module, wanted = (ready_module(GRPO(), optimizer=SGD, micro_batch_prompts=size) for size in ("auto", 1))
    fit(module, tmp_path)
    fit(wanted, tmp_path)
    weights = dict(wanted.policy.named_parameters())
    for name, parameter in module.policy.named_parameters():
        torch.testing.assert_close(parameter, weights[name], rtol=1e-4, atol=1e-6, msg=name)


# -- the same completions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings", [{"prompts_together": 1}, {"prompts_together": 3, "check_every": 5}, {"decode": "plain"}]
)
def test_the_step_does_not_depend_on_how_it_is_decoded(settings):
    policy, batch = make_lora_policy(), make_batch(4)
    policy.logit_bias[policy.eos_token_ids[0]] = 3.0
    objective = objective_of(loss=GRPOLoss(beta=0.1))
    address = StepAddress(0, 0, engine=RolloutEngine(RolloutSettings(**settings)))
    one, other = (objective.prepare(policy, batch, place, 2) for place in (address, ADDRESS))
    assert [sample.completions for sample in one.samples] == [sample.completions for sample in other.samples]
    assert_same_update(update(one, policy), update(other, policy))


def test_training_and_evaluation_use_the_settings_of_the_module(tmp_path):
    module = ready_module(GRPO(), rollout=RolloutSettings(prompts_together=1))
    sizes, real = [], module.policy.prefill
    module.policy.prefill = lambda encoded: (sizes.append(len(encoded)), real(encoded))[1]
    fit(module, tmp_path, max_steps=1)
    assert sizes == [1, 1]
    module.test_step(make_batch(3), 0)
    assert sizes == [1] * (2 + 3 + 3), "a test samples an answer to each prompt, and decodes one greedily"
