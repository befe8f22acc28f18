"""Attention over packed rows, over parts of long prompts and in decode steps, by one function that takes all.

In a packed row stand a prompt and its completions, then the next prompt and its completions, and so on. A completion
sees its prompt and itself, and nothing is padded: a prompt of L columns with completions of T columns takes
L^2 / 2 + T * (L + T) pairs for each, or about L^2 / 2 + T * (L + T / 2) where T is several blocks of queries, and no
mask of a whole row. In a decode step a prompt's keys are read once for all its completions, and each completion reads
its own. Query heads that share their keys become further rows of one product, so that no keys are copied for them.
Of a long prompt a few columns at a time see those before them.

transformers calls the function that is registered under the name in the model's configuration, with whatever else the
language model was given; :data:`KERNEL_NAME` is ours.

Notation: P prompts, G completions, L prompt columns, T completion columns, S columns of a row; N query heads, K
key-value heads, R = N / K, D numbers of a head.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from remot.models.packing.masks import completion_bias

if TYPE_CHECKING:
    from torch import nn

    from remot.models.packing.kv_cache import SharedPromptCache

#: The attention function registered by :func:`register_kernel`.
KERNEL_NAME = "remot_packed"
#: Completions whose lengths differ by less are computed together, padded to the longest of them.
BUCKET_COLUMNS = 64
#: Queries of a completion that are computed together: over the keys up to the last of them.
BLOCK_QUERIES = 128


@dataclass(frozen=True, eq=False)
class PackedLayout:
    """Columns of a packed row.

    Args:
        groups: For each prompt its length, then those of its completions, in columns of the row.
    """

    groups: Sequence[Sequence[int]]
    #: :func:`completion_bias` by its sizes, for all layers.
    biases: dict[tuple[int, int], Tensor] = field(default_factory=dict)

    def bias(self, length: int, num_tokens: int, heads_per_key: int, like: Tensor) -> Tensor:
        """Numbers [R*T, L + T] to add to the scores of T tokens of completions, behind L columns that all see."""
        key = length, num_tokens
        if key not in self.biases:
            self.biases[key] = completion_bias(length, num_tokens, heads_per_key, like)
        return self.biases[key]


@dataclass(eq=False)
class PromptChunks:
    """Prompts whose columns are computed some at a time, behind the keys of those before.

    Args:
        length: L, columns of the prompts.
    """

    length: int
    _bias: Tensor | None = field(default=None, init=False)

    def bias(self, before: int, num_queries: int, heads_per_key: int, like: Tensor) -> Tensor:
        """Numbers [R*B, before + B] to add to the scores of B queries: parts of one tensor, for all layers."""
        if self._bias is None:
            self._bias = completion_bias(self.length, BLOCK_QUERIES, heads_per_key, like)
        shown = self._bias[:, self.length - before : self.length + num_queries]  # [R*BLOCK_QUERIES, before + B]
        if num_queries == BLOCK_QUERIES:
            return shown
        by_head = shown.reshape(heads_per_key, BLOCK_QUERIES, -1)  # [R, BLOCK_QUERIES, before + B]
        return by_head[:, :num_queries].flatten(0, 1)


def packed_attention(
    module: "nn.Module",
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    row_layout: PackedLayout | PromptChunks | None = None,
    shared_cache: "SharedPromptCache | None" = None,
    **kwargs: Any,  # noqa: ANN401 - as transformers calls it
) -> tuple[Tensor, None]:
    """Attention over a packed row, a part of prompts or of a decode step, otherwise what transformers calls ``sdpa``.

    Args:
        module: The attention layer.
        query: [P, N, S, D].
        key: [P, K, S, D].
        value: As ``key``.
        attention_mask: Numbers to add to the scores, or nothing.
        scaling: Multiplies the scores; None for D^-0.5.
        row_layout: What stands in the one row, P = 1, or prompts of whose columns the last ones of ``key`` are those of
            ``query``; then there is no mask.
        shared_cache: Keys and values of a decode step, of which ``query`` has a token of each completion.
        **kwargs: What else transformers passes on.

    Returns:
        [P, S, N, D] and no weights.
    """
    if shared_cache is not None:
        return decode_attention(query, shared_cache, int(module.layer_idx), scaling), None  # type: ignore[arg-type]
    if isinstance(row_layout, PromptChunks):
        before = key.shape[2] - query.shape[2]
        return _in_blocks((query, key, value), before, row_layout, scaling).transpose(1, 2), None
    if row_layout is not None:
        return row_attention((query, key, value), row_layout, scaling, float(kwargs.get("dropout", 0.0))), None
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    mixed: tuple[Tensor, None] = sdpa_attention_forward(
        module, query, key, value, attention_mask, scaling=scaling, **kwargs
    )
    return mixed


def register_kernel() -> str:
    """Make :func:`packed_attention` known to transformers; the name to load a model with.

    Where a pass gives no mask of its own, transformers makes the one that ``sdpa`` gets. It would make none for a
    kernel whose masks it does not know, and layers with a sliding window would silently look back over the whole row.
    """
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    AttentionInterface.register(KERNEL_NAME, packed_attention)
    AttentionMaskInterface.register(KERNEL_NAME, sdpa_mask)
    return KERNEL_NAME


# -- packed rows ---------------------------------------------------------------------------------------------------

#: Queries, keys and values of the same columns.
States = tuple[Tensor, Tensor, Tensor]


def row_attention(states: States, layout: PackedLayout, scale: float | None, dropout: float = 0.0) -> Tensor:
    """Attention [1, S, N, D] of a packed row; ``states`` are those of :func:`packed_attention`."""
    sizes = [size for group in layout.groups for size in group]
    parts = list(zip(*(torch.split(part, sizes, dim=2) for part in states), strict=True))
    mixed: list[Tensor] = []
    for group in layout.groups:
        (prompt, *completions), parts = parts[: len(group)], parts[len(group) :]
        mixed.append(_causal(prompt, scale, dropout))
        of_group: dict[int, Tensor] = {}
        for numbers in _of_similar_length(group[1:]):
            together = [completions[number] for number in numbers]
            of_group |= zip(numbers, _behind_prompt(prompt, together, layout, scale, dropout), strict=True)
        mixed += [of_group[number] for number in sorted(of_group)]
    return torch.cat(mixed, dim=1)


def _causal(prompt: States, scale: float | None, dropout: float) -> Tensor:
    """A prompt by itself, without a mask: [1, L, N, D]."""
    query, key, value = prompt
    heads_per_key = query.shape[1] // key.shape[1]
    keys, values = (part.repeat_interleave(heads_per_key, dim=1) for part in (key, value))
    mixed = scaled_dot_product_attention(query, keys, values, dropout_p=dropout, is_causal=True, scale=scale)
    return mixed.transpose(1, 2)


def _of_similar_length(lengths: Sequence[int]) -> list[list[int]]:
    """Numbers of the completions that are computed together; those without a column are left out."""
    buckets: dict[int, list[int]] = defaultdict(list)
    for number, length in enumerate(lengths):
        if length > 0:
            buckets[-(-length // BUCKET_COLUMNS)].append(number)
    return list(buckets.values())


def _behind_prompt(
    prompt: States, completions: Sequence[States], layout: PackedLayout, scale: float | None, dropout: float
) -> list[Tensor]:
    """Completions over their prompt and themselves: [1, T, N, D] each, of its own length T."""
    lengths = [query.shape[2] for query, _, _ in completions]
    longest = max(lengths)
    query, own_keys, own_values = (_stacked(parts, longest) for parts in zip(*completions, strict=True))
    keys, values = (
        torch.cat([shared.expand(len(lengths), -1, -1, -1), own], dim=2)
        for shared, own in zip(prompt[1:], (own_keys, own_values), strict=True)
    )  # [C, K, L + T, D]
    mixed = _in_blocks((query, keys, values), prompt[0].shape[2], layout, scale, dropout)
    rows = mixed.transpose(1, 2).unbind()  # C of [T, N, D]
    return [row[None, :own] for row, own in zip(rows, lengths, strict=True)]


def _in_blocks(
    states: States, before: int, layout: PackedLayout | PromptChunks, scale: float | None, dropout: float = 0.0
) -> Tensor:
    """Queries [C, N, T, D] that stand behind ``before`` keys, over those and their own up to each: [C, N, T, D]."""
    query, keys, values = states
    mixed = [
        _block((block, keys, values), before + number * BLOCK_QUERIES, layout, scale, dropout)
        for number, block in enumerate(torch.split(query, BLOCK_QUERIES, dim=2))
    ]
    return torch.cat(mixed, dim=2)


def _block(
    states: States, before: int, layout: PackedLayout | PromptChunks, scale: float | None, dropout: float
) -> Tensor:
    """Queries [C, N, B, D] that stand behind ``before`` keys, over those and their own: [C, N, B, D]."""
    query, keys, values = states
    count, num_heads, num_queries, size = query.shape
    heads_per_key, end = num_heads // keys.shape[1], before + num_queries
    mixed = scaled_dot_product_attention(
        query.reshape(count, keys.shape[1], -1, size),  # [C, K, R*B, D]
        keys[:, :, :end],
        values[:, :, :end],
        attn_mask=layout.bias(before, num_queries, heads_per_key, query),
        dropout_p=dropout,
        scale=scale,
    )
    return mixed.view(query.shape)


def _stacked(parts: Sequence[Tensor], longest: int) -> Tensor:
    """Parts [1, heads, T, D] of several lengths as [C, heads, longest, D]; no token attends to what is added."""
    return torch.cat([pad(part, (0, 0, 0, longest - part.shape[2])) for part in parts])


# -- decode steps --------------------------------------------------------------------------------------------------


def decode_attention(query: Tensor, cache: "SharedPromptCache", layer: int, scale: float | None) -> Tensor:
    """Attention [U, C, N, D] of a token of each of C completions of U prompts, from ``query`` [U, N, C, D].

    One softmax over the prompt's columns, whose keys are read once for all completions, and a completion's own.
    """
    (keys, own_keys), (values, own_values) = cache.of_layer(layer)
    prompts, num_heads, completions, size = query.shape
    key_heads, length = keys.shape[1:3]
    groups, heads_per_key = prompts * key_heads, num_heads // key_heads
    scaled = query if scale == 1.0 else query * (size**-0.5 if scale is None else scale)
    by_key = scaled.view(prompts, key_heads, heads_per_key, completions, size).transpose(2, 3)
    by_key = by_key.contiguous()  # [U, K, C, R, D]
    rows = by_key.view(groups * completions, heads_per_key, size)  # [U*K*C, R, D]
    to_prompt = torch.bmm(rows.view(groups, -1, size), keys.flatten(0, 1).transpose(1, 2))  # [U*K, C*R, L]
    if cache.is_padded:
        to_prompt.view(prompts, key_heads, -1, length).add_(cache.prompt_bias)
    to_own = torch.bmm(rows, own_keys.flatten(0, 2).transpose(1, 2))  # [U*K*C, R, t]
    if cache.own_bias is not None:
        to_own.add_(cache.own_bias)
    scores = torch.cat([to_prompt.view(*rows.shape[:2], length), to_own], dim=-1)  # [U*K*C, R, L + t]
    of_prompt, of_own = torch.split(torch.softmax(scores, dim=-1), [length, to_own.shape[-1]], dim=-1)
    from_prompt = torch.bmm(of_prompt.view(groups, -1, length), values.flatten(0, 1))  # [U*K, C*R, D]
    mixed = torch.baddbmm(from_prompt.view(rows.shape), of_own, own_values.flatten(0, 2))
    by_prompt = mixed.view(prompts, key_heads, completions, heads_per_key, size).transpose(1, 2)  # [U, C, K, R, D]
    return by_prompt.reshape(prompts, completions, num_heads, size)
