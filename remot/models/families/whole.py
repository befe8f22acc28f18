"""A model's own forward pass over prompt and completion: nothing shared but the prompt's cache while decoding.

Notation: P prompts, G completions, L columns of one prompt, T completion columns, H hidden size.
"""

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from remot.models.inputs.feature_store import StoredFeatures
from remot.models.inputs.prompts import ProcessedPrompts
from remot.models.parts import has_grid_positions

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel


def whole_states(model: "PreTrainedModel", prompts: ProcessedPrompts, completion_ids: Tensor) -> Tensor:
    """Hidden states [P*G*T, H] from which the tokens of ``completion_ids`` [P, G, T] are predicted."""
    parts = []
    for p, ids in enumerate(completion_ids):
        inputs = own_arguments(model, prompts, p, ids)
        hidden = model.model(**inputs, use_cache=False).last_hidden_state  # [G, L + T, H]
        parts.append(hidden[:, -ids.shape[1] - 1 : -1].flatten(0, 1))
    return torch.cat(parts)


def prefilled_whole(
    model: "PreTrainedModel", prompts: ProcessedPrompts, num_completions: int
) -> "tuple[Tensor, Cache]":
    """The last hidden state [G, H] of one prompt, and transformers' own cache with a row for each completion."""
    from transformers import DynamicCache

    from remot.models.packing.kv_cache import cache_argument

    inputs = own_arguments(model, prompts, 0, prompts.input_ids.new_zeros(1, 0))
    cache = DynamicCache(config=model.config.get_text_config())
    cache.is_whole = True
    output = model.model(**inputs, **cache_argument(cache, model.model))
    cache.reorder_cache(torch.zeros(num_completions, dtype=torch.long, device=inputs["input_ids"].device))
    return output.last_hidden_state[:, -1].expand(num_completions, -1), cache


def is_whole(cache: "Cache") -> bool:
    """Whether :func:`prefilled_whole` has made a cache, so that :func:`next_whole` continues it."""
    return getattr(cache, "is_whole", False)


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
    """Arguments of ``model.model`` for the prompt ``row`` before each of ``ids`` [G, T].

    What the processor gives for each token goes on as transformers' own generation continues it.
    """
    assert prompts.own is not None
    (num_rows, num_tokens), length = ids.shape, int(prompts.prompt_lengths[row])
    taken = inspect.signature(model.model.forward).parameters
    held = {name: tensor for name, tensor in prompts.own.tensors[row].items() if name in taken}
    if num_tokens:
        after = model._update_model_kwargs_for_generation({}, dict(held), is_encoder_decoder=False)
        for name, tensor in held.items():
            if after[name].shape != tensor.shape:  # a value for each token
                held[name] = torch.cat([tensor, after[name][:, -1:].repeat_interleave(num_tokens, dim=1)], dim=1)
    repeated = {name: tensor.repeat(num_rows, *[1] * (tensor.ndim - 1)) for name, tensor in held.items()}
    prompt = prompts.input_ids[row, :length].expand(num_rows, -1)
    return {"input_ids": torch.cat([prompt, ids], dim=1), **repeated}


def features_of(
    model: "PreTrainedModel", inputs: Mapping[str, Tensor], kind: str, stored: StoredFeatures | None = None
) -> list[Tensor]:
    """Features [visual tokens, H] of one prompt's images or videos (``kind`` is ``image`` or ``video``), by level."""
    method = getattr(model.model, f"get_{kind}_features")
    taken = inspect.signature(method).parameters
    arguments = {name: tensor for name, tensor in inputs.items() if name in taken}
    width = model.config.get_text_config().hidden_size

    def compute() -> list[Tensor]:
        output = method(**arguments, return_dict=True)
        levels = [output.pooler_output, *(getattr(output, "deepstack_features", None) or ())]
        whole = [
            level if isinstance(level, Tensor) else torch.cat([part.reshape(-1, width) for part in level])
            for level in levels
        ]
        return [level.reshape(-1, width) for level in whole]

    return compute() if stored is None else stored.of(model)(kind, arguments, compute)
