"""The ways to compute attention over packed rows, and the attention function that takes them all.

Completions of a packed row do not see each other, so with many of them most of the row's mask is empty. FlexAttention
skips empty blocks; :mod:`remot.models.packing.split_attention` computes prompt and completions apart. transformers
hands a 4-D mask, dense or in blocks, to the attention function as it is, with whatever else the language model was
given, and calls the function that is registered under the name in the model's configuration; :data:`KERNEL_NAME` is
ours.
"""

import functools
import warnings
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, create_block_mask, flex_attention

from remot.models.packing.split_attention import PackedLayout, folded_attention, grouped_attention

if TYPE_CHECKING:
    from torch import nn

#: The attention function registered by :func:`register_kernel`.
KERNEL_NAME = "remot_packed"
#: Packed rows have a multiple of this many columns, the side of a block, so that lengths repeat.
COLUMN_MULTIPLE = 128
#: Segment of the prompt's columns, and of what fills a row up to a multiple.
_PROMPT, _FILLING = -1, -2


class RowMask(Enum):
    """How attention gets the mask of a packed row; warnings print the values."""

    DENSE = "completions that share their prompt"
    BLOCKS = "FlexAttention's blocks"
    PARTS = "prompt and completions apart"


#: From indices of prompt, head, query column and key column to whether the query may look at the key.
MaskFunction = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def packed_mask_function(
    prompt_mask: Tensor, num_completions: int, num_tokens: int, num_columns: int | None = None
) -> MaskFunction:
    """The same mask as :func:`remot.models.packing.masks.packed_attention_mask`, pair by pair.

    Lengths are in tensors only, so that a kernel compiled for one length serves all.

    Args:
        prompt_mask: [P, L] bool, True for real prompt tokens.
        num_completions: G.
        num_tokens: T.
        num_columns: Columns of the row if it is filled up, at least L + G*T; what is filled looks at itself only.
    """
    length, device = prompt_mask.shape[1], prompt_mask.device
    filled = length + num_completions * num_tokens
    total = num_columns if num_columns is not None else filled
    index = torch.arange(total, device=device)
    segment = (index - length).div(max(num_tokens, 1), rounding_mode="floor")
    segment = segment.masked_fill(index < length, _PROMPT).masked_fill(index >= filled, _FILLING)
    is_real = torch.nn.functional.pad(prompt_mask, (0, total - length), value=True)

    def may_look(prompt: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:  # noqa: ARG001
        asker, owner = segment[query], segment[key]
        belongs = (owner == _PROMPT) & (asker != _FILLING) | (asker == owner) & (asker >= 0)
        return (query >= key) & belongs & is_real[prompt, key] | (query == key)

    return may_look


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
    """For a processor, where it is there to be checked: PyTorch warns that it builds all scores."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="flex_attention called without torch.compile")
        return flex_attention(*arguments, **settings)


def packed_attention(
    module: "nn.Module",
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | BlockMask | None,
    scaling: float | None = None,
    row_parts: PackedLayout | None = None,
    **kwargs: Any,  # noqa: ANN401 - as transformers calls it
) -> tuple[Tensor, None]:
    """FlexAttention over blocks, attention in parts where a row has some, otherwise what transformers calls ``sdpa``.

    Args:
        module: The attention layer.
        query: [P, heads, S, D].
        key: [P, key-value heads, S, D].
        value: As ``key``.
        attention_mask: Blocks, numbers to add to the scores, or nothing.
        scaling: Multiplies the scores.
        row_parts: What stands in the rows; then the mask is
            :func:`remot.models.packing.split_attention.completion_mask`.
        **kwargs: What else transformers passes on.

    Returns:
        [P, S, heads, D] and no weights.
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
