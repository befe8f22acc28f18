"""Passes of the language model: embeddings of words and images in, hidden states out. No state but the model's.

Notation: P prompts, G completions, L prompt columns, T completion columns, H hidden size.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from remot.models.inputs.prompts import EncodedPrompts
from remot.models.packing.attention import RowMask, packed_block_mask, pad_to_multiple
from remot.models.packing.masks import (
    additive_mask,
    packed_attention_mask,
    packed_position_ids,
    packed_predictor_columns,
)
from remot.models.packing.split_attention import PackedLayout, completion_mask
from remot.models.packing.unpacked import separate_rows

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask
    from transformers import Cache, PreTrainedModel
    from transformers.modeling_outputs import BaseModelOutputWithPast


def run_rows(
    model: "PreTrainedModel",
    ids: Tensor,
    visual: Tensor,
    features: Sequence[Tensor],
    mask: "Tensor | BlockMask | None",
    **kwargs: object,
) -> "BaseModelOutputWithPast":
    """One pass over rows of tokens.

    Args:
        model: The policy's or the reference's transformers model.
        ids: [B, S] token ids.
        visual: [B, S] bool, True for the places of the features.
        features: Pooled features, then those of the DeepStack levels; none if nothing is shown.
        mask: [B, 1, S, columns] bool, True for what may be looked at, or the same in blocks; causal if None.
        **kwargs: Positions and cache, for the language model.
    """
    embeds = model.get_input_embeddings()(ids)
    pooled, deepstack = features[:1], features[1:]
    for level in pooled:
        embeds = embeds.masked_scatter(visual[..., None], level.to(embeds.dtype))
    if deepstack:
        kwargs |= {"visual_pos_masks": visual, "deepstack_visual_embeds": list(deepstack)}
    if isinstance(mask, Tensor):
        mask = additive_mask(mask, embeds.dtype)
    return model.model.language_model(inputs_embeds=embeds, attention_mask=mask, **kwargs)


def run_prompts(
    model: "PreTrainedModel",
    encoded: EncodedPrompts,
    extra_ids: Tensor | None,
    mask: "Tensor | BlockMask | None",
    **kwargs: object,
) -> "BaseModelOutputWithPast":
    """:func:`run_rows` over the prompts, followed by ``extra_ids`` [P, E] if given."""
    prompts = encoded.prompts
    ids = prompts.input_ids if extra_ids is None else torch.cat([prompts.input_ids, extra_ids], dim=1)
    visual = torch.zeros_like(ids, dtype=torch.bool)
    visual[:, : prompts.visual_mask.shape[1]] = prompts.visual_mask
    return run_rows(model, ids, visual, encoded.features, mask, **kwargs)


def prefilled(model: "PreTrainedModel", encoded: EncodedPrompts, room: int) -> "tuple[Tensor, Cache]":
    """The last real hidden state of each prompt [P, H], and a cache with L columns and ``room`` for more.

    Right padding is never attended to under the causal mask, so no other mask is needed.
    """
    from remot.models.packing.kv_cache import cache_argument, preallocated_cache

    prompts = encoded.prompts
    cache = preallocated_cache(model.config.get_text_config().num_hidden_layers, room)
    settings = cache_argument(cache, model.model.language_model)
    output = run_prompts(model, encoded, None, None, position_ids=prompts.position_ids, **settings)
    last = prompts.prompt_lengths - 1
    rows = torch.arange(len(last), device=last.device)
    return output.last_hidden_state[rows, last], cache


def prefilled_alone(model: "PreTrainedModel", encoded: EncodedPrompts, num_completions: int) -> "tuple[Tensor, Cache]":
    """The last hidden state [G, H] of one prompt, and transformers' own cache with a row for each completion."""
    from transformers import DynamicCache

    from remot.models.packing.kv_cache import cache_argument, keep_rows

    rows = separate_rows(encoded, encoded.prompts.input_ids.new_zeros(1, 1, 0))
    cache = DynamicCache(config=model.config.get_text_config())
    settings = {"position_ids": rows.position_ids, **cache_argument(cache, model.model.language_model)}
    output = run_rows(model, rows.input_ids, rows.visual_mask, rows.features, None, **settings)
    keep_rows(cache, [0] * num_completions)
    return output.last_hidden_state[:, -1].expand(num_completions, -1), cache


def next_states(
    model: "PreTrainedModel", token_ids: Tensor, position: Tensor, allowed: Tensor | None, cache: "Cache"
) -> Tensor:
    """Hidden states [P, G, H] after one more token of each completion; see ``VLMPolicy.decode_step``."""
    from remot.models.packing.kv_cache import cache_argument

    embeds = model.get_input_embeddings()(token_ids)
    output = model.model.language_model(
        inputs_embeds=embeds,
        attention_mask=None if allowed is None else additive_mask(allowed[:, None], embeds.dtype),
        position_ids=position[None, :, None].expand(3, -1, token_ids.shape[1]),
        **cache_argument(cache, model.model.language_model),
    )
    hidden: Tensor = output.last_hidden_state
    return hidden


def packed_states(
    model: "PreTrainedModel", encoded: EncodedPrompts, completion_ids: Tensor, row_mask: RowMask
) -> Tensor:
    """Hidden states [P*G*T, H] from which the completion tokens are predicted, each prompt computed once.

    Args:
        model: The policy's or the reference's transformers model.
        encoded: P prompts.
        completion_ids: [P, G, T].
        row_mask: Kind of attention mask. Blocks become the dense mask where a gradient is wanted on a
            processor, as FlexAttention has no backward pass there.
    """
    num_prompts, num_completions, num_tokens = completion_ids.shape
    prompts, length = encoded.prompts, encoded.prompts.input_ids.shape[1]
    extra_ids = completion_ids.reshape(num_prompts, -1)
    positions = packed_position_ids(prompts.position_ids, prompts.next_position, num_completions, num_tokens)
    mask: Tensor | BlockMask
    settings: dict[str, object] = {}
    if row_mask is RowMask.PARTS:
        mask = completion_mask(prompts.prompt_mask, num_tokens, _heads_per_key(model))
        settings["row_parts"] = PackedLayout(length, num_completions, num_tokens)
    elif row_mask is RowMask.BLOCKS and (extra_ids.is_cuda or not torch.is_grad_enabled()):
        total = pad_to_multiple(length + extra_ids.shape[1])
        filling = (0, total - length - extra_ids.shape[1])
        extra_ids, positions = (torch.nn.functional.pad(part, filling) for part in (extra_ids, positions))
        mask = packed_block_mask(prompts.prompt_mask, num_completions, num_tokens, total)
    else:
        mask = packed_attention_mask(prompts.prompt_mask, num_completions, num_tokens)
    output = run_prompts(model, encoded, extra_ids, mask, position_ids=positions, use_cache=False, **settings)
    columns = packed_predictor_columns(prompts.prompt_lengths, length, num_completions, num_tokens)
    rows = torch.arange(num_prompts, device=columns.device)[:, None]
    hidden: Tensor = output.last_hidden_state[rows, columns.reshape(num_prompts, -1)]
    return hidden.flatten(0, 1)


def _heads_per_key(model: "PreTrainedModel") -> int:
    text = model.config.get_text_config()
    return int(text.num_attention_heads) // int(text.num_key_value_heads)


def separate_states(model: "PreTrainedModel", encoded: EncodedPrompts, completion_ids: Tensor) -> Tensor:
    """As :func:`packed_states` by the plain computation, each completion behind a copy of its prompt."""
    rows = separate_rows(encoded, completion_ids)
    output = run_rows(
        model,
        rows.input_ids,
        rows.visual_mask,
        rows.features,
        None,
        position_ids=rows.position_ids,
        use_cache=False,
    )
    number = torch.arange(len(rows.input_ids), device=rows.input_ids.device)[:, None]
    hidden: Tensor = output.last_hidden_state[number, rows.predictor_columns]
    return hidden.flatten(0, 1)
