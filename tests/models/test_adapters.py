"""What each adaptation trains, and with which optimisers: at a learning rate of 0.1 what should move moves."""

import math

import bitsandbytes
import pytest
import torch

from remot.errors import ConfigError
from remot.models import FullWeights, LoRA, ModelSource, QLoRA, VLMPolicy
from tests.tiny import (
    FAMILIES,
    encode,
    make_batch,
    make_lora_policy,
    make_policy,
    moved,
    random_completions,
    randomise_,
    snapshot,
)

LANGUAGE_LAYERS = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def train(policy, num_steps=2, optimizer_class=torch.optim.AdamW, lr=0.1):
    """Raise the likelihood of fixed completions, without weight decay, so that only a gradient moves a weight."""
    optimizer = optimizer_class(policy.trainable_parameters(), lr=lr, weight_decay=0.0)
    batch = make_batch(2)
    completions, mask = random_completions(policy, 2, 2, 4)
    losses = []
    for _ in range(num_steps):
        optimizer.zero_grad()
        loss = -policy.completion_logprobs(encode(policy, batch), completions)[mask].mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def names(policy, *, trainable):
    return {name for name, parameter in policy.named_parameters() if parameter.requires_grad is trainable}


def is_vision(name):
    return ".visual." in name


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("train_vision", [False, True])
def test_full_weights_move_and_the_vision_tower_only_if_unfrozen(family, train_vision):
    policy = make_policy(family, FullWeights(), train_vision=train_vision)
    before = snapshot(policy)
    losses = train(policy, num_steps=1)
    assert all(math.isfinite(loss) for loss in losses)
    expected = {
        name
        for name in before
        if not name.startswith("reference.") and (train_vision or not is_vision(name))
    }  # fmt: skip
    assert moved(policy, before) == expected
    assert any(map(is_vision, expected)) is train_vision


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("train_vision", [False, True])
def test_lora_moves_every_adapter_and_nothing_else(family, train_vision):
    """Two steps: in the first one A has no gradient, as B is zero."""
    policy = make_policy(family, LoRA(rank=3), train_vision=train_vision)
    before = snapshot(policy)
    train(policy)
    expected = {name for name in before if "lora_" in name}
    assert moved(policy, before) == expected
    assert any(map(is_vision, expected)) is train_vision
    adapted = {name.split(".lora_")[0].rpartition(".")[2] for name in expected if not is_vision(name)}
    assert adapted == LANGUAGE_LAYERS
    assert len([name for name in expected if not is_vision(name)]) == 2 * 7 * 2  # layers, linear layers, A and B


@pytest.mark.parametrize("family", FAMILIES)
def test_lora_on_the_vision_tower_adapts_every_linear_layer_of_its_blocks(family):
    policy = make_policy(family, LoRA(rank=2), train_vision=True)
    linear = {
        name.removesuffix(".base_layer")
        for name, module in policy.core.model.visual.blocks.named_modules()
        if isinstance(module, torch.nn.Linear) and "lora_" not in name
    }
    adapted = {
        name.split(".lora_A")[0] for name, _ in policy.core.model.visual.blocks.named_modules() if ".lora_A" in name
    }
    assert adapted == linear
    assert len(linear) >= 2 * 4


def test_adapters_begin_as_nothing():
    """B is zero: the first log-probabilities are exactly those of the base model."""
    policy, base, batch = make_policy(adaptation=LoRA(rank=3)), make_policy(), make_batch(2)
    completions, _ = random_completions(policy, 2, 2, 4)
    with torch.no_grad():
        adapted = policy.completion_logprobs(encode(policy, batch), completions)
        assert torch.equal(adapted, base.completion_logprobs(encode(base, batch), completions))


@pytest.mark.parametrize("family", FAMILIES)
def test_qlora_quantises_the_language_model_only(family):
    policy = make_policy(family, QLoRA(rank=3))
    kinds = {}
    for name, module in policy.core.named_modules():
        if isinstance(module, torch.nn.Linear) and "lora_" not in name:
            kinds.setdefault(isinstance(module, bitsandbytes.nn.Linear4bit), []).append(name)
    assert {name.removesuffix(".base_layer").rpartition(".")[2] for name in kinds[True]} == LANGUAGE_LAYERS
    assert len(kinds[True]) == 2 * 7
    assert all("language_model" in name for name in kinds[True])
    assert all("visual" in name or name == "lm_head" for name in kinds[False])
    assert all(policy.core.get_submodule(name).weight.dtype == torch.float32 for name in kinds[False])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("train_vision", [False, True])
def test_qlora_trains_on_four_bit_weights(family, train_vision):
    policy = make_policy(family, QLoRA(rank=3), train_vision=train_vision)
    train(policy, num_steps=1, lr=0.0)  # in its first pass bitsandbytes rounds the biases to the compute precision
    before = snapshot(policy)
    losses = train(policy, num_steps=3, lr=0.01)
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[-1] < losses[0]
    assert moved(policy, before) == {name for name in before if "lora_" in name}


def test_qlora_is_near_the_weights_it_quantised():
    """Four bits lose something, not everything: log-probabilities differ, by far less than they vary."""
    policy, base, batch = make_policy(adaptation=QLoRA(rank=2, compute_dtype="float32")), make_policy(), make_batch(2)
    completions, mask = random_completions(policy, 2, 4, 6)
    with torch.no_grad():
        coarse = policy.completion_logprobs(encode(policy, batch), completions)[mask]
        exact = base.completion_logprobs(encode(base, batch), completions)[mask]
    error = (coarse - exact).pow(2).mean().sqrt()
    assert 1e-4 < error < exact.std()


def test_qlora_never_packs_weights_for_inference():
    """On CPUs with AVX512-BF16 the packed product has no backward; on others the flag is off anyway."""
    policy = make_policy(adaptation=QLoRA(rank=2))
    quantised = [module for module in policy.modules() if isinstance(module, bitsandbytes.nn.Linear4bit)]
    assert quantised
    assert not any(module.support_avx512bf16_for_cpu for module in quantised)


@pytest.mark.filterwarnings("ignore:Paged optimizers are not supported on CPU:UserWarning")
@pytest.mark.parametrize(
    ("adaptation", "optimizer_class"),
    [
        (FullWeights, torch.optim.AdamW),
        (FullWeights, bitsandbytes.optim.AdamW8bit),
        (FullWeights, bitsandbytes.optim.PagedAdamW),
        (LoRA, bitsandbytes.optim.AdamW8bit),
        (QLoRA, torch.optim.AdamW),
        (QLoRA, bitsandbytes.optim.PagedAdamW),
    ],
)
def test_optimisers(adaptation, optimizer_class):
    """Each moves everything trainable and lowers the loss; paging needs a GPU, the update rule does not."""
    policy = make_policy(adaptation=adaptation())
    train(policy, num_steps=1, lr=0.0)
    before = snapshot(policy)
    losses = train(policy, num_steps=4, optimizer_class=optimizer_class, lr=0.01)
    assert losses[-1] < losses[0] - 0.05
    assert moved(policy, before) == names(policy, trainable=True)


def test_eight_bit_states_are_really_eight_bit():
    """bitsandbytes keeps states of at least 4096 numbers in 8 bits: here those of the embedding."""
    policy = make_policy()
    optimizer = bitsandbytes.optim.AdamW8bit(policy.trainable_parameters(), lr=0.1)
    policy.core.get_input_embeddings().weight.sum().backward()
    optimizer.step()
    state = optimizer.state[policy.core.get_input_embeddings().weight]
    assert state["state1"].dtype == torch.uint8


def test_adapters_that_fit_nowhere():
    with pytest.raises(ConfigError, match="no_such_layer"):
        make_policy(adaptation=LoRA(target_modules="no_such_layer"))
    with pytest.raises(ConfigError, match="rank 0"):
        LoRA(rank=0)


def layers_with_adapters(policy):
    return {name: layer for name, layer in policy.core.named_modules() if hasattr(layer, "lora_A")}


def held(policy):
    """Address and value of each adapted weight, and which parameters are trained."""
    weights = {name: layer.base_layer.weight for name, layer in layers_with_adapters(policy).items()}
    values = {name: (weight.data_ptr(), weight.detach().clone()) for name, weight in weights.items()}
    return values, {name: parameter.requires_grad for name, parameter in policy.named_parameters()}


def assert_held(policy, before):
    values, flags = held(policy)
    assert flags == before[1]
    for name, (address, value) in before[0].items():
        assert values[name][0] == address
        assert torch.equal(values[name][1], value)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("train_vision", [False, True])
def test_adapters_are_part_of_the_weights_while_sampling(family, train_vision):
    """W + (alpha / rank) B A by hand in every adapted layer; afterwards the very weights that were there."""
    policy = make_lora_policy(family, train_vision=train_vision)
    scale = policy.adaptation.alpha / policy.adaptation.rank
    before = held(policy)
    completions, mask = random_completions(policy, 2, 2, 4)
    with policy.evaluating():
        wanted = policy.completion_logprobs(encode(policy, make_batch(2)), completions)[mask]
    base = policy.completion_logprobs(encode(policy, make_batch(2)), completions, use_reference=True)[mask]
    with policy.sampling():
        for name, layer in layers_with_adapters(policy).items():
            update = layer.lora_B["default"].weight @ layer.lora_A["default"].weight
            torch.testing.assert_close(
                layer.base_layer.weight.data, before[0][name][1] + scale * update, rtol=1e-5, atol=1e-6
            )
            layer.lora_A["default"].register_forward_hook(lambda *_: pytest.fail("an adapter was computed"))
        found = policy.completion_logprobs(encode(policy, make_batch(2)), completions)[mask]
    assert float((found - wanted).abs().max()) < 1e-5
    assert float((found - base).abs().max()) > 0.01
    assert_held(policy, before)


def test_weights_come_back_after_a_failure():
    policy = make_lora_policy()
    before = held(policy)
    with pytest.raises(ValueError, match="simulated"), policy.sampling():
        raise ValueError("simulated")
    assert_held(policy, before)


@pytest.mark.parametrize(
    ("adaptation", "settings"),
    [(LoRA(rank=3), {"dtype": "bfloat16"}), (QLoRA(rank=3), {}), (FullWeights(), {})],
    ids=["half precision", "four bits", "no adapters"],
)
def test_weights_are_left_alone_where_a_sum_would_round_or_there_is_none(adaptation, settings):
    """Small updates vanish in bfloat16, and 4-bit weights hold no sums."""
    policy = make_policy("qwen3_vl", adaptation, **settings)
    before = [parameter.data_ptr() for parameter in policy.parameters()]
    with policy.sampling():
        assert [parameter.data_ptr() for parameter in policy.parameters()] == before
        assert not any(layer.disable_adapters for layer in layers_with_adapters(policy).values())


@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
def test_weights_with_two_names_are_left_alone():
    """remot-tiny's output head is its embedding: an adapter of the one must not become part of the other."""
    policy, batch = VLMPolicy(ModelSource(), LoRA(rank=3, target_modules=".*lm_head")), make_batch(2)
    assert policy.core.lm_head.base_layer.weight is policy.core.get_input_embeddings().weight
    randomise_((p for name, p in policy.named_parameters() if "lora_embedding_B" in name or "lora_B" in name), std=0.5)
    ids, mask = random_completions(policy, 2, 2, 4)
    wanted = policy.completion_logprobs(encode(policy, batch), ids)
    with policy.sampling():
        found = policy.completion_logprobs(encode(policy, batch), ids)
    torch.testing.assert_close(found[mask], wanted[mask].detach(), rtol=1e-5, atol=1e-5)
    with pytest.raises(ConfigError, match="output head"):
        policy.adaptation.merged_state(policy.model)


@pytest.mark.parametrize("target_modules", ["all-linear", r".*\.(up|down|linear_fc1|qkv)(_proj)?"])
def test_adapters_stay_out_of_a_frozen_vision_tower(target_modules):
    """They would learn nothing, be counted as trained, and keep other processes waiting for their gradients."""
    policy = make_policy("qwen2_5_vl", LoRA(rank=2, target_modules=target_modules), with_reference=False)
    assert names(policy, trainable=True)
    assert not any(map(is_vision, names(policy, trainable=True)))
    policy.completion_logprobs(encode(policy, make_batch(1)), random_completions(policy, 1, 2, 3)[0]).sum().backward()
    assert all(p.grad is not None for p in policy.trainable_parameters())
    trained = make_policy("qwen2_5_vl", LoRA(rank=2, target_modules=target_modules), train_vision=True)
    assert any(map(is_vision, names(trained, trainable=True)))


def test_weights_are_left_alone_where_sums_are_cast():
    """As with ``trainer.precision: bf16-mixed``, where W + BA is rounded to bfloat16 in every product."""
    policy = make_lora_policy()
    before = held(policy)
    with torch.autocast("cpu", torch.bfloat16), policy.sampling():
        assert_held(policy, before)
    with policy.sampling(), pytest.raises(AssertionError):
        assert_held(policy, before)


def test_divided_weights_are_left_alone(monkeypatch):
    policy = make_lora_policy()
    monkeypatch.setattr(policy.adaptation, "merged", lambda _: pytest.fail("added up"))
    policy.sharding = object()
    with policy.sampling():
        assert not torch.is_grad_enabled()
