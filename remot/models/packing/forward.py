"""Passes of the language model: embeddings of words and images in, hidden states out. No state but the model's.

A packed pass computes each prompt once for all its completions. The plain computation has a row for each completion,
behind a copy of its prompt and causal without a mask: G times the work. It is the fallback for models that do not
compute the same in packed rows, and the reference that packed rows are compared with.

Notation: P prompts, G completions, B = P*G rows, L prompt columns, T completion columns, S columns, H hidden size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import pad

from remot.models.inputs.prompts import EncodedPrompts
from remot.models.packing.attention import PackedLayout, RowMask, completion_mask, packed_block_mask, pad_to_multiple
from remot.models.packing.masks import (
    additive_mask,
    packed_attention_mask,
    packed_position_ids,
    packed_predictor_columns,
)
from remot.models.parts import language_model, run_language_model

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
        visual: [B, S] bool, True where a feature replaces the embedding of a placeholder.
        features: Pooled features, then those of the DeepStack levels; none if nothing is shown.
        mask: [B, 1, S, columns] bool, True for what may be attended to, or the same in blocks; causal if None.
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
    return run_language_model(model, inputs_embeds=embeds, attention_mask=mask, **kwargs)


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


# -- sampling ------------------------------------------------------------------------------------------------------


def prefilled(model: "PreTrainedModel", encoded: EncodedPrompts, room: int) -> "tuple[Tensor, Cache]":
    """The last real hidden state of each prompt [P, H], and a cache with L columns and ``room`` for more.

    Right padding is never attended to under the causal mask, so no other mask is needed.
    """
    from remot.models.packing.kv_cache import cache_argument, preallocated_cache

    prompts = encoded.prompts
    cache = preallocated_cache(model.config.get_text_config().num_hidden_layers, room)
    settings = cache_argument(cache, language_model(model))
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
    settings = {"position_ids": rows.position_ids, **cache_argument(cache, language_model(model))}
    output = run_rows(model, rows.input_ids, rows.visual_mask, rows.features, None, **settings)
    keep_rows(cache, [0] * num_completions)
    return output.last_hidden_state[:, -1].expand(num_completions, -1), cache


def next_states(
    model: "PreTrainedModel", token_ids: Tensor, position: Tensor, allowed: Tensor | None, cache: "Cache"
) -> Tensor:
    """Hidden states [P, G, H] after one more token of each completion; see ``VLMPolicy.decode_step``."""
    from remot.models.packing.kv_cache import cache_argument

    embeds = model.get_input_embeddings()(token_ids)
    output = run_language_model(
        model,
        inputs_embeds=embeds,
        attention_mask=None if allowed is None else additive_mask(allowed[:, None], embeds.dtype),
        position_ids=position[None, :, None].expand(3, -1, token_ids.shape[1]),
        **cache_argument(cache, language_model(model)),
    )
    hidden: Tensor = output.last_hidden_state
    return hidden


# -- scoring -------------------------------------------------------------------------------------------------------


def packed_states(
    model: "PreTrainedModel", encoded: EncodedPrompts, completion_ids: Tensor, row_mask: RowMask
) -> Tensor:
    """Hidden states [P*G*T, H] from which the completion tokens are predicted, each prompt computed once.

    Args:
        model: The policy's or the reference's transformers model.
        encoded: P prompts.
        completion_ids: [P, G, T].
        row_mask: Kind of attention mask. Blocks become the dense mask where a gradient is wanted on a CPU, as
            FlexAttention has no backward pass there.
    """
    num_prompts, num_completions, num_tokens = completion_ids.shape
    prompts, length = encoded.prompts, encoded.prompts.input_ids.shape[1]
    extra_ids = completion_ids.reshape(num_prompts, -1)  # [P, G*T]
    positions = packed_position_ids(prompts.position_ids, prompts.next_position, num_completions, num_tokens)
    mask: Tensor | BlockMask
    settings: dict[str, object] = {}
    if row_mask is RowMask.PARTS:
        text = model.config.get_text_config()
        heads_per_key = int(text.num_attention_heads) // int(text.num_key_value_heads)
        mask = completion_mask(prompts.prompt_mask, num_tokens, heads_per_key)
        settings["row_parts"] = PackedLayout(length, num_completions, num_tokens)
    elif row_mask is RowMask.BLOCKS and (extra_ids.is_cuda or not torch.is_grad_enabled()):
        total = pad_to_multiple(length + extra_ids.shape[1])
        padding = (0, total - length - extra_ids.shape[1])
        extra_ids, positions = pad(extra_ids, padding), pad(positions, padding)
        mask = packed_block_mask(prompts.prompt_mask, num_completions, num_tokens, total)
    else:
        mask = packed_attention_mask(prompts.prompt_mask, num_completions, num_tokens)
    output = run_prompts(model, encoded, extra_ids, mask, position_ids=positions, use_cache=False, **settings)
    columns = packed_predictor_columns(prompts.prompt_lengths, length, num_completions, num_tokens)  # [P, G, T]
    return _states_at(output, columns.reshape(num_prompts, -1))


def separate_states(model: "PreTrainedModel", encoded: EncodedPrompts, completion_ids: Tensor) -> Tensor:
    """As :func:`packed_states` by the plain computation, each completion behind a copy of its prompt."""
    rows = separate_rows(encoded, completion_ids)
    settings = {"position_ids": rows.position_ids, "use_cache": False}
    output = run_rows(model, rows.input_ids, rows.visual_mask, rows.features, None, **settings)
    return _states_at(output, rows.predictor_columns)


def _states_at(output: "BaseModelOutputWithPast", columns: Tensor) -> Tensor:
    """Last hidden states [rows*C, H] at ``columns`` [rows, C]."""
    rows = torch.arange(len(columns), device=columns.device)[:, None]
    hidden: Tensor = output.last_hidden_state[rows, columns]
    return hidden.flatten(0, 1)


@dataclass(frozen=True, eq=False)
class SeparateRows:
    """Each completion behind a copy of its prompt, padded on the right."""

    input_ids: Tensor  # [B, S]
    visual_mask: Tensor  # [B, S] bool, True for placeholders
    position_ids: Tensor  # [3, B, S] rotary positions
    features: Sequence[Tensor]  # for each level the features of all placeholders in order
    predictor_columns: Tensor  # [B, T] column whose hidden state predicts each completion token


def separate_rows(encoded: EncodedPrompts, completion_ids: Tensor) -> SeparateRows:
    """Rows for ``completion_ids`` [P, G, T]; with T = 0 the prompts, each G times."""
    prompts = encoded.prompts
    num_prompts, num_completions, num_tokens = completion_ids.shape
    lengths = prompts.prompt_lengths.repeat_interleave(num_completions)[:, None]  # [B, 1]
    total = int(lengths.amax()) + num_tokens
    column = torch.arange(total, device=lengths.device).expand(num_prompts * num_completions, -1)  # [B, S]
    in_prompt, after = column < lengths, (column - lengths).clamp(min=0)  # [B, S] each

    def merged(of_prompt: Tensor, of_completion: Tensor) -> Tensor:
        """[P, L] of the prompts and [B, S] of the completions as [B, S]."""
        to_width = pad(of_prompt[:, :total], (0, max(0, total - of_prompt.shape[1])))  # [P, S]
        return torch.where(in_prompt, to_width.repeat_interleave(num_completions, dim=0), of_completion)

    ids = completion_ids.flatten(0, 1)  # [B, T]
    behind = ids.gather(1, after.clamp(max=num_tokens - 1)) if num_tokens else torch.zeros_like(column)
    next_position = prompts.next_position.repeat_interleave(num_completions)[:, None] + after
    counts = prompts.visual_mask.sum(-1).tolist()
    features = [
        torch.cat([part.repeat(num_completions, 1) for part in torch.split(level, counts)]) if len(level) else level
        for level in encoded.features
    ]
    return SeparateRows(
        input_ids=merged(prompts.input_ids, behind),
        visual_mask=merged(prompts.visual_mask, torch.zeros_like(in_prompt)),
        position_ids=torch.stack([merged(axis, next_position) for axis in prompts.position_ids]),
        features=features,
        predictor_columns=lengths - 1 + torch.arange(num_tokens, device=lengths.device),
    )
