"""Entropy of the policy in a step: what it is, what its bonus adds, and which tokens the mask keeps."""

import pytest
import torch
from torch.distributions import Categorical

from remot.errors import ConfigError
from remot.losses import Entropy, GRPOLoss, top_entropy_mask
from tests.models.test_parity import assert_same_gradients, gradients_of, naive_inputs, naive_logits
from tests.strategies.grpo.test_objective import ADDRESS, objective_of, update
from tests.tiny import encode, make_batch, make_lora_policy, random_completions

TEMPERATURE = 0.8


def naive_entropies(policy, batch, completions, mask):
    """Of all real tokens, by the model's own forward pass and torch's distributions: [number of True in mask]."""
    rows = []
    for p, (images, question) in enumerate(zip(batch.images, batch.questions, strict=True)):
        inputs = naive_inputs(policy, images, question)
        for g in range(completions.shape[1]):
            completion = completions[p, g][mask[p, g]]
            logits = naive_logits(policy.core, inputs, completion)[-len(completion) - 1 : -1]
            allowed = logits[:, policy.logit_bias.isfinite()]
            rows.append(Categorical(logits=allowed / TEMPERATURE).entropy())
    return torch.cat(rows)


def test_entropies_and_their_gradients_are_those_of_the_distribution():
    policy, batch = make_lora_policy(), make_batch(2)
    completions, mask = random_completions(policy, 2, 2, 5)
    logprobs, entropies = policy.scored_with_entropies(encode(policy, batch), completions, temperature=TEMPERATURE)
    with torch.no_grad():
        wanted = policy.completion_logprobs(encode(policy, batch), completions, temperature=TEMPERATURE)
    assert torch.allclose(logprobs, wanted, atol=1e-5)
    actual = gradients_of(policy, (entropies[mask] ** 2).sum())
    naive = naive_entropies(policy, batch, completions, mask)
    assert torch.allclose(entropies[mask], naive, atol=1e-5)
    assert naive.min() > 0.5
    assert_same_gradients(actual, gradients_of(policy, (naive**2).sum()), tolerance=3e-5)


def step(entropy, micro_batch_prompts=2, **settings):
    """Metrics and gradients of one update of the same rollout."""
    policy = make_lora_policy(with_reference=False)
    objective = objective_of(loss=GRPOLoss(beta=0.0), entropy=entropy, **settings)
    prepared = objective.prepare(policy, make_batch(2), ADDRESS, micro_batch_prompts)
    return *update(prepared, policy), prepared, policy


def test_without_settings_there_is_no_metric_and_with_them_the_same_loss():
    plain, gradients, _, _ = step(None)
    measured, same, _, _ = step(Entropy())
    assert "entropy" not in plain
    assert measured["entropy"] > 0.5
    assert measured["loss"] == pytest.approx(plain["loss"], abs=1e-6)
    assert_same_gradients(same, gradients, tolerance=3e-5)


@pytest.mark.parametrize("aggregation", ["sequence_mean", "token_mean"])
def test_the_bonus_raises_the_mean_entropy_of_completions(aggregation):
    loss = GRPOLoss(beta=0.0, aggregation=aggregation)
    policy, batch = make_lora_policy(with_reference=False), make_batch(2)
    objective = objective_of(loss=loss, entropy=Entropy(bonus=0.5))
    prepared = objective.prepare(policy, batch, ADDRESS, 2)
    with_bonus, found = update(prepared, policy)
    plain = objective_of(loss=loss).prepare(policy, batch, ADDRESS, 2)
    without, gradients = update(plain, policy)
    rollout = prepared.micro_losses.rollout
    _, entropies = policy.scored_with_entropies(encode(policy, batch), rollout.token_ids)
    mask = rollout.completion_mask
    means = (entropies * mask).sum(-1) / mask.sum(-1) if aggregation == "sequence_mean" else entropies[mask]
    bonus = -0.5 * means.mean()
    assert with_bonus["loss"] - without["loss"] == pytest.approx(bonus.item(), abs=1e-5)
    policy.zero_grad()
    bonus.backward()
    of_bonus = {name: p.grad.clone() for name, p in policy.named_parameters() if p.grad is not None}
    assert_same_gradients(found, {name: gradients[name] + of_bonus[name] for name in found}, tolerance=1e-4)


def test_the_mask_leaves_the_tokens_of_high_entropy():
    totals, gradients, prepared, policy = step(Entropy(top_share=0.3))
    losses = prepared.micro_losses
    rollout, batch = losses.rollout, make_batch(2)
    logprobs, entropies = policy.scored_with_entropies(encode(policy, batch), rollout.token_ids)
    mask = rollout.completion_mask
    kept = top_entropy_mask(entropies.detach(), mask, 0.3)
    assert 0 < kept.sum() < mask.sum()
    for row in range(2):
        assert entropies[row][kept[row]].min() >= entropies[row][mask[row] & ~kept[row]].max()
    # the ratio is 1: the gradient is that of −A log π over what is kept, each completion by its whole length
    ratio = (logprobs - logprobs.detach()).exp()
    objective = ratio * losses.advantages[..., None] * kept
    loss = -((objective * mask).sum(-1) / mask.sum(-1)).mean()
    assert totals["loss"] == pytest.approx(loss.item(), abs=1e-5)
    policy.zero_grad()
    loss.backward()
    expected = {name: p.grad for name, p in policy.named_parameters() if p.grad is not None}
    assert_same_gradients(gradients, expected, tolerance=1e-4)


def test_micro_batches_change_nothing():
    whole, gradients, _, _ = step(Entropy(bonus=0.1, top_share=0.4))
    parts, same, _, _ = step(Entropy(bonus=0.1, top_share=0.4), micro_batch_prompts=1)
    for name in ("loss", "entropy", "policy_loss"):
        assert parts[name] == pytest.approx(whole[name], abs=1e-5)
    assert_same_gradients(same, gradients, tolerance=1e-4)


@pytest.mark.parametrize("settings", [{"bonus": -0.1}, {"bonus": float("nan")}, {"top_share": 0}, {"top_share": 1.5}])
def test_numbers_out_of_range_are_refused(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        Entropy(**settings)
