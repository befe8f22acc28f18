"""Mixtures of experts: right log-probabilities and gradients, routers that stay, experts that may be adapted."""

import pytest
import torch

from remot.models import FullWeights, LoRA, ModelSource, VLMPolicy
from remot.models.export import check_export, save_merged, save_trained
from tests.models.families.test_table import assert_drawn_from_own_passes
from tests.models.test_adapters import train
from tests.models.test_parity import assert_same_gradients, gradients_of, largest_gap, naive_batch, weights_like
from tests.tiny import (
    encode,
    make_batch,
    make_lora_policy,
    make_policy,
    moved,
    random_completions,
    randomise_,
    snapshot,
)

FAMILIES = ("qwen2_vl", "qwen3_vl_moe", "qwen3_5_moe")
MIXTURES = ("qwen3_vl_moe", "qwen3_5_moe", "kimi_k25")


def with_experts(family, **settings):
    policy = make_policy(family, LoRA(rank=2, experts=True), prefix_sharing="auto", **settings)
    randomise_((p for name, p in policy.named_parameters() if "lora_B" in name), std=0.1)
    return policy


def full(family, **settings):
    return make_policy(family, FullWeights(), prefix_sharing="auto", **settings)


KINDS = {
    "lora": lambda family, **settings: make_lora_policy(family, prefix_sharing="auto", **settings),
    "full": full,
    "full with vision": lambda family: full(family, train_vision=True),
    "full, recomputed": lambda family: full(family, gradient_checkpointing=True),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_pass_equals_one_row_at_a_time(family, kind):
    """Log-probabilities and all gradients are those of the model's own forward pass over each completion."""
    assert_parity(KINDS[kind](family))


def assert_parity(policy):
    batch = make_batch(2)
    completions, mask = random_completions(policy, 2, 2, 5)
    found = policy.completion_logprobs(encode(policy, batch), completions)[mask]
    weights = weights_like(found)
    actual = gradients_of(policy, (found * weights).sum())
    naive = naive_batch(policy.core, policy, batch, completions, mask)
    expected = gradients_of(policy, (naive * weights).sum())
    assert largest_gap(found, naive) < 2e-5
    assert sum(bool(gradient.any()) for gradient in expected.values()) > len(expected) / 2
    assert_same_gradients(actual, expected, tolerance=3e-5)  # sums over experts round more


@pytest.mark.parametrize("family", ["qwen3_vl_moe", "qwen3_5_moe"])
def test_experts_with_adapters_too(family):
    policy = with_experts(family)
    assert sum(".experts." in name for name, p in policy.named_parameters() if p.requires_grad) == 2 * 2 * 2
    assert_parity(policy)


@pytest.mark.parametrize("family", ["qwen3_vl_moe", "qwen3_5_moe"])
@pytest.mark.parametrize("kind", [with_experts, full])
def test_completions_of_trained_experts_are_drawn_from_the_own_forward_pass(family, kind):
    """Experts have whole weights, or adapters that are merged for the rollout and taken out again."""
    policy = kind(family)
    policy.logit_bias[policy.eos_token_ids[0]] = 4.0
    before = snapshot(policy)
    assert_drawn_from_own_passes(policy, make_batch(2))
    assert not moved(policy, before)


@pytest.mark.parametrize("family", MIXTURES)
@pytest.mark.parametrize("adaptation", [FullWeights(), LoRA(rank=2)], ids=["full", "lora"])
def test_routers_stay(family, adaptation):
    """Their weights, and what they keep beside them, such as the bias by which Kimi's experts are balanced."""
    policy = make_policy(family, adaptation, prefix_sharing="auto", with_reference=False)
    before, held = snapshot(policy), {name: held.clone() for name, held in policy.named_buffers()}
    train(policy)
    assert all(torch.equal(now, held[name]) for name, now in policy.named_buffers())
    names = moved(policy, before)
    gates = {name for name in before if ".mlp.gate." in name or "shared_expert_gate" in name}
    assert gates
    assert not any(".mlp.gate." in name or "shared_expert_gate" in name for name in names)
    assert any(".experts." in name for name in names) == isinstance(adaptation, FullWeights)
    said = policy.adaptation.describe(policy.model)
    assert f"{len({name.rpartition('.')[0] for name in gates})} routers are frozen" in said
    assert ("experts keep their weights" in said) == isinstance(adaptation, LoRA)


@pytest.mark.parametrize("family", ["qwen3_vl_moe", "qwen3_5_moe"])
def test_adapters_of_experts_are_exported_and_read_back(family, tmp_path):
    policy, batch = with_experts(family), make_batch(2)
    ids, _ = random_completions(policy, 2, 2, 4)
    with torch.no_grad():
        expected = policy.completion_logprobs(encode(policy, batch), ids)
        with policy.sampling():
            assert largest_gap(policy.completion_logprobs(encode(policy, batch), ids), expected) < 1e-4
    save_trained(policy, tmp_path / "adapter")
    save_merged(policy, tmp_path / "merged")
    for folder in ("adapter", "merged"):
        check = check_export(policy, tmp_path / folder, is_adapter=folder == "adapter")
        assert check.max_difference <= 1e-4 * check.max_logit, folder
    source = ModelSource(str(tmp_path / "adapter"))
    again = VLMPolicy(source, LoRA(), is_trained=False, prefix_sharing="off")
    with torch.no_grad():
        assert largest_gap(again.completion_logprobs(encode(again, batch), ids), expected) < 2e-5
    assert VLMPolicy(source, LoRA(rank=2, experts=True)).adaptation.experts
