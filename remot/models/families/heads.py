"""Output heads: what families do to the product of hidden state and output weights."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: From hidden states [..., H] to logits [..., V].
Head = Callable[[Tensor], Tensor]


def head_candidates(model: "PreTrainedModel") -> dict[str, Head]:
    """The heads that a model may have by its configuration, the plain product first."""
    linear: Head = model.get_output_embeddings()
    held = {
        name: value for config in (model.config, model.config.get_text_config()) for name, value in vars(config).items()
    }
    heads: dict[str, Head] = {"linear": linear}
    if cap := held.get("final_logit_softcapping"):
        heads["softcapped"] = lambda hidden: torch.tanh(linear(hidden) / cap) * cap
    if scale := held.get("logit_scale"):
        heads["scaled"] = lambda hidden: linear(hidden) * scale
    if scaling := held.get("logits_scaling"):
        heads["divided"] = lambda hidden: linear(hidden) / scaling
    return heads
