"""Linear layers with their weights in another layout: the same products, and nothing of it left behind."""

import pytest
import torch
from torch import nn

from remot.models import LoRA, ModelSource, VLMPolicy, prepacked
from remot.models.merging import adapted_layers, parameter_of
from remot.models.sizes import model_sizes
from remot.rollout.decoding.engine import generate
from remot.rollout.sampling import RolloutAddress, RolloutRequest, SamplingSettings
from tests.tiny import FAMILIES, encode, make_batch, make_lora_policy, make_policy

GENERATOR = torch.Generator().manual_seed(0)


@pytest.fixture(autouse=True)
def _small_layers_count(monkeypatch):
    monkeypatch.setattr(prepacked, "LEAST_NUMBERS", 2**14)


def is_held(layer):
    return isinstance(layer, nn.Linear) and "forward" in vars(layer)  # norms have one of their own, too


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1,), (5,), (2, 16), (3, 1, 70)])
def test_products_are_those_of_the_layer(shape, dtype, bias):
    layer = nn.Linear(192, 257, bias=bias, dtype=dtype)
    rows = torch.randn(*shape, 192, generator=GENERATOR).to(dtype)
    with torch.no_grad():
        expected = nn.functional.linear(*(None if part is None else part.double() for part in (rows, *weights(layer))))
        with prepacked.prepacked([layer]):
            assert is_held(layer)
            found = layer(rows)
    assert found.dtype is dtype
    bound = 1e-6 if dtype is torch.float32 else 2**-8
    assert ((found - expected).abs() <= bound * (1 + expected.abs())).all()


def weights(layer):
    return layer.weight.detach(), None if layer.bias is None else layer.bias.detach()


def test_afterwards_the_layer_is_as_it_was():
    layer = nn.Linear(130, 128)
    with pytest.raises(KeyError), prepacked.prepacked([layer]):
        raise KeyError
    assert not is_held(layer)
    rows = torch.randn(4, 130)
    layer(rows).sum().backward()
    assert layer.weight.grad.equal(rows.sum(0).expand(128, 130))
    layer.weight.data.fill_(0.0)
    assert layer(rows).equal(layer.bias.expand(4, 128)), "and its weight counts, not the copy"


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(2, 2),
        nn.Linear(256, 256, dtype=torch.float64),
        nn.Embedding(256, 256),
        nn.Linear(256, 256, device="meta"),
    ],
    ids=["small", "float64", "embedding", "elsewhere"],
)
def test_other_layers_stay(layer):
    with prepacked.prepacked([layer]):
        assert not is_held(layer)


def test_subclasses_stay():
    class Quantised(nn.Linear):
        pass

    with prepacked.prepacked([layer := Quantised(256, 256)]):
        assert not is_held(layer)


def test_under_autocast_and_beyond_the_bound_layers_stay(monkeypatch):
    layers = [nn.Linear(256, 256), nn.Linear(256, 256)]
    with torch.autocast("cpu", torch.bfloat16), prepacked.prepacked(layers):
        assert not any(map(is_held, layers))
    monkeypatch.setattr(prepacked, "MOST_BYTES", 2 * 256 * 256 * 4)
    with prepacked.prepacked(layers):
        assert all(map(is_held, layers))
    monkeypatch.setattr(prepacked, "MOST_BYTES", 2 * 256 * 256 * 4 - 1)
    with prepacked.prepacked(layers):
        assert not any(map(is_held, layers))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("make", [make_lora_policy, make_policy])
def test_completions_are_the_same(family, make, monkeypatch):
    policy, batch = make(family), make_batch(3)
    request = RolloutRequest(4, 12, SamplingSettings(), RolloutAddress(0, 0, ("a", "b", "c")))
    encoded = encode(policy, batch)
    plain = generate(policy, encoded, request)
    monkeypatch.setattr(prepacked, "LEAST_NUMBERS", 1)
    with policy.sampling():
        held = [module for module in policy.core.modules() if is_held(module)]
        assert policy.core.get_output_embeddings() in held
        assert len(held) > 7, "the layers of the blocks too"
    again = generate(policy, encoded, request)
    assert again.token_ids.equal(plain.token_ids)
    assert (again.logprobs - plain.logprobs).abs().max() < 1e-5
    assert not [module for module in policy.core.modules() if is_held(module)]


@pytest.mark.parametrize("are_copied", [True, False])
def test_sums_with_adapters_exist_only_where_they_are_not_copied(are_copied, monkeypatch):
    """A copy in the other layout holds the sum already, and the plain weights are kept in any case."""
    monkeypatch.setattr(prepacked, "LEAST_NUMBERS", 1 if are_copied else 2**40)
    policy = make_lora_policy("qwen3_vl")
    weights = [parameter_of(layer) for layer in adapted_layers(policy.model)]
    before = {weight: (weight.data_ptr(), weight.detach().clone()) for weight in weights}
    with policy.sampling():
        is_plain = [weight.data_ptr() == address for weight, (address, _) in before.items()]
    assert is_plain == [are_copied] * len(before)
    assert len(before) > 7
    assert all(weight.data_ptr() == one and weight.equal(data) for weight, (one, data) in before.items())


def test_what_the_copies_take_is_known_before_the_weights_are_there():
    policy = VLMPolicy(source := ModelSource(), LoRA())
    with policy.sampling():
        held = [module for module in policy.core.modules() if is_held(module)]
    sizes = model_sizes(source, LoRA())
    assert sizes.prepacked_bytes == sum(layer.weight.nbytes for layer in held) > 2**20
