"""Linear layers with LoRA adapters that add their update in the product itself.

peft computes W x, then B A x, multiplies that by alpha / rank and adds it, each in a pass of its own over a result of
the layer's width. Here the second product adds to the first and scales, as BLAS does in one call.
"""

from typing import Any

import torch
from peft.tuners.lora import Linear
from torch import Tensor, nn
from torch.distributed.tensor import DTensor


class AddingLinear(Linear):  # type: ignore[misc]
    """A linear layer with adapters, as peft's; whatever is not one plain adapter is left to it."""

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:  # noqa: ANN401 (as peft takes them)
        """[..., out] of ``x`` [..., in]."""
        name = None if args or kwargs else self._plain_adapter(x)
        if name is None:
            mixed: Tensor = super().forward(x, *args, **kwargs)
            return mixed
        rows = x.flatten(0, -2)  # [S, in]
        product: Tensor = self.base_layer(rows)  # [S, out], of which nothing else holds on to
        inner = self.lora_A[name](rows)  # [S, rank]
        product.addmm_(inner, self.lora_B[name].weight.t(), alpha=self.scaling[name])
        return product.view(*x.shape[:-1], -1)

    def _plain_adapter(self, x: Tensor) -> str | None:
        """The one adapter that is added, if it is added to numbers of its own precision and nothing drops out."""
        if self.disable_adapters or self.merged or len(self.active_adapters) != 1 or x.ndim < 2:
            return None
        (name,) = self.active_adapters
        if name not in self.lora_A or name in self.lora_variant:
            return None
        up, dropout, base = self.lora_B[name], self.lora_dropout[name], self.get_base_layer().weight
        drops_out = self.training and not isinstance(dropout, nn.Identity)
        has_others = up.bias is not None or any(isinstance(one, DTensor) for one in (base, up.weight))
        is_alike = x.dtype == base.dtype == up.weight.dtype == self.lora_A[name].weight.dtype
        is_plain = is_alike and not (drops_out or has_others or torch.is_autocast_enabled(x.device.type))
        return name if is_plain else None


def add_in_products(model: nn.Module) -> None:
    """Let the plain linear layers of ``model`` that have adapters be :class:`AddingLinear`; others stay."""
    for module in model.modules():
        layer: Any = module  # peft has no types
        if type(layer) is Linear and type(layer.get_base_layer()) is nn.Linear:
            layer.__class__ = AddingLinear
