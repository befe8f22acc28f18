"""Parts of a transformers model, found by what they are: its language model, its vision tower, its positions."""

import re
from itertools import chain
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import PreTrainedModel
    from transformers.modeling_outputs import BaseModelOutputWithPast


#: Names by which transformers keeps vision towers and what lies between them and the language model, needed before the
#: model is there.
VISION_NAMES = ("visual", "vision_tower", "vision_model", "vision_encoder", "multi_modal_projector", "connector")


def language_model(model: "PreTrainedModel") -> nn.Module:
    """The decoder over embeddings of words and images, without the output head."""
    decoder: nn.Module = model.get_decoder()
    return decoder


def run_language_model(
    model: "PreTrainedModel",
    *,
    position_ids: Any,  # noqa: ANN401 - among settings that are passed on
    **settings: object,
) -> "BaseModelOutputWithPast":
    """One pass of :func:`language_model` at rotary positions [3, B, S], the first of which a plain model takes."""
    positions = position_ids if has_grid_positions(model) else position_ids[0]
    return language_model(model)(position_ids=positions, **settings)


def has_grid_positions(model: "PreTrainedModel") -> bool:
    """True if a token has positions in time, height and width; otherwise one number."""
    return hasattr(model.model, "get_rope_index")


def vision_parts(model: "PreTrainedModel") -> dict[str, nn.Module]:
    """Everything of a model but its language model and output head, by name: vision tower, projector, connector."""
    decoder = language_model(model)
    return {
        name: module
        for name, module in model.model.named_children()
        if decoder not in set(module.modules()) and next(module.parameters(), None) is not None
    }


def tower_tensors(model: "PreTrainedModel") -> dict[str, Tensor]:
    """Parameters and buffers that features of images may depend on: all but the language model's and the head's."""
    others = {
        id(tensor)
        for module in (language_model(model), model.get_output_embeddings())
        for tensor in chain(module.parameters(), module.buffers())
    }
    named = chain(model.named_parameters(), model.named_buffers())
    return {name: tensor for name, tensor in named if id(tensor) not in others}


def vision_pattern(model: "PreTrainedModel") -> str:
    """Regular expression for the names of all modules in :func:`vision_parts`."""
    names = "|".join(re.escape(name) for name in vision_parts(model))
    return rf".*\b({names})\..*"


def block_lists(model: "PreTrainedModel", *, with_vision: bool) -> dict[str, nn.ModuleList]:
    """The longest module list of the language model, and of each vision part, by its name such as ``visual.blocks``."""
    parts: list[nn.Module] = [language_model(model), *(vision_parts(model).values() if with_vision else ())]
    lists = {name: module for name, module in model.named_modules() if isinstance(module, nn.ModuleList)}
    found = {}
    for part in parts:
        inside = {id(module) for module in part.modules()}
        own = {name: module for name, module in lists.items() if id(module) in inside}
        if own:
            name = max(own, key=lambda name: len(own[name]))
            found[name.removeprefix("model.")] = own[name]
    return found


def blocks(model: "PreTrainedModel") -> list[nn.Module]:
    """Blocks of the language model and of the vision tower, each gathered by itself where weights are divided."""
    return [block for held in block_lists(model, with_vision=True).values() for block in held]
