"""Adapters added to copies of the weights, for as long as nothing is trained.

A decode step with adapters multiplies three times where the base model does once. Added up before the rollout they
cost nothing more, and the frozen weights themselves are never touched, so that nothing drifts.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import nn


def adapted_layers(model: nn.Module) -> list[Any]:
    """The layers with adapters, empty if one of them must not be added up.

    In half precision, autocast included, a small update would round away, so that the sampler would not be the policy;
    on a GPU copies of the weights take memory that completions need. The adapters of an output head must not change the
    embeddings with which it shares its weights.
    """
    from peft.tuners.lora import LoraLayer

    layers: list[Any] = [module for module in model.modules() if isinstance(module, LoraLayer)]
    weights = [layer.get_base_layer().weight for layer in layers]
    names = Counter(id(parameter) for _, parameter in model.named_parameters(remove_duplicate=False))
    if torch.is_autocast_enabled("cpu"):
        return []
    is_plain = all(
        weight.dtype is torch.float32 and weight.device.type == "cpu" and names[id(weight)] == 1 for weight in weights
    )
    return layers if is_plain else []


@contextlib.contextmanager
def merged_adapters(model: nn.Module, without_adapters: AbstractContextManager[None]) -> Iterator[None]:
    """Within this context the layers of ``model`` hold W + (alpha / rank) B A and compute ``without_adapters``.

    Nothing happens unless all adapters can be added, see :func:`adapted_layers`.
    """
    layers = adapted_layers(model)
    if not layers:
        yield
        return
    weights = [layer.get_base_layer().weight for layer in layers]
    kept = [weight.data for weight in weights]
    with torch.no_grad():
        deltas = (layer.get_delta_weight(layer.active_adapters[0]) for layer in layers)
        sums = [weight + delta for weight, delta in zip(kept, deltas, strict=True)]
    try:
        for weight, merged in zip(weights, sums, strict=True):
            weight.data = merged
        with without_adapters:
            yield
    finally:
        for weight, data in zip(weights, kept, strict=True):
            weight.data = data
