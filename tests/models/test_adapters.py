"""What each adaptation trains, and with which optimisers: at a learning rate of 0.1 what should move moves."""

import math

import bitsandbytes
import pytest
import torch

from remot.errors import ConfigError
from remot.models import FullWeights, LoRA, QLoRA
from tests.tiny import FAMILIES, encode, make_batch, make_policy, moved, random_completions, snapshot

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
def test_full_weights_move_and_the_vision_tower_only_if_told(family, train_vision):
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
    with pytest.raises(ConfigError, match=r"do not fit the model.*no_such_layer"):
        make_policy(adaptation=LoRA(target_modules="no_such_layer"))
    with pytest.raises(ConfigError, match="do not fit the model"):
        make_policy(adaptation=LoRA(rank=0))
