"""The key-value cache of a rollout: a prompt's keys once, and behind them those of each completion by itself.

Notation: U prompts, C completions of each, L prompt columns, T tokens of a completion, K key-value heads, D numbers of
a head.
"""

import functools
import inspect
from typing import TYPE_CHECKING

import torch
from transformers.cache_utils import Cache, DynamicLayer

from remot.models.packing.masks import additive_mask

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor, nn


class SharedLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values [U, K, L, D] of the prompts, and ``own`` ones [U, K, C, T, D] of the completions."""

    own: "tuple[Tensor, Tensor] | None" = None

    def __init__(self, column: "Tensor", length: int) -> None:
        super().__init__()
        self.column = column
        self.length = length  # L
        self.num_prefilled = 0  # of the prompts' columns

    def update(
        self,
        key_states: "Tensor",
        value_states: "Tensor",
        *args: object,  # noqa: ARG002 - as transformers calls it
        **kwargs: object,  # noqa: ARG002
    ) -> "tuple[Tensor, Tensor]":
        """Take the prompts' [U, K, n, D], of all columns or some, later one token of each completion [U, K, C, D].

        Returns:
            Keys and values of the prompts' columns up to these, or those of the tokens.
        """
        if self.own is None:
            return self._prefill(key_states, value_states)
        for own, states in zip(self.own, (key_states, value_states), strict=True):
            own.index_copy_(3, self.column, states.unsqueeze(3))
        return key_states, value_states

    def _prefill(self, keys: "Tensor", values: "Tensor") -> "tuple[Tensor, Tensor]":
        if keys.shape[2] == self.length:  # all at once: there is nothing to copy
            self.lazy_initialization(keys, values)
            self.keys, self.values, self.num_prefilled = keys.contiguous(), values.contiguous(), self.length
            return self.keys, self.values
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
            shape = (*keys.shape[:2], self.length, keys.shape[3])  # [U, K, L, D]
            self.keys, self.values = keys.new_empty(shape), values.new_empty(shape)
        end = self.num_prefilled + keys.shape[2]
        self.keys[:, :, self.num_prefilled : end], self.values[:, :, self.num_prefilled : end] = keys, values
        self.num_prefilled = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_seq_length(self) -> int:
        """Columns of the prompts that are there."""
        return self.num_prefilled


class SharedPromptCache(Cache):  # type: ignore[misc]
    """Keys and values for steps of :func:`remot.models.packing.attention.decode_attention`.

    Args:
        num_layers: Layers of the language model.
        prompt_mask: [U, L] bool, True for real tokens.
        dtype: Of the scores of attention.

    Attributes:
        prompt_bias: [U, 1, 1, L] numbers to add to the scores of the prompts' columns.
        is_padded: Some of those numbers may not be 0; on a GPU, where looking would wait for it, always.
        column: [1] where the next token is written.
        own_bias: [T] numbers to add to the scores of a completion's own columns; None if all that are shown count.
    """

    def __init__(self, num_layers: int, prompt_mask: "Tensor", dtype: "torch.dtype") -> None:
        self.column = torch.zeros(1, dtype=torch.long, device=prompt_mask.device)
        super().__init__(layers=[SharedLayer(self.column, prompt_mask.shape[1]) for _ in range(num_layers)])
        self.prompt_bias = additive_mask(prompt_mask[:, None, None], dtype)
        self.is_padded = prompt_mask.device.type != "cpu" or not bool(prompt_mask.all())
        self.own_bias: Tensor | None = None
        self.num_filled = 0
        self._columns: Tensor | None = None

    def open(self, num_completions: int, num_tokens: int, *, is_fixed: bool = False) -> None:
        """Make room for ``num_tokens`` of each of ``num_completions`` behind every prompt.

        With ``is_fixed`` every step computes with all columns, those to come masked, so that shapes and addresses stay:
        a masked column weighs nothing only if what it holds is finite. Otherwise memory is used as columns fill.
        """
        for layer in self.layers:
            rows, heads, _, size = layer.keys.shape
            shape = (rows, heads, num_completions, num_tokens, size)
            new = torch.Tensor.new_zeros if is_fixed else torch.Tensor.new_empty
            layer.own = (new(layer.keys, shape), new(layer.values, shape))
        self._columns = torch.arange(num_tokens, device=self.column.device) if is_fixed else None

    def begin_step(self) -> None:
        """Show the column that is written next."""
        self.num_filled += 1
        if self._columns is not None:
            self.own_bias = additive_mask(self._columns <= self.column, self.prompt_bias.dtype)

    def end_step(self) -> None:
        """The next token goes into the next column."""
        self.column.add_(1)

    def of_layer(self, number: int) -> "tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]":
        """Keys of prompts [U, K, L, D] and of completions [U, K, C, t, D], and values alike."""
        layer = self.layers[number]
        shown = slice(None) if self._columns is not None else slice(self.num_filled)
        own_keys, own_values = (own[:, :, :, shown] for own in layer.own)
        return (layer.keys, own_keys), (layer.values, own_values)

    def keep(self, slots: "Tensor") -> None:
        """Go on with completions ``slots`` [U', C'] only, each named by u * C + c; those of a row are of one prompt."""
        filled = slice(None) if self._columns is not None else slice(self.num_filled)
        for layer in self.layers:
            prompts, heads, completions, num_tokens, size = layer.own[0].shape
            rows = slots // completions
            moved = []
            for own in layer.own:
                new = own.new_empty(len(slots), heads, slots.shape[1], num_tokens, size)
                new[:, :, :, filled] = own[:, :, :, filled][rows, :, slots % completions].transpose(1, 2)
                moved.append(new)
            layer.own = tuple(moved)
            if len(slots) < prompts:
                layer.keys, layer.values = layer.keys[rows[:, 0]], layer.values[rows[:, 0]]
        if len(slots) < prompts:
            self.prompt_bias = self.prompt_bias[rows[:, 0]]


def cache_argument(cache: "Cache", language_model: "nn.Module") -> dict[str, object]:
    """The cache under the name that the language model's ``forward`` takes it by.

    transformers 5.17 takes ``past_key_values`` only; later versions call it ``cache`` and warn of the old name.
    """
    return {_cache_name(type(language_model).forward): cache, "use_cache": True}


@functools.cache
def _cache_name(forward: "Callable[..., object]") -> str:
    return "cache" if "cache" in inspect.signature(forward).parameters else "past_key_values"
