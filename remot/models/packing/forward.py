"""Passes of the language model: embeddings of words and images in, hidden states out. No state but the model's.

A packed pass computes each prompt once for all its completions, and no column of padding. The plain computation has a
row for each completion, behind a copy of its prompt and causal without a mask: G times the work. It is for models that
do not compute the same in packed rows, and the reference that packed rows are compared with.

Notation: P prompts, G completions, B rows, L prompt columns, T completion columns, S columns, H hidden size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import pad

from remot.models.inputs.prompts import EncodedPrompts
from remot.models.packing.attention import PackedLayout
from remot.models.packing.masks import packed_position_ids, packed_predictor_columns
from remot.models.parts import language_model, run_language_model

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel
    from transformers.modeling_outputs import BaseModelOutputWithPast

    from remot.models.packing.short_steps import ShortSteps


def run_rows(
    model: "PreTrainedModel",
    ids: Tensor,
    visual: Tensor,
    features: Sequence[Tensor],
    **kwargs: object,
) -> "BaseModelOutputWithPast":
    """One pass over rows of tokens, causal unless ``kwargs`` say otherwise.

    Args:
        model: The policy's or the reference's transformers model.
        ids: [B, S] token ids.
        visual: [B, S] bool, True where a feature replaces the embedding of a placeholder.
        features: Pooled features, then those of the DeepStack levels; none if nothing is shown.
        **kwargs: Positions, cache, layout and a mask, for the language model.
    """
    embeds = model.get_input_embeddings()(ids)
    pooled, deepstack = features[:1], features[1:]
    for level in pooled:
        embeds = embeds.masked_scatter(visual[..., None], level.to(embeds.dtype))
    if deepstack:
        kwargs |= {"visual_pos_masks": visual, "deepstack_visual_embeds": list(deepstack)}
    return run_language_model(model, inputs_embeds=embeds, **{"attention_mask": None} | kwargs)


# -- sampling ------------------------------------------------------------------------------------------------------


def next_states(
    model: "PreTrainedModel",
    token_ids: Tensor,
    position: Tensor,
    cache: "Cache",
    steps: "ShortSteps | None" = None,
) -> Tensor:
    """Hidden states [P, G, H] after one more token of each completion; see ``VLMPolicy.decode_step``.

    By ``steps`` where they are given and the cache is shared, else by the model's own layers.
    """
    from remot.models.packing.kv_cache import SharedPromptCache, cache_argument

    is_shared = isinstance(cache, SharedPromptCache)
    if is_shared and steps is not None:
        return steps.next_states(token_ids, position, cache)
    settings: dict[str, object] = {"attention_mask": None}
    if is_shared:
        cache.begin_step()
        # transformers makes no mask of its own where it is given one
        settings = {"attention_mask": cache.prompt_bias, "shared_cache": cache}
    output = run_language_model(
        model,
        inputs_embeds=model.get_input_embeddings()(token_ids),
        position_ids=position[None, :, None].expand(3, -1, token_ids.shape[1]),
        **settings,
        **cache_argument(cache, language_model(model)),
    )
    if is_shared:
        cache.end_step()
    hidden: Tensor = output.last_hidden_state
    return hidden


# -- scoring -------------------------------------------------------------------------------------------------------


def packed_states(model: "PreTrainedModel", encoded: EncodedPrompts, completion_ids: Tensor, wanted: Tensor) -> Tensor:
    """Hidden states [M, H] from which the M wanted completion tokens are predicted, all prompts in one row.

    Only what they depend on is computed: of a completion the columns before its last wanted token, of the prompts those
    that have one.

    Args:
        model: The policy's or the reference's transformers model.
        encoded: P prompts.
        completion_ids: [P, G, T].
        wanted: [P, G, T] bool.
    """
    _, num_completions, num_tokens = completion_ids.shape
    prompts, length = encoded.prompts, encoded.prompts.input_ids.shape[1]
    number = torch.arange(num_tokens, device=wanted.device)
    is_used = wanted.flatten(1).any(-1, keepdim=True)  # [P, 1]
    is_before = number < (number * wanted).amax(-1, keepdim=True)  # [P, G, T]
    in_prompt = prompts.prompt_mask & is_used
    in_row = torch.cat([in_prompt, is_before.flatten(1)], dim=1)  # [P, L + G*T]
    sizes = torch.cat([in_prompt.sum(-1, keepdim=True), is_before.sum(-1)], dim=1)  # [P, 1 + G]
    layout = PackedLayout([group for group in sizes.tolist() if group[0]])

    positions = packed_position_ids(prompts.position_ids, prompts.next_position, num_completions, num_tokens)
    ids = torch.cat([prompts.input_ids, completion_ids.flatten(1)], dim=1)
    visual = pad(prompts.visual_mask, (0, num_completions * num_tokens))
    is_shown = is_used.expand_as(prompts.visual_mask)[prompts.visual_mask]  # [visual tokens]
    output = run_rows(
        model,
        ids[in_row][None],
        visual[in_row][None],
        [level[is_shown] for level in encoded.features],
        position_ids=positions[:, in_row][:, None],
        use_cache=False,
        row_layout=layout,
    )
    columns = packed_predictor_columns(prompts.prompt_lengths, length, num_completions, num_tokens)  # [P, G, T]
    places = (in_row.flatten().cumsum(0) - 1).view_as(in_row).gather(1, columns.flatten(1))
    hidden: Tensor = output.last_hidden_state[0, places[wanted.flatten(1)]]
    return hidden


def separate_states(
    model: "PreTrainedModel", encoded: EncodedPrompts, completion_ids: Tensor, wanted: Tensor
) -> Tensor:
    """As :func:`packed_states` by the plain computation, each completion behind a copy of its prompt."""
    rows = separate_rows(encoded, completion_ids)
    settings = {"position_ids": rows.position_ids, "use_cache": False}
    output = run_rows(model, rows.input_ids, rows.visual_mask, rows.features, **settings)
    number = torch.arange(len(rows.input_ids), device=wanted.device)[:, None]
    hidden: Tensor = output.last_hidden_state[number, rows.predictor_columns][wanted.flatten(0, 1)]
    return hidden


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
