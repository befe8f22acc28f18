"""A key-value cache with room for what will be generated: a decode step copies nothing that is there already."""

import inspect
from typing import TYPE_CHECKING

import torch
from transformers.cache_utils import Cache, DynamicLayer

if TYPE_CHECKING:
    from torch import Tensor, nn


class _PreallocatedLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer at the beginning of a buffer; transformers' own layer is copied at every step.

    Args:
        room: Columns for what comes after the first update.
    """

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.length = 0
        self.columns: Tensor | None = None

    def update(
        self,
        key_states: "Tensor",
        value_states: "Tensor",
        *args: object,  # noqa: ARG002 - as transformers calls it
        **kwargs: object,  # noqa: ARG002
    ) -> "tuple[Tensor, Tensor]":
        """Append [P, heads, C, D] each and return all columns that are filled; all there are once they are fixed."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.buffers = []
            for states in (key_states, value_states):
                rows, heads, columns, size = states.shape
                self.buffers.append(states.new_empty(rows, heads, columns + self.room, size))
        if self.columns is not None:
            for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
                buffer.index_copy_(2, self.columns, states)
            return self.keys, self.values
        added = key_states.shape[-2]
        for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
            buffer.narrow(2, self.length, added).copy_(states)  # raises where an assignment would not: there is no room
        self.length += added
        self.show(self.length)
        return self.keys, self.values

    def reorder_cache(self, beam_idx: "Tensor") -> None:
        """Keep these rows, in this order; no index may be below its own position.

        Rows move within the buffer, so that no second one is needed.
        """
        for position, row in enumerate(beam_idx.tolist()):
            for buffer in self.buffers:
                if row != position:
                    buffer[position].copy_(buffer[row])
        self.buffers = [buffer[: len(beam_idx)] for buffer in self.buffers]
        self.show(self.keys.shape[2])

    def show(self, columns: int) -> None:
        """Let keys and values be the first ``columns`` of the buffers."""
        self.keys, self.values = (buffer[:, :, :columns] for buffer in self.buffers)


def preallocated_cache(num_layers: int, room: int) -> "Cache":
    """An empty cache whose layers keep ``room`` columns free behind the prompt."""
    return Cache(layers=[_PreallocatedLayer(room) for _ in range(num_layers)])


def fix_columns(cache: "Cache", columns: "Tensor") -> None:
    """Make a prefilled :func:`preallocated_cache` write to ``columns`` [C], with tensors of fixed shape and address.

    The caller advances ``columns``, and from now on updates return the whole buffers. What is not filled yet becomes 0:
    a masked column weighs nothing only if what it holds is finite.
    """
    for layer in cache.layers:
        for buffer in layer.buffers:
            buffer[:, :, layer.length :].zero_()
        layer.columns = columns
        layer.show(layer.buffers[0].shape[2])


def keep_rows(cache: "Cache", rows: list[int]) -> None:
    """Keep these rows of a cache in this order; with :func:`filled_from_the_end` little is copied.

    Every layer of transformers' caches can be reordered; those with a recurrent state have no ``batch_select_indices``.
    """
    cache.reorder_cache(torch.tensor(rows))


def cache_argument(cache: "Cache", language_model: "nn.Module") -> dict[str, object]:
    """The cache under the name that the language model's ``forward`` takes it by.

    transformers 5.17 takes ``past_key_values`` only; later versions call it ``cache`` and warn of the old name.
    """
    takes_cache = "cache" in inspect.signature(language_model.forward).parameters
    return {"cache" if takes_cache else "past_key_values": cache, "use_cache": True}


def filled_from_the_end(kept: list[int]) -> list[int]:
    """The rows of ``kept`` in an order that leaves most where they are: the last ones fill the gaps of those that go.

    ``[0, 3, 4]`` of 5 rows becomes ``[0, 4, 3]``: only two rows move, and none to a higher index.
    """
    count, last = len(kept), sorted(kept)
    stays = set(kept)
    return [row if row in stays else last.pop() for row in range(count)]
