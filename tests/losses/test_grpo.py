import math

import pytest
import torch

from remot.errors import ConfigError
from remot.losses import GRPOLoss, clipped_surrogate, grpo_loss
from tests.helpers import assert_close
from tests.reference import grpo as reference

AGGREGATIONS = ["sequence_mean", "token_mean"]
P, G, T = 3, 4, 5


def random_batch(seed=0):
    """Policies that differ enough for some tokens to be clipped, and completions of 0 to T tokens."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    old = -normal(P, G, T).abs()
    lengths = torch.randint(0, T + 1, (P, G), generator=generator)
    lengths[0, 0], lengths[0, 1] = 0, T
    return {
        "logprobs": old + 0.4 * normal(P, G, T),
        "old_logprobs": old,
        "ref_logprobs": old + 0.4 * normal(P, G, T),
        "advantages": normal(P, G),
        "completion_mask": torch.arange(T) < lengths[..., None],
    }


def pick(batch, part):
    return {name: tensor[part] for name, tensor in batch.items()}


def value_and_gradient(batch, **settings):
    logprobs = batch["logprobs"].clone().requires_grad_()
    output = grpo_loss(**(batch | {"logprobs": logprobs}), **settings)
    output.loss.backward()
    return output, logprobs.grad


def test_clip_by_hand():
    """ε = 0.2. Only where the ratio left the trust region in the direction the advantage pulls does the clip bite.

    ρ 1.5, A  2: min(3, 2.4) = 2.4, clipped.   ρ 0.5, A  1: min(0.5, 0.8) = 0.5, not.
    ρ 1.5, A −1: min(−1.5, −1.2) = −1.5, not.  ρ 0.5, A −1: min(−0.5, −0.8) = −0.8, clipped.
    """
    ratio, advantages = torch.tensor([1.5, 0.5, 1.5, 0.5, 1.1]), torch.tensor([2.0, 1.0, -1.0, -1.0, 1.0])
    objective, is_clipped = clipped_surrogate(ratio, advantages, 0.2, 0.2)
    assert_close(objective, [2.4, 0.5, -1.5, -0.8, 1.1])
    assert is_clipped.tolist() == [True, False, False, True, False]


def test_clip_has_two_sides():
    """ε_low 0.5, ε_high 0.1: ρ 0.6 is inside below, ρ 1.2 is outside above."""
    objective, is_clipped = clipped_surrogate(torch.tensor([0.6, 1.2]), torch.tensor([-1.0, 1.0]), 0.5, 0.1)
    assert_close(objective, [-0.6, 1.1])
    assert is_clipped.tolist() == [False, True]


def test_on_policy_by_hand():
    """ρ = 1, A = (1, −3), 2 and 1 tokens: loss −½(1 − 3) = 1; gradient −A/(B·|o|): −¼, −¼ and +3/2."""
    logprobs = torch.tensor([[[-1.0, -2.0], [-3.0, -9.0]]], dtype=torch.float64)
    mask = torch.tensor([[[True, True], [True, False]]])
    batch = {"logprobs": logprobs, "old_logprobs": logprobs, "ref_logprobs": None, "completion_mask": mask}
    output, gradient = value_and_gradient(batch | {"advantages": torch.tensor([[1.0, -3.0]])}, beta=0.0)
    assert_close(output.loss, 1.0)
    assert_close(gradient, [[[-0.25, -0.25], [1.5, 0.0]]])
    assert output.metrics == {"policy_loss": 1.0, "clip_fraction": 0.0, "ratio_mean": 1.0}


def test_everything_by_hand():
    """One token each. π = 3/4, π_old = 1/2, π_ref = 3/8: ρ = 1.5, d = −ln 2, k3 = ln 2 − ½.

    A = 1: objective min(1.5, 1.2) = 1.2, clipped. A = −1: min(−1.5, −1.2) = −1.5.
    Policy loss −½(1.2 − 1.5) = 0.15; with β = 0.1: 0.15 + 0.1·(ln 2 − ½).
    """
    full = torch.full((1, 2, 1), 1.0, dtype=torch.float64)
    output = grpo_loss(
        (full * 0.75).log(),
        (full * 0.5).log(),
        (full * 0.375).log(),
        torch.tensor([[1.0, -1.0]]),
        full.bool(),
        beta=0.1,
    )
    k3 = math.log(2) - 0.5
    assert_close(output.loss, 0.15 + 0.1 * k3)
    expected = {"policy_loss": 0.15, "clip_fraction": 0.5, "ratio_mean": 1.5, "kl": k3}
    assert output.metrics == pytest.approx(expected)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_the_literal_formula(aggregation, seed):
    batch = random_batch(seed)
    settings = {"clip_low": 0.1, "clip_high": 0.3, "beta": 0.05, "aggregation": aggregation}
    lists = {name.removeprefix("completion_"): tensor.tolist() for name, tensor in batch.items()}
    output = grpo_loss(**batch, **settings)
    assert_close(output.loss, reference.grpo_loss(**lists, **settings))
    assert 0 < output.metrics["clip_fraction"] < 1  # else the clip would not have been tested


def test_gradient_agrees_with_finite_differences():
    batch = random_batch()
    logprobs = batch["logprobs"].clone().requires_grad_()
    others = {name: tensor for name, tensor in batch.items() if name != "logprobs"}
    assert torch.autograd.gradcheck(lambda x: grpo_loss(x, **others, beta=0.1).loss, logprobs)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_a_group_can_be_permuted(aggregation):
    batch = random_batch()
    shuffled = {name: tensor[:, [2, 0, 3, 1]] for name, tensor in batch.items()}
    first, second = (grpo_loss(**b, aggregation=aggregation) for b in (batch, shuffled))
    assert_close(first.loss, second.loss)
    assert first.metrics == pytest.approx(second.metrics)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("garbage", [0.0, float("nan"), float("-inf")])
def test_longer_padding_changes_nothing(aggregation, garbage):
    batch = random_batch()
    padded = dict(batch)
    for name in ("logprobs", "old_logprobs", "ref_logprobs"):
        padded[name] = torch.nn.functional.pad(batch[name], (0, 3), value=garbage)
        padded[name][..., :T][~batch["completion_mask"]] = garbage
    padded["completion_mask"] = torch.nn.functional.pad(batch["completion_mask"], (0, 3), value=False)
    plain, gradient = value_and_gradient(batch, aggregation=aggregation)
    output, padded_gradient = value_and_gradient(padded, aggregation=aggregation)
    assert_close(output.loss, plain.loss)
    assert_close(padded_gradient[..., :T], gradient)
    assert padded_gradient[..., T:].abs().sum() == 0


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_micro_batches_add_up(aggregation):
    batch, loss = random_batch(), GRPOLoss(aggregation=aggregation)
    whole, gradient = value_and_gradient(batch, aggregation=aggregation)
    denominator = loss.normalizer(batch["completion_mask"])
    parts = [slice(0, 1), slice(1, 3)]
    outputs = [value_and_gradient(pick(batch, p), aggregation=aggregation, normalizer=denominator) for p in parts]
    assert_close(sum(output.loss for output, _ in outputs), whole.loss, rtol=1e-12)
    assert_close(torch.cat([part for _, part in outputs]), gradient, rtol=1e-12)
    sums = {name: sum(output.metrics[name] for output, _ in outputs) for name in whole.metrics}
    assert sums == pytest.approx(whole.metrics, rel=1e-12)


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_completions_without_tokens_give_zero_and_not_nan(aggregation):
    batch = random_batch()
    batch["completion_mask"] = torch.zeros_like(batch["completion_mask"])
    output, gradient = value_and_gradient(batch, aggregation=aggregation)
    assert output.loss.item() == 0
    assert gradient.abs().sum() == 0
    assert all(value == 0 for value in output.metrics.values())


def test_zero_advantage_leaves_only_the_penalty():
    batch = random_batch()
    batch["advantages"] = torch.zeros(P, G)
    output = grpo_loss(**batch, beta=0.5)
    assert output.metrics["policy_loss"] == 0
    assert_close(output.loss, 0.5 * output.metrics["kl"])
    assert output.metrics["kl"] > 0


def test_without_beta_the_reference_is_watched_but_has_no_pull():
    batch = random_batch()
    with_reference, gradient = value_and_gradient(batch, beta=0.0)
    without, plain_gradient = value_and_gradient(batch | {"ref_logprobs": None}, beta=0.0)
    assert_close(with_reference.loss, without.loss)
    assert_close(gradient, plain_gradient)
    assert "kl" in with_reference.metrics
    assert "kl" not in without.metrics


def test_only_the_policy_gets_a_gradient():
    batch = {name: t.requires_grad_() if t.is_floating_point() else t for name, t in random_batch().items()}
    grpo_loss(**batch).loss.backward()
    assert batch["logprobs"].grad is not None
    assert all(batch[name].grad is None for name in ("old_logprobs", "ref_logprobs", "advantages"))


def test_absurd_ratios_stay_finite():
    batch = random_batch()
    batch["old_logprobs"] = torch.full_like(batch["old_logprobs"], -1e4)
    output, gradient = value_and_gradient(batch)
    assert output.loss.isfinite()
    assert gradient.isfinite().all()


def test_a_penalty_needs_a_reference():
    with pytest.raises(ValueError, match="no ref_logprobs"):
        grpo_loss(**(random_batch() | {"ref_logprobs": None}), beta=0.01)


@pytest.mark.parametrize("name", ["old_logprobs", "ref_logprobs", "completion_mask"])
def test_shapes_that_would_broadcast_are_refused(name):
    batch = random_batch()
    with pytest.raises(ValueError, match=name):
        grpo_loss(**(batch | {name: batch[name][:, :1]}))


def test_advantages_are_per_completion():
    batch = random_batch()
    with pytest.raises(ValueError, match="advantages"):
        grpo_loss(**(batch | {"advantages": batch["advantages"][:, :1]}))


def test_the_class_is_the_function_with_its_settings():
    batch = random_batch()
    settings = {"clip_low": 0.05, "clip_high": 0.1, "beta": 0.3, "aggregation": "token_mean"}
    configured = GRPOLoss(**settings)
    assert configured(**batch, normalizer=7.0).loss == grpo_loss(**batch, **settings, normalizer=7.0).loss
    assert configured(**batch).loss != GRPOLoss()(**batch).loss
    assert configured.needs_reference
    assert not GRPOLoss(beta=0.0).needs_reference


@pytest.mark.parametrize(
    "settings", [{"clip_low": -0.1}, {"clip_low": 1.5}, {"clip_high": -1}, {"beta": -1}, {"aggregation": "mean"}]
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(ConfigError):
        GRPOLoss(**settings)
