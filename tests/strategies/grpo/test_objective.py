"""The reinforced objective: advantages of groups, exact ratios and KL at the start, and losses that add up."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from remot.errors import ConfigError
from remot.losses import Entropy, GRPOLoss, GSPOLoss, TruncatedImportance
from remot.models import FullWeights, LoRA
from remot.rewards import ReMoTReward, Reward
from remot.rollout.sampling import GREEDY, SamplingSettings
from remot.strategies import GRPOObjective
from remot.strategies.grpo.step import GroupLosses
from remot.strategies.objective import StepAddress, micro_slices
from remot.structures import RewardOutput
from tests.helpers import assert_close
from tests.tiny import make_batch, make_lora_policy, make_policy, randomise_

ADDRESS = StepAddress(seed=0, step=0)


class FirstLetterReward(Reward):
    """A number that differs within a group of random texts: the code of the first character, modulo 7."""

    name = "letter"

    def __call__(self, completions, questions):
        assert len(completions) == len(questions)
        self.seen = list(zip(completions, (question.prompt_id for question in questions), strict=True))
        total = torch.tensor([float(ord(text[0]) % 7) if text else 0.0 for text in completions])
        return RewardOutput(total, {"letter": total, "none": torch.full_like(total, torch.nan)}, total > 3)


class ConstantReward(Reward):
    """Nothing to choose between."""

    name = "constant"

    def __call__(self, completions, questions):  # noqa: ARG002
        total = torch.full((len(completions),), 2.5)
        return RewardOutput(total, {"constant": total}, total > 3)


class FirstCompletionReward(Reward):
    """Only the first prompt has something to choose."""

    name = "first"

    def __call__(self, completions, questions):  # noqa: ARG002
        total = torch.zeros(len(completions))
        total[0] = 1.0
        return RewardOutput(total, {"first": total}, total > 0)


class RecordingLoss(GRPOLoss):
    """Keeps what it is given."""

    def __call__(
        self, logprobs, old_logprobs, ref_logprobs, advantages, completion_mask, *, normalizer=None, weights=None
    ):
        self.given = (logprobs.detach(), old_logprobs, ref_logprobs, advantages, completion_mask, normalizer)
        return super().__call__(
            logprobs, old_logprobs, ref_logprobs, advantages, completion_mask, normalizer=normalizer, weights=weights
        )


def objective_of(reward=None, loss=None, **settings):
    settings = {"num_completions": 3, "max_new_tokens": 6} | settings
    return GRPOObjective(reward=reward or FirstLetterReward(), loss=loss or GRPOLoss(), **settings)


def update(prepared, policy):
    """Summed loss and metrics of one update, and its gradients."""
    policy.zero_grad()
    totals = {"loss": 0.0}
    for output in prepared.micro_losses():
        output.loss.backward()
        for name, number in {"loss": output.loss.item(), **output.metrics}.items():
            totals[name] = totals.get(name, 0.0) + number
    return totals, {name: p.grad.clone() for name, p in policy.named_parameters() if p.grad is not None}


def assert_same_update(one, other):
    (totals, gradients), (wanted_totals, wanted) = one, other
    assert totals.keys() == wanted_totals.keys()
    for name, number in totals.items():
        assert_close(number, wanted_totals[name], rtol=1e-5, atol=1e-6)
    assert gradients.keys() == wanted.keys()
    for name, gradient in gradients.items():
        assert (gradient - wanted[name]).norm() <= 1e-5 * wanted[name].norm() + 1e-8, name


# -- losses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("aggregation", ["sequence_mean", "token_mean"])
@pytest.mark.parametrize("train_vision", [False, True])
def test_micro_batches_change_nothing(aggregation, train_vision):
    """Four prompts in one, two or four parts, or three and one: the same loss, metrics and gradients."""
    policy, batch = make_lora_policy(train_vision=train_vision), make_batch(4)
    policy.logit_bias[policy.eos_token_ids[0]] = 4.0  # completions of different lengths
    objective = objective_of(loss=GRPOLoss(beta=0.1, aggregation=aggregation))
    updates = [update(objective.prepare(policy, batch, ADDRESS, size), policy) for size in (4, 2, 1, 3)]
    assert updates[0][1], "no gradient, nothing shown"
    assert all(gradient.any() for gradient in updates[0][1].values())
    for other in updates[1:]:
        assert_same_update(other, updates[0])


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": GRPOLoss(beta=0.1, aggregation="token_mean")},
        {"loss": GSPOLoss(beta=0.1), "entropy": Entropy(bonus=0.01)},
        {"loss": GRPOLoss(beta=0.0), "correction": TruncatedImportance(level="sequence"), "mask_truncated": True},
    ],
    ids=["kl", "sequences_and_entropy", "importance"],
)
def test_parts_of_a_group_change_nothing(settings):
    """Completions one by one, some together, and all: in the first update, and after the weights have moved."""
    policy, batch = make_lora_policy(), make_batch(3)
    policy.logit_bias[policy.eos_token_ids[0]] = 4.0
    steps = [
        objective_of(num_completions=5, micro_batch_tokens=limit, **settings).prepare(policy, batch, ADDRESS, 2)
        for limit in (None, 1, 7)
    ]
    for weights in ("first", "moved"):
        updates = [update(step, policy) for step in steps]
        assert any(gradient.any() for gradient in updates[0][1].values())
        for other in updates[1:]:
            assert_same_update(other, updates[0])
        if weights == "first":
            randomise_(policy.trainable_parameters(), std=0.05, seed=5)
    gaps = [step.late_metrics() for step in steps]
    assert gaps[0]
    for other in gaps[1:]:
        assert other == pytest.approx(gaps[0], rel=1e-4, abs=1e-7)


@pytest.mark.parametrize("sizes", [(2, 1), (1, 2)], ids=["smaller", "larger"])
def test_parts_of_other_sizes_after_the_first_update_change_nothing(sizes):
    """As after memory has run out: the limit then divides the completions in other places."""
    policy, batch = make_lora_policy(), make_batch(2)
    policy.logit_bias[policy.eos_token_ids[0]] = 4.0
    objective = objective_of(num_completions=5, micro_batch_tokens=12, loss=GRPOLoss(beta=0.1))
    first, plain = objective.prepare(policy, batch, ADDRESS, 2), objective.prepare(policy, batch, ADDRESS, 2)
    places = [{part.completions.stop for part in first.micro_losses.parts(size)} for size in sizes]
    assert places[0] != places[1]
    list(first.micro_losses(sizes[0]))
    update(plain, policy)
    again = replace(first, micro_losses=partial(first.micro_losses, sizes[1]))
    assert_same_update(update(again, policy), update(plain, policy))
    randomise_(policy.trainable_parameters(), std=0.05, seed=5)
    assert_same_update(update(again, policy), update(plain, policy))
    assert first.late_metrics() == pytest.approx(plain.late_metrics(), rel=1e-4, abs=1e-7)


def test_a_part_has_at_most_so_many_tokens_unless_a_completion_has_more():
    policy, batch = make_lora_policy(), make_batch(2)
    policy.logit_bias[policy.eos_token_ids[0]] = 4.0
    objective = objective_of(num_completions=5, micro_batch_tokens=8, max_new_tokens=12)
    losses = objective.prepare(policy, batch, ADDRESS, 1).micro_losses
    parts = losses.parts(1)
    held = sum(part.of(losses.scored).int() for part in parts if part.rows.start == 0)
    assert held.equal(losses.scored[:1].int()), "every token of the first prompt once"
    assert 2 < len(parts) <= 10
    assert len(losses.parts(2)) == 5
    assert len(objective_of(num_completions=5).prepare(policy, batch, ADDRESS, 1).micro_losses.parts(1)) == 2


class ComparingLoss(GRPOLoss):
    """A loss of one's own, which may compare the completions of a group."""

    adds_up_over_completions = False


@pytest.mark.parametrize("whole", [{"loss": ComparingLoss()}, {"entropy": Entropy(top_share=0.5)}])
def test_what_compares_completions_takes_a_group_as_a_whole(whole):
    objective = objective_of(micro_batch_tokens=1, **whole)
    losses = objective.prepare(make_lora_policy(), make_batch(2), ADDRESS, 1).micro_losses
    assert [part.completions for part in losses.parts(1)] == [slice(0, 3)] * 2


@pytest.mark.parametrize("adaptation", [FullWeights, LoRA])
@pytest.mark.parametrize("train_vision", [False, True])
def test_first_ratio_is_exactly_one_and_kl_exactly_zero(adaptation, train_vision):
    """Before the first update policy, sampler and reference are one: bit for bit, with half the prompts at a time."""
    policy = make_policy(adaptation=adaptation(), train_vision=train_vision)
    loss = RecordingLoss(beta=0.1)
    prepared = objective_of(loss=loss).prepare(policy, make_batch(4), ADDRESS, 2)
    kl = 0.0
    for output in prepared.micro_losses():
        logprobs, old, reference, _, mask, _ = loss.given
        assert torch.equal(logprobs, old)
        assert torch.equal(logprobs[mask], reference[mask])
        assert not reference.requires_grad
        assert output.metrics["clip_fraction"] == 0
        kl += output.metrics["kl"]
    assert kl == 0.0


def test_kl_and_gradient_appear_once_the_policy_has_moved():
    policy, batch = make_lora_policy(), make_batch(2)
    totals, _ = update(objective_of(loss=GRPOLoss(beta=0.1)).prepare(policy, batch, ADDRESS, 4), policy)
    assert totals["kl"] > 1e-3


def test_policy_loss_by_hand():
    """At ratio 1 the objective is the mean advantage over completions, which is 0 within a group."""
    policy, reward = make_lora_policy(), FirstLetterReward()
    objective = objective_of(reward, loss=GRPOLoss(beta=0.0), num_completions=4)
    totals, gradients = update(objective.prepare(policy, make_batch(3), ADDRESS, 4), policy)
    assert abs(totals["loss"]) < 1e-6
    assert totals.keys() == {"loss", "policy_loss", "clip_fraction", "ratio_mean"}
    assert sum(float(gradient.abs().sum()) for gradient in gradients.values()) > 1e-3


def test_advantages_compare_completions_of_one_prompt():
    """Rewards as numpy standardises them, row by row, with the sample deviation."""
    policy, reward, loss = make_policy(), FirstLetterReward(), RecordingLoss()
    batch = make_batch(3)
    prepared = objective_of(reward, loss, num_completions=4).prepare(policy, batch, ADDRESS, 3)
    next(iter(prepared.micro_losses()))
    rewards = np.array([float(ord(text[0]) % 7) for text, _ in reward.seen]).reshape(3, 4)
    expected = (rewards - rewards.mean(1, keepdims=True)) / (rewards.std(1, ddof=1, keepdims=True) + 1e-4)
    assert_close(loss.given[3], expected, rtol=1e-5)
    assert [prompt_id for _, prompt_id in reward.seen] == [q.prompt_id for q in batch.questions for _ in range(4)]


def test_groups_without_differences_are_counted_and_teach_nothing():
    policy = make_lora_policy()
    prepared = objective_of(ConstantReward(), GRPOLoss(beta=0.0)).prepare(policy, make_batch(2), ADDRESS, 1)
    assert prepared.metrics["reward/frac_zero_std"] == 1.0
    totals, gradients = update(prepared, policy)
    assert totals["loss"] == 0.0
    assert not any(gradient.any() for gradient in gradients.values())
    half = objective_of(FirstCompletionReward()).prepare(policy, make_batch(2), ADDRESS, 1)
    assert half.metrics["reward/frac_zero_std"] == 0.5


def test_two_updates_of_one_rollout():
    """The second compares with the policy before the first, and asks the reference only once."""
    policy, loss, asked = make_lora_policy(), RecordingLoss(beta=0.1), []
    real = policy.reference_policy
    policy.reference_policy = lambda: (asked.append(1), real())[1]
    prepared = objective_of(loss=loss, updates_per_rollout=2).prepare(policy, make_batch(2), ADDRESS, 2)
    assert prepared.num_updates == 2
    next(iter(prepared.micro_losses()))
    logprobs, old, reference, _, mask, _ = loss.given
    assert torch.equal(logprobs, old)
    randomise_(policy.trainable_parameters(), seed=9)
    next(iter(prepared.micro_losses()))
    moved_logprobs, old_again, reference_again, *_ = loss.given
    assert torch.equal(old_again, old)
    assert torch.equal(reference_again, reference)
    assert len(asked) == 1
    assert (moved_logprobs - old)[mask].abs().max() > 0.01


def test_temperature_of_the_rollout_is_that_of_the_loss():
    prepared = objective_of(sampling=SamplingSettings(temperature=0.6)).prepare(
        make_lora_policy(), make_batch(2), ADDRESS, 2
    )
    next(iter(prepared.micro_losses()))
    assert prepared.late_metrics()["rollout/logprob_gap_max"] < 1e-5


@pytest.mark.parametrize(("train_vision", "num_calls"), [(False, 1), (True, 1 + 3)])
def test_images_are_encoded_once_for_rollout_reference_and_loss(train_vision, num_calls):
    policy, calls = make_lora_policy(train_vision=train_vision), []
    objective = objective_of(loss=GRPOLoss(beta=0.0 if train_vision else 0.1))
    policy.core.model.visual.register_forward_pre_hook(lambda *_: calls.append(1))
    update(objective.prepare(policy, make_batch(3), ADDRESS, 1), policy)
    assert len(calls) == num_calls


def test_no_reference_is_asked_where_beta_is_zero():
    loss = RecordingLoss(beta=0.0)
    objective = objective_of(loss=loss)
    assert not objective.needs_reference
    assert objective_of(loss=GRPOLoss(beta=0.1)).needs_reference
    next(iter(objective.prepare(make_policy(with_reference=False), make_batch(1), ADDRESS, 1).micro_losses()))
    assert loss.given[2] is None


# -- what is reported ----------------------------------------------------------------------------------------------


def test_metrics_and_samples():
    """Means over all completions; a part that never applies has no mean; completions in the order of their rewards."""
    policy, reward, batch = make_policy(), FirstLetterReward(), make_batch(3)
    policy.logit_bias[policy.eos_token_ids[0]] = 4.0
    prepared = objective_of(reward).prepare(policy, batch, ADDRESS, 1)
    totals = [float(ord(text[0]) % 7) if text else 0.0 for text, _ in reward.seen]
    metrics = dict(prepared.metrics)
    assert_close(metrics["reward/total"], np.mean(totals), rtol=1e-5)
    assert_close(metrics["reward/letter"], np.mean(totals), rtol=1e-5)
    assert np.isnan(metrics["reward/none"])
    assert_close(metrics["reward/success"], np.mean([total > 3 for total in totals]), rtol=1e-5)
    assert 1 <= metrics["completion/num_tokens"] <= 6
    assert 0 < metrics["completion/frac_finished"] < 1
    assert metrics["rollout/tokens_per_second"] > 0
    assert [sample.question for sample in prepared.samples] == list(batch.questions)
    assert [text for sample in prepared.samples for text in sample.completions] == [text for text, _ in reward.seen]
    assert [parts["total"] for sample in prepared.samples for parts in sample.rewards] == totals
    assert [sample.prompt_index for sample in prepared.samples] == [0, 1, 2]


def test_the_reward_of_remot_takes_what_a_random_model_says():
    metrics = objective_of(ReMoTReward()).prepare(make_policy(), make_batch(2), ADDRESS, 1).metrics
    assert {"reward/format", "reward/accuracy", "reward/conciseness", "reward/logic"} <= metrics.keys()


# -- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"num_completions": 1}, "num_completions"),
        ({"num_completions": 0}, "num_completions"),
        ({"updates_per_rollout": 0}, "updates_per_rollout"),
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"sampling": GREEDY}, "temperature"),
    ],
)
def test_settings_that_cannot_work(settings, key):
    with pytest.raises(ConfigError, match=key):
        GRPOObjective(**settings)


@pytest.mark.parametrize(
    ("num_prompts", "size", "slices"),
    [(4, 4, [(0, 4)]), (4, 9, [(0, 4)]), (4, 2, [(0, 2), (2, 4)]), (5, 2, [(0, 2), (2, 4), (4, 5)]), (0, 3, [])],
)
def test_micro_slices(num_prompts, size, slices):
    assert [(part.start, part.stop) for part in micro_slices(num_prompts, size)] == slices


def columns_of(policy):
    """Columns of every pass with gradient, from now on."""
    seen = []

    def note(_module, _args, settings):
        if torch.is_grad_enabled():
            seen.append(settings["inputs_embeds"].shape[1])

    policy.core.model.language_model.register_forward_pre_hook(note, with_kwargs=True)
    return seen


@pytest.mark.parametrize("beta", [0.0, 0.1])
@pytest.mark.parametrize("updates", [1, 2])
def test_groups_without_a_signal_are_skipped_where_that_is_exact(monkeypatch, beta, updates):
    """Only the first of three prompts has a signal: same loss and gradients as if all were computed."""
    policy, batch = make_lora_policy(), make_batch(3)
    results = []
    for computes_all in (False, True):
        with monkeypatch.context() as patch:
            if computes_all:
                patch.setattr(GroupLosses, "_scored", lambda self: self.mask)
            objective = objective_of(FirstCompletionReward(), GRPOLoss(beta=beta), updates_per_rollout=updates)
            prepared = objective.prepare(policy, batch, ADDRESS, 3)
        columns = columns_of(policy)
        totals, gradients = update(prepared, policy)
        results.append((totals["loss"], gradients, columns[0]))
        assert prepared.late_metrics()["rollout/logprob_gap_mean"] < 1e-5
    (loss, gradients, columns), (wanted, wanted_gradients, all_columns) = results
    assert loss == pytest.approx(wanted, abs=1e-7)
    assert gradients.keys() == wanted_gradients.keys()
    for name, gradient in gradients.items():
        assert_close(gradient, wanted_gradients[name], rtol=1e-4, atol=1e-7)
    assert columns < all_columns / 2 if beta == 0 else columns == all_columns


def test_without_any_signal_the_gradient_is_zero():
    """A backward pass must have something to go back through."""
    policy = make_lora_policy()
    totals, gradients = update(
        objective_of(ConstantReward(), GRPOLoss(beta=0.0)).prepare(policy, make_batch(2), ADDRESS, 2), policy
    )
    assert totals["loss"] == 0
    assert gradients
    assert not any(gradient.any() for gradient in gradients.values())


def test_a_loss_of_ones_own_is_computed_whole():
    """Nothing is known of what it does with an advantage of 0."""

    class Entropic(GRPOLoss):
        is_zero_without_advantage = False

    policy, batch = make_lora_policy(), make_batch(3)
    seen = []
    for loss in (Entropic(beta=0.0), GRPOLoss(beta=0.0)):
        columns = columns_of(policy)
        update(objective_of(FirstCompletionReward(), loss).prepare(policy, batch, ADDRESS, 3), policy)
        seen.append(columns[0])
    assert seen[0] > 2 * seen[1]
