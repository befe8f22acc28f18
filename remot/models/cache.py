"""A key-value cache with room for what will be generated: a decode step copies nothing that is there already."""

from typing import TYPE_CHECKING

from transformers.cache_utils import Cache, DynamicLayer

if TYPE_CHECKING:
    from torch import Tensor


class _RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values of one layer at the beginning of a buffer; transformers' own layer is copied at every step.

    Args:
        room: Columns for what comes after the first update.
    """

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.length = 0

    def update(
        self,
        key_states: "Tensor",
        value_states: "Tensor",
        *args: object,  # noqa: ARG002 - as transformers calls it
        **kwargs: object,  # noqa: ARG002
    ) -> "tuple[Tensor, Tensor]":
        """Append [P, heads, C, D] each and return all columns that are filled."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._buffers = tuple(self._empty(states) for states in (key_states, value_states))
        added = key_states.shape[-2]
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer.narrow(2, self.length, added).copy_(states)  # raises where an assignment would not: there is no room
        self.length = end = self.length + added
        self.keys, self.values = (buffer[:, :, :end] for buffer in self._buffers)
        return self.keys, self.values

    def _empty(self, states: "Tensor") -> "Tensor":
        rows, heads, columns, size = states.shape
        return states.new_empty(rows, heads, columns + self.room, size)


def roomy_cache(num_layers: int, room: int) -> "Cache":
    """An empty cache whose layers keep ``room`` columns free behind the prompt."""
    return Cache(layers=[_RoomyLayer(room) for _ in range(num_layers)])
