"""Passes over prompts that fill a cache: a long prompt some columns at a time, so that activations stay small.

A causal model computes a column from those before it, so that nothing but the order of sums depends on the parts. What
a pass over all columns holds at once (embeddings, gate and up of a feed-forward layer, queries) grows with the prompt;
in parts only keys and values do.

Notation: P prompts, G completions, B rows, L prompt columns, S columns, H hidden size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from remot.models.inputs.prompts import EncodedPrompts
from remot.models.packing.attention import PromptChunks
from remot.models.packing.forward import run_rows, separate_rows
from remot.models.packing.selection import FULL_ATTENTION
from remot.models.parts import language_model

if TYPE_CHECKING:
    from transformers import Cache, PreTrainedModel

    from remot.models.packing.kv_cache import SharedPromptCache

#: Tokens that one pass takes of all prompts together, as far as each gives it :data:`LEAST_COLUMNS`. Fewer take less
#: memory and more time: products with weights have fewer rows, and a mask is added for more of the keys.
PASS_TOKENS = 2048
#: Columns of each prompt in one pass at least, so that prompts with a few images are never divided.
LEAST_COLUMNS = 1024


@dataclass(frozen=True, eq=False)
class PromptColumns:
    """What one pass takes of P prompts."""

    input_ids: Tensor  # [P, L]
    visual_mask: Tensor  # [P, L] bool, True for placeholders
    position_ids: Tensor  # [3, P, L] rotary positions
    features: Sequence[Tensor]  # for each level the features [visual tokens, H] of all placeholders in order

    def parts(self, num_columns: int) -> "Iterator[tuple[int, PromptColumns]]":
        """``num_columns`` columns of each prompt at a time, with the number of the first."""
        length = self.input_ids.shape[1]
        for start in range(0, length, num_columns):
            yield start, self if num_columns >= length else self._part(slice(start, start + num_columns))

    def _part(self, columns: slice) -> "PromptColumns":
        in_part = torch.zeros_like(self.visual_mask)  # [P, L]
        in_part[:, columns] = True
        is_shown = in_part[self.visual_mask]  # [visual tokens], as they are in the order of prompts, then columns
        return PromptColumns(
            input_ids=self.input_ids[:, columns],
            visual_mask=self.visual_mask[:, columns],
            position_ids=self.position_ids[..., columns],
            features=[level[is_shown] for level in self.features],
        )


def columns_of_pass(num_prompts: int) -> int:
    """Columns of each of P prompts that one pass takes."""
    return max(LEAST_COLUMNS, PASS_TOKENS // num_prompts)


def prefilled(
    model: "PreTrainedModel", encoded: EncodedPrompts, num_columns: int | None = None
) -> "tuple[Tensor, SharedPromptCache]":
    """The last real hidden state of each prompt [P, H], and a cache that its completions share.

    Right padding is never attended to under the causal mask, so no other mask is needed.

    Args:
        model: A transformers model whose attention is :func:`remot.models.packing.attention.packed_attention`.
        encoded: P prompts.
        num_columns: Of each prompt in one pass; :func:`columns_of_pass` if None.
    """
    from remot.models.packing.kv_cache import SharedPromptCache

    prompts = encoded.prompts
    num_layers = model.config.get_text_config().num_hidden_layers
    cache = SharedPromptCache(num_layers, prompts.prompt_mask, model.get_input_embeddings().weight.dtype)
    columns = PromptColumns(prompts.input_ids, prompts.visual_mask, prompts.position_ids, encoded.features)
    # transformers makes no mask of its own where it is given one
    later = {"attention_mask": cache.prompt_bias, "row_layout": PromptChunks(prompts.input_ids.shape[1])}
    parts = columns.parts(num_columns or columns_of_pass(len(prompts)))
    return _last_states(model, cache, parts, prompts.prompt_lengths - 1, later), cache


def prefilled_alone(
    model: "PreTrainedModel", encoded: EncodedPrompts, num_completions: int, num_columns: int | None = None
) -> "tuple[Tensor, Cache]":
    """Last hidden states [P*G, H] of prompts of one length, and transformers' own cache with as many rows.

    Layers that carry a state, or look back over a window, get the whole prompt at once: not every release of
    transformers goes on from a state with more than one token.
    """
    from transformers import DynamicCache

    rows = separate_rows(encoded, encoded.prompts.input_ids.new_zeros(len(encoded), 1, 0))
    columns = PromptColumns(rows.input_ids, rows.visual_mask, rows.position_ids, rows.features)
    text, length = model.config.get_text_config(), rows.input_ids.shape[1]
    cache = DynamicCache(config=text)
    is_plain = set(getattr(text, "layer_types", None) or ()) <= {FULL_ATTENTION}
    parts = columns.parts((num_columns or columns_of_pass(len(encoded))) if is_plain else length)
    last = torch.full((len(encoded),), length - 1, device=rows.input_ids.device)
    hidden = _last_states(model, cache, parts, last, {})  # [P, H]
    # Every layer of transformers' caches can be reordered; those with a recurrent state have no batch_select_indices.
    copies = torch.arange(len(encoded), device=hidden.device).repeat_interleave(num_completions)
    cache.reorder_cache(copies)
    return hidden[copies], cache


def _last_states(
    model: "PreTrainedModel",
    cache: "Cache",
    parts: "Iterator[tuple[int, PromptColumns]]",
    last: Tensor,
    later: dict[str, object],
) -> Tensor:
    """Hidden states [P, H] of columns ``last`` [P]; passes after the first get the settings ``later``."""
    from remot.models.packing.kv_cache import cache_argument

    rows, found = torch.arange(len(last), device=last.device), None
    for start, part in parts:
        settings = {"position_ids": part.position_ids, **cache_argument(cache, language_model(model))}
        settings |= later if start else {}
        output = run_rows(model, part.input_ids, part.visual_mask, part.features, **settings)
        states: Tensor = output.last_hidden_state  # [P, n, H]
        here = states[rows, (last - start).clamp(0, states.shape[1] - 1)]  # [P, H]
        # a part behind a prompt's end changes nothing, one before it is followed by the one that holds it
        found = here if found is None else torch.where((last >= start)[:, None], here, found)
    assert found is not None
    return found
