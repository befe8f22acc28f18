"""CUDA graphs on a GPU that is not there, as strict as real ones.

Recording executes nothing. A replay is the recorded operations on the recorded memory and nothing else: no Python runs,
and what the operations make among themselves is rubbish before. What a graph reads of others it does not keep alive.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from tests.fake_cuda.containers import leaves, mapped


@dataclass
class _Place:
    """Where a tensor lies, without keeping it there."""

    storage: StorageWeakRef
    dtype: torch.dtype
    layout: tuple

    @classmethod
    def of(cls, tensor):
        layout = (tensor.storage_offset(), tuple(tensor.shape), tensor.stride())
        return cls(StorageWeakRef(tensor.untyped_storage()), tensor.dtype, layout)

    def found(self):
        """The tensor, whatever is in it now."""
        storage = torch.UntypedStorage._new_with_weak_ptr(self.storage.cdata)
        if storage is None:
            msg = "a graph reads memory that has been freed since (fake)"
            raise RuntimeError(msg)
        return torch.empty(0, dtype=self.dtype).set_(storage, *self.layout)


def _address(tensor):
    return tensor.untyped_storage().data_ptr()


class Graph:
    """Stands for :class:`torch.cuda.CUDAGraph`."""

    def __init__(self):
        self.operations = []
        self.pool = {}  # what the graph made, by address
        self._before = {}  # what was in the memory of others that recording must not change
        self._numbers = []
        self.num_replays = 0

    def number_of(self, tensor):
        """A number of the host; a kernel is given what it is while recording."""
        self._numbers.append(tensor.clone())
        return self._numbers[-1]

    def record(self, func, args, kwargs):
        """Note an operation; it is made, so that the next ones have shapes, and taken back in the end."""
        named = dict(zip((argument.name for argument in func._schema.arguments), args, strict=False)) | kwargs
        for argument in func._schema.arguments:
            if argument.alias_info is not None and argument.alias_info.is_write:
                self._keep(named[argument.name])
        given = {_address(leaf) for leaf in leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        results = func(*args, **kwargs)
        tensors = [leaf for leaf in leaves(results) if isinstance(leaf, Tensor)]
        made = [leaf for leaf in tensors if _address(leaf) not in given]
        self.pool |= {_address(leaf): leaf for leaf in made}
        is_view = not made and not func._schema.is_mutable
        if not is_view:
            places = mapped(lambda leaf: _Place.of(leaf) if isinstance(leaf, Tensor) else leaf, (args, kwargs))
            own = {id(leaf) for leaf in made}
            self.operations.append((func, places, [leaf if id(leaf) in own else None for leaf in tensors]))
        return results

    def _keep(self, tensor):
        if isinstance(tensor, Tensor) and _address(tensor) not in self.pool:
            whole = torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage())
            self._before.setdefault(_address(tensor), (whole, whole.clone()))

    def end(self):
        """Nothing has happened, and what the graph made holds nothing."""
        for whole, before in self._before.values():
            whole.copy_(before)
        self._before.clear()
        self._spoil()

    def replay(self):
        """All operations again."""
        self._spoil()
        self.num_replays += 1
        for func, places, made in self.operations:
            args, kwargs = mapped(lambda leaf: leaf.found() if isinstance(leaf, _Place) else leaf, places)
            tensors = [leaf for leaf in leaves(func(*args, **kwargs)) if isinstance(leaf, Tensor)]
            for leaf, kept in zip(tensors, made, strict=True):
                if kept is not None:
                    kept.copy_(leaf)

    def _spoil(self):
        for tensor in self.pool.values():
            torch.empty(0, dtype=torch.uint8).set_(tensor.untyped_storage()).fill_(255)  # NaN, -1 or True
