"""Mixtures of experts: their routers, which stay as they are, and the weights of their experts."""

from typing import TYPE_CHECKING

from torch import nn

from remot.models.parts import block_lists

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: Names of linear layers that weigh experts, where a family has no class of its own for them.
_GATES = ("gate", "router", "shared_expert_gate")


def routers(model: "PreTrainedModel") -> dict[str, nn.Module]:
    """Modules that choose or weigh experts, by name; none in a dense model.

    They are never trained: reinforcement learning of a few thousand samples would let the choice of experts of the
    sampler and of the scoring pass drift apart, and no loss here balances their load.
    """
    found = {}
    for name, module in model.named_modules():
        is_linear_gate = isinstance(module, nn.Linear) and name.rpartition(".")[2] in _GATES
        if "Router" in type(module).__name__ or is_linear_gate:
            found[name] = module
    return found if experts(model) else {}


def experts(model: "PreTrainedModel") -> list[str]:
    """Names of the parameters that hold the weights of all experts of a layer, [experts, rows, columns] each."""
    lists = block_lists(model, with_vision=False)
    return [
        name
        for name, parameter in model.named_parameters()
        if parameter.ndim == 3
        and ".experts." in name
        and ".lora_" not in name
        and any(f"{prefix}." in name for prefix in lists)
    ]
