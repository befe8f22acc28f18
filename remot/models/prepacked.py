"""Weights of linear layers in oneDNN's own layout, for as long as they do not change.

A decode step on a CPU multiplies every weight with a few rows, and most of its time is reading weights. In blocks that
fit the processor's registers they are read faster than row by row; docs/engine.md has the figures.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

import torch
from torch import Tensor, nn

#: Fewer numbers gain nothing.
LEAST_NUMBERS = 2**18
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
    held = [layer for layer in layers if type(layer) is nn.Linear and is_packable(layer.weight)]
    if torch.is_autocast_enabled("cpu") or not prepacked_bytes(held):
        held = []
    for layer in held:
        weight = layer.weight
        layer.forward = packed_product(weight.detach(), layer.bias)  # type: ignore[assignment, method-assign]
        if plain and isinstance(weight, nn.Parameter) and weight in plain:
            weight.data = plain[weight]
    try:
        yield
    finally:
        for layer in held:
            del layer.forward


def prepacked_bytes(layers: Iterable[nn.Module]) -> int:
    """What copies of the linear layers' weights take, those of small ones for short steps too; 0 above the bound."""
    total = sum(layer.weight.nbytes for layer in layers if type(layer) is nn.Linear)
    return total if total <= MOST_BYTES else 0


def is_packable(weight: Tensor) -> bool:
    """True for weights [out, in] that are worth it, and of a kind that oneDNN knows.

    Those of bitsandbytes and others are computed with in their own way: a layer has to be a plain one.
    """
    if weight.device.type != "cpu" or weight.numel() < LEAST_NUMBERS:
        return False
    has_layout = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not has_layout or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    is_half = weight.dtype is torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return weight.dtype is torch.float32 or is_half


def packed_product(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    """From rows [..., in] to [..., out], with a copy of ``weight`` [out, in] in oneDNN's layout."""
    packed = torch.ops.mkldnn._reorder_linear_weight(weight)
    return partial(_product, packed=packed, bias=bias)


def _product(rows: Tensor, *, packed: Tensor, bias: Tensor | None) -> Tensor:
    """[..., out] of ``rows`` [..., in]: what Inductor calls for the frozen weights of a compiled model."""
    product: Tensor = torch.ops.mkldnn._linear_pointwise(rows, packed, bias, "none", [], "")
    return product
