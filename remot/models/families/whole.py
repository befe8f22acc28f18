"""A model's own forward pass over prompt and completion: nothing shared but the prompt's cache while decoding.

Notation: P prompts, G completions, L columns of one prompt, T completion columns, H hidden size.
"""

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import pad

from remot.models.parts import has_grid_positions
from remot.models.inputs.prompts import EncodedPrompts, ProcessedPrompts

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel


def whole_states(model: "PreTrainedModel", encoded: EncodedPrompts, completion_ids: Tensor) -> Tensor:
    """Hidden states [P*G*T, H] from which the tokens of ``completion_ids`` [P, G, T] are predicted."""
    prompts, parts = encoded.prompts, []
    for p, ids in enumerate(completion_ids):
        inputs = own_arguments(model, prompts, p, ids)
        hidden = model.model(**inputs, use_cache=False).last_hidden_state  # [G, L + T, H]
        parts.append(hidden[:, -ids.shape[1] - 1 : -1].flatten(0, 1))
    return torch.cat(parts)


def prefilled_whole(model: "PreTrainedModel", encoded: EncodedPrompts, num_completions: int) -> "tuple[Tensor, Cache]":
    """The last hidden state [G, H] of one prompt, and transformers' own cache with a row for each completion."""
    from transformers import DynamicCache

    from remot.models.packing.kv_cache import cache_argument, keep_rows

    inputs = own_arguments(model, encoded.prompts, 0, encoded.prompts.input_ids.new_zeros(1, 0))
    cache = DynamicCache(config=model.config.get_text_config())
    output = model.model(**inputs, **cache_argument(cache, model.model))
    keep_rows(cache, [0] * num_completions)
    return output.last_hidden_state[:, -1].expand(num_completions, -1), cache


def next_whole(model: "PreTrainedModel", token_ids: Tensor, position: Tensor, cache: "Cache") -> Tensor:
    """Hidden states [G, 1, H] after one more token [G, 1] of each completion, at ``position`` [G]."""
    from remot.models.packing.kv_cache import cache_argument

    settings: dict[str, object] = {}
    if has_grid_positions(model):  # otherwise the model counts the columns of the cache
        settings["position_ids"] = position[None, :, None].expand(3, -1, token_ids.shape[1])
    output = model.model(input_ids=token_ids, **settings, **cache_argument(cache, model.model))
    hidden: Tensor = output.last_hidden_state
    return hidden


def own_arguments(model: "PreTrainedModel", prompts: ProcessedPrompts, row: int, ids: Tensor) -> dict[str, Tensor]:
    """Arguments of ``model.model`` for the prompt ``row`` before each of ``ids`` [G, T]."""
    assert prompts.own is not None
    length, (num_rows, num_tokens) = int(prompts.prompt_lengths[row]), ids.shape
    prompt = prompts.input_ids[row, :length].expand(num_rows, -1)
    taken = inspect.signature(model.model.forward).parameters
    inputs = {
        name: _extended(name, tensor, length, num_tokens).repeat(num_rows, *[1] * (tensor.ndim - 1))
        for name, tensor in prompts.own.tensors[row].items()
        if name in taken
    }
    return {"input_ids": torch.cat([prompt, ids], dim=1), **inputs}


def _extended(name: str, tensor: Tensor, length: int, num_tokens: int) -> Tensor:
    """What is given for each token of a prompt, for the tokens behind it too: text, which looks at what the last did."""
    if tensor.ndim < 2 or tensor.shape[:2] != (1, length):
        return tensor
    if tensor.ndim == 2 and name != "attention_mask":
        return pad(tensor, (0, num_tokens))
    return torch.cat([tensor, tensor[:, -1:].repeat_interleave(num_tokens, dim=1)], dim=1)


def features_of(model: "PreTrainedModel", inputs: Mapping[str, Tensor], kind: str) -> list[Tensor]:
    """Features [visual tokens, H] of one prompt's images or videos (``kind`` is ``image`` or ``video``), by level."""
    compute = getattr(model.model, f"get_{kind}_features")
    taken = inspect.signature(compute).parameters
    output = compute(**{name: tensor for name, tensor in inputs.items() if name in taken}, return_dict=True)
    levels = [output.pooler_output, *(getattr(output, "deepstack_features", None) or ())]
    width = model.config.get_text_config().hidden_size
    whole = [level if isinstance(level, Tensor) else torch.cat([part.reshape(-1, width) for part in level]) for level in levels]
    return [level.reshape(-1, width) for level in whole]


