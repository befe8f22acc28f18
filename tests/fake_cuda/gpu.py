"""A GPU that is not there: tensors that say they are on ``cuda:0`` and compute on the processor.

They are as strict as a GPU's. Tensors of two devices do not mix, a number that the host wants is a read, a number that
it sends is an upload, and both are noted. So the code that a GPU alone runs is run, with real numbers in it. What
kernels cost, how they round and when they run is not simulated.
"""

import contextlib
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from tests.fake_cuda.containers import leaves, mapped
from tests.fake_cuda.runtime import Runtime

GPU, CPU = torch.device("cuda:0"), torch.device("cpu")
#: Device type that torch sees: with "cuda" it would look for a driver.
_STAND_IN = torch.device("meta")

#: Operations whose result has a shape, or is a number, that the host has to wait for.
READS = {
    "_local_scalar_dense", "nonzero", "masked_select", "is_nonzero", "equal", "bincount", "_unique2",
    "unique_consecutive", "unique_dim", "allclose",
}  # fmt: skip
_FILLS_FROM_HOST = {"copy_", "_to_copy"}
#: Operations beside the elementwise ones that take a number in a tensor of no dimension from the host.
_TAKES_NUMBERS = {"index_put_", "index_put", "_index_put_impl_", "masked_fill", "masked_fill_", "where", "fill_"}


#: The active fake devices; a tensor does not know which it is on.
CURRENT = []


class GpuTensor(Tensor):
    """Looks like a tensor on a GPU; ``inner`` is where its numbers are."""

    @staticmethod
    def __new__(cls, inner):
        return Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=_STAND_IN,
        )

    def __init__(self, inner):
        self.inner = inner

    device = property(lambda self: GPU)  # noqa: ARG005 (torch passes it)
    is_cuda = property(lambda self: True)  # noqa: ARG005
    is_meta = property(lambda self: False)  # noqa: ARG005
    is_cpu = property(lambda self: False)  # noqa: ARG005

    def __repr__(self):
        return f"GpuTensor({self.inner!r})"

    def data_ptr(self):
        return self.inner.data_ptr()

    def tolist(self):
        if CURRENT:
            CURRENT[-1].note_read("tolist")
        return self.inner.tolist()

    def numpy(self):
        msg = "can't convert cuda:0 device type tensor to numpy"
        raise TypeError(msg)

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        msg = f"{func} of a fake device's tensor outside of the fake device"
        raise RuntimeError(msg)


@dataclass
class FakeCudaDevice:
    """What the host asked of the GPU; a context in which there is one.

    Args:
        reads: Operations for which the host waited.
        uploads: Operations that sent numbers of the host.
        recorder: Gets every operation on the GPU while a graph is recorded.
        runtime: What ``torch.cuda`` answers.
    """

    reads: list[str] = field(default_factory=list)
    uploads: list[str] = field(default_factory=list)
    recorder: object = None

    def __post_init__(self):
        self.runtime = Runtime(self)

    def __enter__(self):
        CURRENT.append(self)
        self._stack = contextlib.ExitStack()
        self._stack.callback(CURRENT.pop)
        self._stack.enter_context(self.runtime.patched())
        self._stack.enter_context(_Calls(self))
        self._stack.enter_context(_Operations(self))
        return self

    def __exit__(self, *raised):
        self._stack.close()

    def note_read(self, name):
        """The host waits for the GPU."""
        self.reads.append(name)
        if self.recorder is not None:
            msg = f"{name}: operation not permitted when stream is capturing (fake)"
            raise RuntimeError(msg)

    def note_upload(self, name):
        """The host sends numbers, from memory that may be anything else when a graph is replayed."""
        self.uploads.append(name)
        if self.recorder is not None:
            msg = f"{name} of host memory: operation not permitted when stream is capturing (fake)"
            raise RuntimeError(msg)

    def run(self, func, args, kwargs):
        """One operation, on the device of its tensors."""
        tensors = [leaf for leaf in leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        assert all(isinstance(tensor, GpuTensor) or tensor.is_cpu for tensor in tensors), "this one has no numbers"
        device = self._device(func, tensors, args, kwargs)
        if device == CPU and not any(isinstance(tensor, GpuTensor) for tensor in tensors):
            return func(*args, **kwargs)
        self._note(func, tensors, args, device)
        outer = {}

        def unwrap(leaf):
            if isinstance(leaf, GpuTensor):
                outer[id(leaf.inner)] = leaf
                return leaf.inner
            if isinstance(leaf, Tensor):
                outer[id(leaf)] = leaf
            return CPU if isinstance(leaf, torch.device) and leaf.type in ("cuda", "meta") else leaf

        inner_args, inner_kwargs = mapped(unwrap, (args, kwargs))
        if self.recorder is not None:
            results = self.recorder.record(func, inner_args, inner_kwargs)
        else:
            results = func(*inner_args, **inner_kwargs)

        def wrap(leaf):
            if not isinstance(leaf, Tensor):
                return leaf
            if id(leaf) in outer:
                return outer[id(leaf)]
            return GpuTensor(leaf) if device == GPU else leaf

        return mapped(wrap, results)

    def _device(self, func, tensors, args, kwargs):
        name = func._schema.name.split("::")[1]
        if kwargs.get("device") is not None:
            return CPU if kwargs["device"] == CPU else GPU
        if name == "copy_":
            return GPU if isinstance(args[0], GpuTensor) else CPU
        if name in ("index", "index_put_", "index_put", "_index_put_impl_"):  # indices may be the host's
            tensors = [args[0], *args[2:3]] if isinstance(args[0], GpuTensor) else tensors
        takes_numbers = torch.Tag.pointwise in func.tags or name in _TAKES_NUMBERS
        kinds = {
            isinstance(tensor, GpuTensor)
            for tensor in tensors
            if isinstance(tensor, Tensor) and not (takes_numbers and tensor.ndim == 0 and tensor.is_cpu)
        }
        if kinds == {True, False}:
            found = ", ".join(f"{tuple(tensor.shape)} on {tensor.device}" for tensor in tensors)
            msg = f"{name}: expected all tensors to be on the same device, found {found}"
            raise RuntimeError(msg)
        return GPU if any(isinstance(tensor, GpuTensor) for tensor in tensors) else CPU

    def _note(self, func, tensors, args, device):
        name = func._schema.name.split("::")[1]
        sources = {isinstance(tensor, GpuTensor) for tensor in (args[1:2] if name == "copy_" else tensors)}
        if name in _FILLS_FROM_HOST:
            if device == CPU and True in sources:
                self.note_read(f"{name} to the host")
            if device == GPU and False in sources:
                self.note_upload(name)
        elif name in READS or (name == "repeat_interleave" and func._overloadname == "Tensor"):
            self.note_read(name)
        elif name in ("index", "index_put_", "index_put", "_index_put_impl_"):
            indices = [index for index in args[1] if index is not None]
            if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
                self.note_read(f"{name} by a mask")
            if not all(isinstance(index, GpuTensor) for index in indices):
                self.note_upload(f"{name} by the host's numbers")


class _Operations(TorchDispatchMode):
    def __init__(self, gpu):
        super().__init__()
        self.gpu = gpu

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return self.gpu.run(func, args, kwargs or {})


class _Calls(TorchFunctionMode):
    """Calls from Python: what they say of a GPU is said of the stand-in."""

    def __init__(self, gpu):
        super().__init__()
        self.gpu = gpu

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func in (Tensor.__getitem__, Tensor.__setitem__) and isinstance(args[0], GpuTensor):
            args = (args[0], _indices(args[1]), *args[2:])
        if func is Tensor.cuda:
            return args[0].to(_STAND_IN)
        args, kwargs = mapped(_told, (args, kwargs))
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") == _STAND_IN:
            numbers = mapped(lambda leaf: leaf.item() if isinstance(leaf, GpuTensor) else leaf, args)
            return func(*numbers, **{**kwargs, "device": CPU}).to(_STAND_IN)
        return func(*args, **kwargs)


def _indices(index):
    """Lists in an index as what they become."""
    if isinstance(index, tuple):
        return tuple(_indices(part) for part in index)
    return torch.tensor(index) if isinstance(index, list) else index


def _told(leaf):
    if isinstance(leaf, torch.device) and leaf.type == "cuda":
        return _STAND_IN
    return _STAND_IN if isinstance(leaf, str) and leaf in ("cuda", "cuda:0") else leaf


def to_gpu(module):
    """Move a module, within the context; what it holds twice stays one."""
    moved = {}
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None and id(parameter) not in moved:
                there = nn.Parameter(parameter.detach().to(_STAND_IN), requires_grad=parameter.requires_grad)
                moved[id(parameter)] = (there, parameter)  # which is kept, as its id would be given to another one
            part._parameters[name] = None if parameter is None else moved[id(parameter)][0]
        for name, buffer in part._buffers.items():
            part._buffers[name] = None if buffer is None else buffer.to(_STAND_IN)
    return module
