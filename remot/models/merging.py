"""Adapters added to copies of the weights, for as long as nothing is trained.

A decode step with adapters multiplies three times where the base model does once. Added up before the rollout they
cost nothing more, and the frozen weights themselves are never touched, so that nothing drifts.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn


def adapted_layers(model: nn.Module) -> list[Any]:
    """The layers with adapters, empty if one of them must not be added up.

    In half precision, autocast included, a small update would round away, so that the sampler would not be the policy;
    on a GPU copies of the weights take memory that completions need. The adapters of an output head must not change the
    embeddings with which it shares its weights.
    """
    from peft.utils.other import ModulesToSaveWrapper

    layers = lora_layers(model)
    weights = [parameter_of(layer) for layer in layers]
    names = Counter(id(parameter) for _, parameter in model.named_parameters(remove_duplicate=False))
    has_others = any(isinstance(module, ModulesToSaveWrapper) for module in model.modules())  # go with the adapters
    if torch.is_autocast_enabled("cpu") or has_others:
        return []
    is_plain = all(
        weight.dtype is torch.float32 and weight.device.type == "cpu" and names[id(weight)] == 1 for weight in weights
    )
    return layers if is_plain else []


def lora_layers(model: nn.Module) -> list[Any]:
    """The layers with adapters, whether or not they can be added up."""
    from peft.tuners.lora import LoraLayer

    return [module for module in model.modules() if isinstance(module, LoraLayer)]


def parameter_of(layer: Any) -> nn.Parameter:  # noqa: ANN401 (peft has no types)
    """The frozen parameter below adapters: a linear layer's weight, or the weights of a layer's experts."""
    parameter: nn.Parameter = getattr(layer.get_base_layer(), getattr(layer, "parameter_name", "weight"))
    return parameter


def merged_weight(layer: Any, weight: Tensor) -> Tensor:  # noqa: ANN401 (peft has no types)
    """``weight`` of the layer below adapters with their update, in its precision."""
    name = layer.active_adapters[0]
    variant = getattr(layer, "lora_variant", {})
    if name in variant:
        merged: Tensor = variant[name].merge_safe(layer, name, weight)
        return merged.to(weight.dtype)
    delta: Tensor = layer.get_delta_weight(name)
    return (weight.float() + delta.float()).to(weight.dtype)


@contextlib.contextmanager
def merged_adapters(
    model: nn.Module, without_adapters: AbstractContextManager[None]
) -> Iterator[Mapping[nn.Parameter, Tensor]]:
    """Within this context the layers of ``model`` hold W + (alpha / rank) B A and compute ``without_adapters``.

    Nothing happens unless all adapters can be added, see :func:`adapted_layers`. Yields W of each such weight: what
    needs a sum no longer may put W back, as happens at the end.
    """
    layers = adapted_layers(model)
    if not layers:
        yield {}
        return
    plain = {parameter_of(layer): parameter_of(layer).data for layer in layers}
    try:
        with torch.no_grad():
            for layer, weight in zip(layers, plain, strict=True):
                weight.data = merged_weight(layer, weight.data)
        with without_adapters:
            yield plain
    finally:
        for weight, data in plain.items():
            weight.data = data
