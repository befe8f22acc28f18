"""Decode steps with fewer operations draw what steps by the model's own layers draw."""

import logging

import pytest
import torch

from remot.models import LoRA, QLoRA, prepacked
from remot.models.packing import short_steps
from remot.models.packing.short_steps import Norm, StepChoice, is_same, joined, rotated
from tests.rollout.decoding.test_engine import roll_out, talkative
from tests.tiny import FAMILIES, HYBRID, make_batch, make_lora_policy, make_mixed_batch, make_policy


@pytest.fixture
def used(monkeypatch):
    """Numbers of steps by short ones and by the model's own layers."""
    counts = {"short": 0, "own": 0}
    steps, own = short_steps.ShortSteps.next_states, short_steps.run_language_model

    def counted(self, *arguments):
        counts["short"] += 1
        return steps(self, *arguments)

    monkeypatch.setattr(short_steps.ShortSteps, "next_states", counted)
    from remot.models.packing import forward

    def by_own(model, **settings):
        counts["own"] += "shared_cache" in settings
        return own(model, **settings)

    monkeypatch.setattr(forward, "run_language_model", by_own)
    return counts


def by_own_layers(monkeypatch, policy, batch):
    with monkeypatch.context() as patch:
        patch.setattr(StepChoice, "of", lambda *_: None)
        return roll_out(policy, batch)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("adaptation", ["none", "added up"])
def test_the_same_completions(family, adaptation, used, monkeypatch):
    """Prompts with images and videos, adapters that change something, completions that end here and there."""
    make = make_policy if adaptation == "none" else make_lora_policy
    policy, batch = make(family), make_mixed_batch()
    wanted = by_own_layers(monkeypatch, policy, batch)
    assert used["short"] == 0
    assert used["own"] > 0
    num_own = used["own"]
    found = roll_out(policy, batch)
    assert torch.equal(found.token_ids, wanted.token_ids)
    assert (found.logprobs - wanted.logprobs).abs().max() < 1e-5
    assert (used["short"] > 0, used["own"] == num_own) == (True, True)


@pytest.mark.parametrize("adaptation", [LoRA(rank=3, alpha=6.0), QLoRA(rank=3, alpha=6.0)])
def test_adapters_that_are_not_added_up_count(adaptation, used, monkeypatch):
    """In half precision, and beside 4-bit weights, layers multiply with their adapters as they always do."""
    policy, batch = make_policy(adaptation=adaptation, dtype="bfloat16"), make_batch(2)
    generator = torch.Generator().manual_seed(3)
    for name, weight in policy.named_parameters():
        if "lora_B" in name:
            weight.data.normal_(0.0, 0.5, generator=generator)
    wanted = by_own_layers(monkeypatch, policy, batch)
    found = roll_out(policy, batch)
    assert used["short"] > 0
    first = found.logprobs[..., 0] - wanted.logprobs[..., 0]  # later tokens may be others, by rounding
    assert first.abs().max() < 0.1
    with policy.adaptation.disabled(policy.model):
        without = by_own_layers(monkeypatch, policy, batch)
    assert (without.logprobs[..., 0] - wanted.logprobs[..., 0]).abs().max() > 0.2, "or adapters change nothing here"


def test_after_an_update_the_new_weights_count(used, monkeypatch):
    policy, batch = make_lora_policy(), make_batch(2)
    before = roll_out(policy, batch)
    for name, weight in policy.named_parameters():
        if "lora_B" in name:
            weight.data.mul_(-3.0)
    after = roll_out(policy, batch)
    assert not torch.equal(before.logprobs, after.logprobs)
    assert (after.logprobs - by_own_layers(monkeypatch, policy, batch).logprobs).abs().max() < 1e-5
    assert used["short"] > 0


def test_the_comparison_is_made_once(monkeypatch):
    compared = []
    monkeypatch.setattr(short_steps, "is_same", lambda *arguments: bool(compared.append(1)) or is_same(*arguments))
    policy, batch = make_policy(), make_batch(1)
    roll_out(policy, batch)
    roll_out(policy, batch)
    assert len(compared) == 1


def other_norm(policy):
    """A norm whose weight counts from 1, as Gemma's: its parts have the same names."""
    norm = policy.core.model.language_model.layers[1].post_attention_layernorm

    class FromOne(type(norm)):
        def forward(self, hidden_states):
            return super().forward(hidden_states) + hidden_states

    norm.__class__ = FromOne
    del norm.forward  # that of remot.models.norms


def other_activation(policy):
    policy.core.model.language_model.layers[0].mlp.act_fn = torch.nn.GELU()


def further_part(policy):
    policy.core.model.language_model.layers[0].pre_feedforward_layernorm = torch.nn.Identity()


def hooked(policy):
    policy.core.model.language_model.layers[0].register_forward_hook(lambda *_: None)


def replaced(policy):
    layer = policy.core.model.language_model.layers[0].self_attn
    layer.forward = layer.forward


@pytest.mark.parametrize("change", [other_norm, other_activation, further_part, hooked, replaced])
def test_other_decoders_keep_their_own_layers(change, used, caplog, monkeypatch):
    policy, batch = make_policy(), make_batch(2)
    change(policy)
    with caplog.at_level(logging.INFO):
        found = roll_out(policy, batch)
    assert used["short"] == 0
    assert torch.equal(found.token_ids, by_own_layers(monkeypatch, policy, batch).token_ids)
    assert ("are off by" in caplog.text) is (change in (other_norm, other_activation))


def test_a_state_keeps_its_own_layers(used):
    roll_out(make_policy(HYBRID, prefix_sharing="auto"), make_batch(1))
    assert used["short"] == 0


def test_under_autocast_the_model_rounds_as_it_does(used):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        roll_out(talkative(end=-60.0), make_batch(1))
    assert used["short"] == 0
    assert used["own"] > 0


def test_outside_of_a_rollout_nothing_is_kept():
    policy = make_policy()
    with policy.sampling():
        assert policy._steps is not None
    assert policy._steps is None


def test_rotation_by_hand():
    """A quarter turn of (1, 2 | 3, 4) takes the first half to minus the second, and the second to the first."""
    heads, signs = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([-1.0, -1.0, 1.0, 1.0])
    assert rotated(heads, torch.zeros(4), signs).tolist() == [-3.0, -4.0, 1.0, 2.0]
    assert rotated(heads, torch.ones(4), 0 * signs).tolist() == [1.0, 2.0, 3.0, 4.0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(5,), (3, 5)])
def test_norms_are_those_of_torch(dtype, shape):
    """Of large, small and no states; a weight for all, or one for each head."""
    generator = torch.Generator().manual_seed(0)
    states = (
        torch.randn(2, 3, 5, generator=generator).to(dtype) * torch.tensor([1e4, 1.0, 1e-4, 0.0])[:, None, None, None]
    )
    weight = torch.randn(*shape, generator=generator).to(dtype)
    found = Norm(weight, 1e-6)(states)
    wanted = torch.nn.functional.rms_norm(states.double(), (5,), None, 1e-6) * weight.double()
    torch.testing.assert_close(found.double(), wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("least", [1, 2**18])
@pytest.mark.parametrize("bias", [True, False])
def test_joined_products_are_those_of_the_layers(bias, least, monkeypatch):
    monkeypatch.setattr(prepacked, "LEAST_NUMBERS", least)
    layers, rows = [torch.nn.Linear(70, out, bias=bias) for out in (64, 33, 1)], torch.randn(2, 3, 70)
    with torch.no_grad():
        wanted = torch.cat([layer(rows) for layer in layers], dim=-1)
        product = joined(layers)
        for layer in layers:
            layer.weight.fill_(0.0)
        found = product(rows)
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-6)


def test_layers_that_are_not_joined_keep_their_own_products(monkeypatch):
    """With and without a bias, replaced by a copy in another layout, or too large to copy."""
    mixed = [torch.nn.Linear(7, 5), torch.nn.Linear(7, 5, bias=False)]
    held = [torch.nn.Linear(7, 5), torch.nn.Linear(7, 5).forward]
    large = [torch.nn.Linear(7, 5), torch.nn.Linear(7, 5)]
    monkeypatch.setattr(short_steps, "MOST_JOINED", 69)
    rows = torch.randn(3, 7)
    for layers in (mixed, held, large):
        with torch.no_grad():
            product = joined(layers)
            if isinstance(layers[0], torch.nn.Linear):
                layers[0].weight.mul_(2.0)
            assert product(rows).equal(torch.cat([layer(rows) for layer in layers], dim=-1))
