"""Output heads: what families do to the product of hidden state and output weights."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Head(nn.Module):
    """From hidden states [..., H] to logits [..., V].

    Args:
        linear: The output weights.
        finish: What is done to the product.
    """

    def __init__(self, linear: nn.Module, finish: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.linear = linear
        self.finish = finish

    def forward(self, hidden: Tensor) -> Tensor:
        """Logits."""
        return self.finish(self.linear(hidden))


def head_candidates(model: "PreTrainedModel") -> dict[str, nn.Module]:
    """The heads that a model may have by its configuration, the plain product first."""
    linear: nn.Module = model.get_output_embeddings()
    configs = (model.config, model.config.get_text_config())
    held = {name: value for config in configs for name, value in vars(config).items()}
    heads = {"linear": linear}
    if cap := held.get("final_logit_softcapping"):
        heads["softcapped"] = Head(linear, lambda logits: torch.tanh(logits / cap) * cap)
    if scale := held.get("logit_scale"):
        heads["scaled"] = Head(linear, lambda logits: logits * scale)
    if scaling := held.get("logits_scaling"):
        heads["divided"] = Head(linear, lambda logits: logits / scaling)
    return heads
