"""Every loss against its literal formula, and what all of them have in common."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from remot import losses
from remot.errors import ConfigError
from remot.losses import (
    K1,
    K2,
    BNPOLoss,
    CISPOLoss,
    DAPOLoss,
    DrGRPOLoss,
    GMPOLoss,
    GRPOLoss,
    GSPOLoss,
    LUSPOLoss,
    NoPolicyLoss,
    PolicyLoss,
    RatioCorrectedK3,
    SAPOLoss,
    ScaleRLCISPOLoss,
)
from tests.helpers import assert_close
from tests.losses.batches import DIFFERENTIABLE, FAMILY, TENSORS, G, P, T, as_lists, random_batch, value_and_gradient
from tests.reference import losses as reference

every_loss = pytest.mark.parametrize("name", FAMILY)
fast = settings(deadline=None, database=None, derandomize=True, max_examples=25)


def build(name, **settings):
    return FAMILY[name][0](**settings)


# -- the formula --------------------------------------------------------------------------------------------------


@every_loss
@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_the_literal_formula(name, seed):
    _, tokens, aggregate = FAMILY[name]
    batch = random_batch(seed)
    output = build(name, beta=0.05)(**batch)
    assert_close(output.loss, reference.loss(as_lists(batch), tokens, aggregate, beta=0.05))
    without = build(name, beta=0.0)(**(batch | {"ref_logprobs": None}))
    assert_close(without.loss, reference.loss(as_lists(batch), tokens, aggregate))
    bites = name != "sapo"
    assert (0 < output.metrics["clip_fraction"] < 1) is bites  # else a clip would not have been tested


@every_loss
def test_importance_weights_multiply_the_objective_and_not_the_penalty(name):
    _, tokens, aggregate = FAMILY[name]
    batch = random_batch(1)
    weights = torch.rand(P, G, T, dtype=torch.float64, generator=torch.Generator().manual_seed(9)) * 2
    expected = reference.loss(as_lists(batch), tokens, aggregate, beta=0.5, weights=weights.tolist())
    assert_close(build(name, beta=0.5)(**batch, weights=weights).loss, expected)
    one = build(name, beta=0.5)(**batch, weights=torch.ones_like(weights))
    assert one.loss == build(name, beta=0.5)(**batch).loss


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_gradient_is_that_of_the_literal_formula(name):
    """Finite differences of the slow formula, which for GSPO knows nothing of GSPO-token."""
    _, tokens, aggregate = FAMILY[name]
    batch = random_batch(3, (2, 2, 3))
    _, gradient = value_and_gradient(build(name, beta=0.05), batch)
    step = 1e-6
    for place in batch["completion_mask"].nonzero().tolist():
        values = []
        for sign in (1, -1):
            moved = {**batch, "logprobs": batch["logprobs"].clone()}
            moved["logprobs"][tuple(place)] += sign * step
            values.append(reference.loss(as_lists(moved), tokens, aggregate, beta=0.05))
        assert_close(gradient[tuple(place)], (values[0] - values[1]) / (2 * step), rtol=1e-5, atol=1e-8)
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize(
    ("name", "low", "high"), [("cispo", 0, 1.2), ("cispo_both", 0.9, 1.3), ("scalerl_cispo", 0, 1.2)]
)
def test_gradient_of_cispo(name, low, high):
    """−clip(ρ)·A/N at each of the N tokens, written as a loop; no token is without, unlike in GRPO."""
    batch = random_batch(2)
    _, gradient = value_and_gradient(build(name), batch | {"ref_logprobs": None})
    mask = batch["completion_mask"]
    num_tokens = int(mask.sum())
    for p, g, t in mask.nonzero().tolist():
        ratio = math.exp(batch["logprobs"][p, g, t]) / math.exp(batch["old_logprobs"][p, g, t])
        expected = -min(max(ratio, low), high) * batch["advantages"][p, g].item() / num_tokens
        assert_close(gradient[p, g, t], expected)
    assert (gradient[mask] != 0).all()
    assert gradient[~mask].abs().sum() == 0


@pytest.mark.parametrize(
    ("kl", "literal"), [(K1(), reference.k1), (K2(), reference.k2), (RatioCorrectedK3(), reference.corrected_k3)]
)
@every_loss
def test_every_estimator_of_the_distance_with_every_loss(name, kl, literal):
    _, tokens, aggregate = FAMILY[name]
    batch = random_batch(4)
    output = build(name, beta=0.3, kl=kl)(**batch)
    assert_close(output.loss, reference.loss(as_lists(batch), tokens, aggregate, beta=0.3, kl=literal))
    assert_close(output.loss, output.metrics["policy_loss"] + 0.3 * output.metrics["kl"])


# -- where ratios are 1 -------------------------------------------------------------------------------------------

SAME_BY_SEQUENCE = [GRPOLoss(beta=0), GSPOLoss(), GMPOLoss(), SAPOLoss()]
SAME_BY_TOKEN = [DAPOLoss(), BNPOLoss(), CISPOLoss(), ScaleRLCISPOLoss(), GRPOLoss(beta=0, aggregation="token_mean")]


def on_policy(seed):
    batch = random_batch(seed)
    return batch | {"old_logprobs": batch["logprobs"], "ref_logprobs": None}


@given(seed=st.integers(0, 10_000))
@fast
def test_on_policy_gradients_depend_on_the_mean_alone(seed):
    """At ρ = 1 every loss follows A·∇log π: methods differ only in the mean they take."""
    batch = on_policy(seed)
    mask, advantages = batch["completion_mask"], batch["advantages"][..., None]
    lengths = mask.sum(-1, keepdim=True).clamp(min=1)
    by_sequence = torch.where(mask, -advantages / (P * G * lengths), 0)
    by_token = torch.where(mask, -advantages / mask.sum().clamp(min=1), 0)
    for group, expected in ((SAME_BY_SEQUENCE, by_sequence), (SAME_BY_TOKEN, by_token)):
        for loss in group:
            assert_close(value_and_gradient(loss, batch)[1], expected, rtol=1e-12)
    assert_close(value_and_gradient(LUSPOLoss(), batch)[1], by_sequence * lengths, rtol=1e-12)
    assert_close(value_and_gradient(DrGRPOLoss(length=11), batch)[1], by_sequence * lengths / 11, rtol=1e-12)


@every_loss
def test_on_policy_ratio_is_one_and_nothing_is_clipped(name):
    batch = on_policy(0)
    batch["completion_mask"][:, :, 0] = True  # no empty completion, which would count as 0 in a mean of sequences
    metrics = build(name, beta=0.0)(**batch).metrics
    assert metrics["clip_fraction"] == 0
    assert metrics["ratio_mean"] == pytest.approx(1)


# -- what a loss must not depend on -------------------------------------------------------------------------------


@every_loss
@given(seed=st.integers(0, 10_000), extra=st.integers(1, 4), garbage=st.sampled_from([0.0, math.nan, -math.inf, 1e30]))
@fast
def test_padding_changes_nothing(name, seed, extra, garbage):
    batch, loss = random_batch(seed), build(name, beta=0.1)
    padded = dict(batch)
    for key in ("logprobs", "old_logprobs", "ref_logprobs"):
        padded[key] = torch.nn.functional.pad(batch[key], (0, extra), value=garbage)
        padded[key][..., :T][~batch["completion_mask"]] = garbage
    padded["completion_mask"] = torch.nn.functional.pad(batch["completion_mask"], (0, extra), value=False)
    plain, gradient = value_and_gradient(loss, batch)
    output, padded_gradient = value_and_gradient(loss, padded)
    assert_close(output.loss, plain.loss, rtol=1e-12)
    assert output.metrics == pytest.approx(plain.metrics, rel=1e-12, abs=1e-12)
    assert_close(padded_gradient[..., :T], gradient, rtol=1e-12)
    assert padded_gradient[..., T:].abs().sum() == 0


@every_loss
@given(seed=st.integers(0, 10_000), cuts=st.sets(st.integers(1, 5)), weighted=st.booleans())
@fast
def test_micro_batches_add_up(name, seed, cuts, weighted):
    batch, loss = random_batch(seed, (6, 2, 4)), build(name, beta=0.1)
    if weighted:
        batch["weights"] = batch["ref_logprobs"].exp()
    whole, gradient = value_and_gradient(loss, batch)
    denominator = loss.normalizer(batch["completion_mask"])
    edges = [0, *sorted(cuts), 6]
    parts = [{key: tensor[a:b] for key, tensor in batch.items()} for a, b in itertools.pairwise(edges)]
    outputs = [value_and_gradient(loss, part, normalizer=denominator) for part in parts]
    assert_close(sum(output.loss for output, _ in outputs), whole.loss, rtol=1e-11, atol=1e-13)
    assert_close(torch.cat([part for _, part in outputs]), gradient, rtol=1e-11, atol=1e-13)
    sums = {key: sum(output.metrics[key] for output, _ in outputs) for key in whole.metrics}
    assert sums == pytest.approx(whole.metrics, rel=1e-11, abs=1e-13)


@every_loss
def test_denominators_of_a_part_do_not_add_up(name):
    """Negative control of the test above."""
    batch, loss = random_batch(1, (6, 2, 4)), build(name, beta=0.1)
    parts = [{key: tensor[rows] for key, tensor in batch.items()} for rows in (slice(0, 1), slice(1, 6))]
    assert abs(sum(loss(**part).loss for part in parts) - loss(**batch).loss) > 1e-3


@every_loss
def test_a_group_can_be_permuted(name):
    batch, loss = random_batch(5), build(name, beta=0.1)
    shuffled = {key: tensor[:, [2, 0, 3, 1]] for key, tensor in batch.items()}
    one, other = loss(**batch), loss(**shuffled)
    assert_close(one.loss, other.loss, rtol=1e-12)
    assert one.metrics == pytest.approx(other.metrics)


@every_loss
def test_nothing_at_all_is_zero(name):
    batch = random_batch()
    batch["completion_mask"] = torch.zeros_like(batch["completion_mask"])
    output, gradient = value_and_gradient(build(name, beta=0.1), batch)
    assert output.loss.item() == 0
    assert gradient.abs().sum() == 0
    empty = {key: tensor[:0] for key, tensor in random_batch().items()}
    assert build(name, beta=0.1)(**empty).loss.item() == 0


@every_loss
@pytest.mark.parametrize("far", [-1e4, 1e4])
def test_absurd_ratios_stay_finite(name, far):
    batch = random_batch()
    batch["old_logprobs"] = batch["old_logprobs"] + far
    output, gradient = value_and_gradient(build(name, beta=0.1), batch)
    assert output.loss.isfinite()
    assert gradient.isfinite().all()


@every_loss
def test_only_the_policy_gets_a_gradient(name):
    batch = {key: t.requires_grad_() if t.is_floating_point() else t for key, t in random_batch().items()}
    weights = torch.ones(P, G, T, dtype=torch.float64).requires_grad_()
    build(name, beta=0.1)(**batch, weights=weights).loss.backward()
    assert batch["logprobs"].grad is not None
    assert all(tensor.grad is None for tensor in (*(batch[key] for key in TENSORS[1:]), weights))


@every_loss
@pytest.mark.parametrize("key", ["old_logprobs", "ref_logprobs", "completion_mask", "weights", "advantages"])
def test_shapes_that_would_broadcast_are_refused(name, key):
    batch = random_batch() | {"weights": torch.ones(P, G, T)}
    with pytest.raises(ValueError, match=key):
        build(name)(**(batch | {key: batch[key][:, :1]}))


@every_loss
def test_a_penalty_needs_a_reference(name):
    assert build(name, beta=0.01).needs_reference
    assert not build(name, beta=0.0).needs_reference
    with pytest.raises(ValueError, match="no ref_logprobs"):
        build(name, beta=0.01)(**(random_batch() | {"ref_logprobs": None}))


def test_every_loss_is_in_the_family():
    public = {value for value in vars(losses).values() if isinstance(value, type) and issubclass(value, PolicyLoss)}
    assert public - {PolicyLoss, NoPolicyLoss} == {type(build(name)) for name in FAMILY}


@pytest.mark.parametrize(
    "build",
    [
        lambda: GRPOLoss(delta=1.1),
        lambda: GRPOLoss(dual_clip=1.0),
        lambda: GRPOLoss(delta=4, dual_clip=4),
        lambda: DAPOLoss(clip_high=-0.1),
        lambda: BNPOLoss(clip_low=1.1),
        lambda: DrGRPOLoss(length=0),
        lambda: GSPOLoss(clip_low=-1e-4),
        lambda: LUSPOLoss(clip_high=-1e-4),
        lambda: GMPOLoss(clip_low=-0.4),
        lambda: CISPOLoss(clip_low=1.5),
        lambda: CISPOLoss(clip_high=-0.1),
        lambda: ScaleRLCISPOLoss(max_weight=0.28),
        lambda: ScaleRLCISPOLoss(max_weight=math.inf),
        lambda: SAPOLoss(temperature_negative=0),
        lambda: SAPOLoss(beta=-1),
        lambda: GSPOLoss(beta=math.nan),
        lambda: K2(bound=0),
    ],
)
def test_impossible_settings_are_refused(build):
    with pytest.raises(ConfigError):
        build()
