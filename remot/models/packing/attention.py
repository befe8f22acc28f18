"""The ways to compute attention over packed rows, and the attention function that takes them all.

Completions of a packed row do not see each other, so with many of them most of the row's mask is empty: FlexAttention
skips empty blocks; attention in parts computes the prompt by itself, then each completion over the prompt and itself.
A packed row of L + G*T columns has (L + G*T)^2 pairs; in parts there are L^2 / 2 + G*T*(L + T), and no mask of a whole
row. Query heads that share their keys become further rows of one product, so that no keys are copied for them.

transformers hands a 4-D mask, dense or in blocks, to the attention function as it is, with whatever else the language
model was given, and calls the function that is registered under the name in the model's configuration;
:data:`KERNEL_NAME` is ours.

Notation as in :mod:`remot.models.packing.masks`; N query heads, K key-value heads, R = N / K, D numbers of a head.
"""

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention
from torch.nn.functional import pad, scaled_dot_product_attention

if TYPE_CHECKING:
    from torch import nn

#: The attention function registered by :func:`register_kernel`.
KERNEL_NAME = "remot_packed"
#: Packed rows have a multiple of this many columns, the side of a block, so that lengths repeat.
COLUMN_MULTIPLE = 128
#: Segment of the prompt's columns, and of the padding up to a multiple.
_PROMPT, _PADDING = -1, -2


class RowMask(Enum):
    """How attention gets the mask of a packed row; warnings print the values."""

    DENSE = "completions that share their prompt"
    BLOCKS = "FlexAttention's blocks"
    PARTS = "prompt and completions apart"


def packed_attention(
    module: "nn.Module",
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | BlockMask | None,
    scaling: float | None = None,
    row_parts: "PackedLayout | None" = None,
    **kwargs: Any,  # noqa: ANN401 - as transformers calls it
) -> tuple[Tensor, None]:
    """FlexAttention over blocks, attention in parts where a row has some, otherwise what transformers calls ``sdpa``.

    Args:
        module: The attention layer.
        query: [P, N, S, D].
        key: [P, K, S, D].
        value: As ``key``.
        attention_mask: Blocks, numbers to add to the scores, or nothing.
        scaling: Multiplies the scores; None for D^-0.5.
        row_parts: Layout of the rows; then the mask is :func:`completion_mask`.
        **kwargs: What else transformers passes on.

    Returns:
        [P, S, N, D] and no weights.
    """
    dropout = float(kwargs.get("dropout", 0.0))
    if isinstance(attention_mask, Tensor) and row_parts is not None:
        return grouped_attention(query, key, value, attention_mask, row_parts, scaling, dropout), None
    if isinstance(attention_mask, Tensor) and query.shape[2] < key.shape[2]:
        return folded_attention(query, key, value, attention_mask, scaling, dropout), None
    if not isinstance(attention_mask, BlockMask):
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        dense: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **kwargs
        )
        return dense
    kernel: Any = _compiled_flex_attention() if query.is_cuda else _plain_flex_attention
    group = query.shape[1] // key.shape[1]
    if group & (group - 1):  # the compiled kernel takes groups of a power of two only
        key, value = (states.repeat_interleave(group, dim=1) for states in (key, value))
        group = 1
    mixed = kernel(query, key, value, block_mask=attention_mask, scale=scaling, enable_gqa=group > 1)
    assert isinstance(mixed, Tensor)
    return mixed.transpose(1, 2).contiguous(), None


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


# -- FlexAttention over blocks -------------------------------------------------------------------------------------

#: From indices of prompt, head, query column and key column to whether the query may attend to the key.
MaskFunction = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def packed_mask_function(
    prompt_mask: Tensor, num_completions: int, num_tokens: int, num_columns: int | None = None
) -> MaskFunction:
    """The mask of :func:`remot.models.packing.masks.packed_attention_mask`, pair by pair.

    Lengths are in tensors only, so that a kernel compiled for one length serves all.

    Args:
        prompt_mask: [P, L] bool, True for real prompt tokens.
        num_completions: G.
        num_tokens: T.
        num_columns: Columns of the padded row, at least L + G*T; padding attends to itself only.
    """
    length, device = prompt_mask.shape[1], prompt_mask.device
    filled = length + num_completions * num_tokens
    total = num_columns if num_columns is not None else filled
    index = torch.arange(total, device=device)
    segment = (index - length).div(max(num_tokens, 1), rounding_mode="floor")
    segment = segment.masked_fill(index < length, _PROMPT).masked_fill(index >= filled, _PADDING)
    is_real = pad(prompt_mask, (0, total - length), value=True)

    def may_attend(prompt: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:  # noqa: ARG001
        asker, owner = segment[query], segment[key]
        belongs = (owner == _PROMPT) & (asker != _PADDING) | (asker == owner) & (asker >= 0)
        return (query >= key) & belongs & is_real[prompt, key] | (query == key)

    return may_attend


def packed_block_mask(prompt_mask: Tensor, num_completions: int, num_tokens: int, num_columns: int) -> BlockMask:
    """:func:`packed_mask_function` for FlexAttention: which blocks of columns are empty, full or mixed."""
    function = packed_mask_function(prompt_mask, num_completions, num_tokens, num_columns)
    sides = num_columns, num_columns
    return create_block_mask(
        function, len(prompt_mask), None, *sides, device=prompt_mask.device, BLOCK_SIZE=COLUMN_MULTIPLE
    )


def pad_to_multiple(num_columns: int) -> int:
    """The next multiple of :data:`COLUMN_MULTIPLE`."""
    return -(-num_columns // COLUMN_MULTIPLE) * COLUMN_MULTIPLE


@functools.cache
def _compiled_flex_attention() -> Callable[..., Tensor]:
    """One kernel for all lengths; without compilation FlexAttention would build all scores."""
    compiled: Callable[..., Tensor] = torch.compile(flex_attention, dynamic=True)
    return compiled


def _plain_flex_attention(*arguments: Any, **settings: Any) -> Any:  # noqa: ANN401
    """For a CPU, where it is used in checks only: PyTorch warns that it builds all scores."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="flex_attention called without torch.compile")
        return flex_attention(*arguments, **settings)


# -- attention in parts --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PackedLayout:
    """Columns of a packed row: a prompt of ``length`` L, then G completions of T tokens."""

    length: int
    num_completions: int
    num_tokens: int


def completion_mask(prompt_mask: Tensor, num_tokens: int, heads_per_key: int) -> Tensor:
    """Bool mask [P, 1, R*T, L + T], True where a completion's tokens may attend: to real prompt tokens and themselves.

    ``prompt_mask`` is [P, L] bool, True for real prompt tokens; ``heads_per_key`` is R.
    """
    num_prompts = len(prompt_mask)
    own = torch.ones(num_tokens, num_tokens, dtype=torch.bool, device=prompt_mask.device).tril()
    parts = [prompt_mask[:, None].expand(-1, num_tokens, -1), own.expand(num_prompts, -1, -1)]
    return torch.cat(parts, dim=-1).repeat(1, heads_per_key, 1)[:, None]


def grouped_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    parts: PackedLayout,
    scale: float | None,
    dropout: float = 0.0,
) -> Tensor:
    """Attention of packed rows; the same as over :func:`remot.models.packing.masks.packed_attention_mask`.

    Padding attends to its prompt; no token attends to padding. ``mask`` is :func:`completion_mask` as numbers to add to
    the scores; the other arguments and the result [P, S, N, D] are those of :func:`packed_attention`.
    """
    length, heads_per_key = parts.length, query.shape[1] // key.shape[1]
    first_key, first_value = (part[:, :, :length].repeat_interleave(heads_per_key, dim=1) for part in (key, value))
    prompt = scaled_dot_product_attention(
        query[:, :, :length], first_key, first_value, dropout_p=dropout, is_causal=True, scale=scale
    ).transpose(1, 2)  # [P, L, N, D]
    if parts.num_completions * parts.num_tokens == 0:
        return prompt
    mixed = scaled_dot_product_attention(
        _completion_rows(query, key.shape[1], parts),
        _with_prompt(key, parts),
        _with_prompt(value, parts),
        attn_mask=mask,
        dropout_p=dropout,
        scale=scale,
    )  # [P, G*K, R*T, D]
    # The inverse of _completion_rows, to [P, G*T, N, D].
    completions, tokens, size = parts.num_completions, parts.num_tokens, mixed.shape[-1]
    rows = mixed.view(len(mixed), completions, key.shape[1], -1, tokens, size)
    columns = rows.permute(0, 1, 4, 2, 3, 5).reshape(len(mixed), completions * tokens, -1, size)
    return torch.cat([prompt, columns], dim=1)


def folded_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float | None, dropout: float = 0.0
) -> Tensor:
    """Attention of a few queries over many keys, which are not copied for query heads that share them.

    ``mask`` [P, 1, S, columns] are numbers to add to the scores; the other arguments and the result [P, S, N, D] are
    those of :func:`packed_attention`.
    """
    num_prompts, num_heads, num_queries, size = query.shape
    heads_per_key = num_heads // key.shape[1]
    rows = query.reshape(num_prompts, key.shape[1], heads_per_key * num_queries, size)
    mixed = scaled_dot_product_attention(
        rows, key, value, attn_mask=mask.repeat(1, 1, heads_per_key, 1), dropout_p=dropout, scale=scale
    )
    return mixed.view(num_prompts, num_heads, num_queries, size).transpose(1, 2)


def _completion_rows(query: Tensor, num_key_heads: int, parts: PackedLayout) -> Tensor:
    """Queries of completions: [P, N, S, D] to [P, G*K, R*T, D]."""
    num_prompts, num_heads, _, size = query.shape
    completions, tokens = parts.num_completions, parts.num_tokens
    rows = query[:, :, parts.length :].reshape(
        num_prompts, num_key_heads, num_heads // num_key_heads, completions, tokens, size
    )
    return rows.permute(0, 3, 1, 2, 4, 5).reshape(num_prompts, completions * num_key_heads, -1, size)


def _with_prompt(states: Tensor, parts: PackedLayout) -> Tensor:
    """Keys or values of each completion behind those of its prompt: [P, K, S, D] to [P, G*K, L + T, D]."""
    num_prompts, num_heads, _, size = states.shape
    completions, tokens = parts.num_completions, parts.num_tokens
    own = states[:, :, parts.length :].reshape(num_prompts, num_heads, completions, tokens, size).transpose(1, 2)
    shared = states[:, None, :, : parts.length].expand(-1, completions, -1, -1, -1)
    return torch.cat([shared, own], dim=3).view(num_prompts, completions * num_heads, -1, size)
