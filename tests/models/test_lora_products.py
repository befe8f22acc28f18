"""Adapters that add their update in the product compute what peft's layers compute, results and gradients."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import Linear
from torch import nn

from remot.models import LoRA
from remot.models.lora_products import AddingLinear, add_in_products
from tests.tiny import make_lora_policy, make_policy


def adapted(*, bias=False, dtype=torch.float64, **settings):
    """A layer of peft with adapters that change something, and the same one that adds in its product."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5, bias=bias, dtype=dtype))
    config = LoraConfig(**{"r": 2, "lora_alpha": 3.0, "target_modules": ["0"], "init_lora_weights": False} | settings)
    wrapped = get_peft_model(model, config, autocast_adapter_dtype=False)
    ours = copy.deepcopy(wrapped)
    add_in_products(ours)
    return wrapped, ours


def layer_of(wrapped):
    return wrapped.base_model.model[0]


def is_added(layer, rows, monkeypatch):
    """Whether the layer computes by itself, and not in peft's way."""
    with monkeypatch.context() as patch:
        patch.setattr(Linear, "forward", lambda *_, **__: pytest.fail("peft's way"))
        try:
            layer(rows)
        except pytest.fail.Exception:
            return False
    return True


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(4,), (2, 3), (2, 1, 3)])
def test_results_and_gradients_are_those_of_peft(shape, bias, monkeypatch):
    wrapped, ours = adapted(bias=bias)
    rows = torch.randn(*shape, 6, dtype=torch.float64)
    assert is_added(layer_of(ours), rows, monkeypatch)
    found = []
    for model in (wrapped, ours):
        inputs = rows.clone().requires_grad_()
        result = model(inputs)
        (result * torch.arange(5)).sum().backward()
        found.append([result, inputs.grad, *(part.grad for part in model.parameters() if part.requires_grad)])
    assert len(found[0]) == 4
    for theirs, own in zip(*found, strict=True):
        torch.testing.assert_close(own, theirs, rtol=1e-12, atol=1e-12)
    assert not torch.equal(found[1][0], layer_of(ours).get_base_layer()(rows)), "or adapters change nothing here"


@pytest.mark.parametrize(
    "settings",
    [{"lora_dropout": 0.5}, {"use_dora": True}, {"lora_bias": True, "bias": True}],
    ids=lambda one: next(iter(one)),
)
def test_other_adapters_are_left_to_peft(settings, monkeypatch):
    wrapped, ours = adapted(**settings)
    rows = torch.randn(3, 6, dtype=torch.float64)
    assert not is_added(layer_of(ours), rows, monkeypatch)
    ours.eval()
    assert is_added(layer_of(ours), rows, monkeypatch) is ("lora_dropout" in settings)
    assert torch.allclose(ours(rows), wrapped.eval()(rows), rtol=1e-12)


def test_adapters_in_another_precision_under_autocast_off_or_merged_are_left_to_peft(monkeypatch):
    rows = torch.randn(3, 6)
    _, ours = adapted(dtype=torch.float32)
    layer = layer_of(ours)
    assert is_added(layer, rows, monkeypatch)
    with torch.autocast("cpu", torch.bfloat16):
        assert not is_added(layer, rows, monkeypatch)
    with ours.disable_adapter():
        assert not is_added(layer, rows, monkeypatch)
    layer.lora_A["default"].bfloat16()
    assert not is_added(layer, rows, monkeypatch)
    layer.lora_A["default"].float()
    ours.merge_adapter()
    assert not is_added(layer, rows, monkeypatch)


def test_a_policy_adds_in_its_products():
    policy = make_lora_policy()
    kinds = {type(module) for module in policy.core.modules() if isinstance(module, Linear)}
    assert kinds == {AddingLinear}
    assert not any(isinstance(module, Linear) for module in make_policy().core.modules())


def test_dropout_counts_in_training(monkeypatch):
    policy = make_policy(adaptation=LoRA(rank=2, dropout=0.5))
    (layer, *_) = [module for module in policy.core.modules() if isinstance(module, AddingLinear)]
    rows = torch.randn(3, layer.in_features)
    policy.train()
    assert not is_added(layer, rows, monkeypatch)
    policy.eval()
    assert is_added(layer, rows, monkeypatch)
