"""Weights of linear layers in oneDNN's own layout, for as long as they do not change.

A decode step on a CPU multiplies every weight with a few rows, and most of its time is reading weights. In blocks that
fit the processor's registers they are read faster than row by row; docs/engine.md has the figures.
"""

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from functools import partial

import torch
from torch import Tensor, nn

#: Fewer numbers gain nothing.
LEAST_NUMBERS = 2**14
#: The most that copies of a model's weights may take. A fixed number, not the free memory: a run that goes on elsewhere
#: rounds as it did before.
MOST_BYTES = 2 * 2**30


@contextlib.contextmanager
def prepacked(layers: Iterable[nn.Module], plain: Mapping[nn.Parameter, Tensor] | None = None) -> Iterator[None]:
    """Within this context linear layers on a CPU compute with copies of their weights in another layout.

    Results differ by rounding. Layers of other kinds, and all layers under autocast or where the copies would take
    more than :data:`MOST_BYTES`, stay as they are. Nothing in the context may train or change a weight.

    Args:
        layers: The layers.
        plain: What weights hold again once they are copied, so that sums with adapters do not exist twice.
    """
    held = [layer for layer in layers if isinstance(layer, nn.Linear) and _is_packable(layer)]
    if torch.is_autocast_enabled("cpu") or not prepacked_bytes(held):
        held = []
    for layer in held:
        packed = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach())
        layer.forward = partial(_product, packed=packed, bias=layer.bias)  # type: ignore[method-assign]
        weight = layer.weight
        if plain and isinstance(weight, nn.Parameter) and weight in plain:
            weight.data = plain[weight]
    try:
        yield
    finally:
        for layer in held:
            del layer.forward


def prepacked_bytes(layers: Iterable[nn.Module]) -> int:
    """What the copies of the linear layers' weights take; 0 if that is more than they may."""
    weights = [layer.weight for layer in layers if type(layer) is nn.Linear]
    total = sum(weight.nbytes for weight in weights if weight.numel() >= LEAST_NUMBERS)
    return total if total <= MOST_BYTES else 0


def _is_packable(layer: nn.Linear) -> bool:
    """True for plain linear layers; those of bitsandbytes and others compute in their own way."""
    if type(layer) is not nn.Linear or layer.weight.device.type != "cpu" or layer.weight.numel() < LEAST_NUMBERS:
        return False
    has_layout = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not has_layout or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    is_half = layer.weight.dtype is torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return layer.weight.dtype is torch.float32 or is_half


def _product(rows: Tensor, *, packed: Tensor, bias: Tensor | None) -> Tensor:
    """[..., out] of ``rows`` [..., in]: what Inductor calls for the frozen weights of a compiled model."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, packed, bias, "none", [], "")
    return product
