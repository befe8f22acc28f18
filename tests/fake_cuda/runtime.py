"""What ``torch.cuda`` answers where there is a fake device: memory, streams, graphs."""

import contextlib
from unittest import mock

import torch

from tests.fake_cuda.graph import Graph


class Stream:
    """A queue that is always empty."""

    def __init__(self, name="side"):
        self.name = name
        self.waited_for = []

    def wait_stream(self, stream):
        """What stands in the other queue comes first."""
        self.waited_for.append(stream)


class Runtime:
    """Stands for ``torch.cuda``.

    Args:
        gpu: Whose operations graphs record.
        free_bytes: Memory that is free.
    """

    def __init__(self, gpu, free_bytes=2**40):
        self.gpu = gpu
        self.free_bytes = free_bytes
        self.main = self.current = Stream("main")
        self.graphs = []

    @contextlib.contextmanager
    def stream(self, stream):
        """Work goes to another queue."""
        before, self.current = self.current, stream
        yield
        self.current = before

    def set_stream(self, stream):
        """Work goes to another queue from now on."""
        self.current = stream

    @contextlib.contextmanager
    def graph(self, graph, capture_error_mode="global"):
        """Record; as torch 2.11 does it, which stays in the capture's queue if that fails."""
        assert capture_error_mode == "thread_local", "a loader's thread that pins memory would break the capture"
        assert not torch.is_autocast_cache_enabled(), "casts made here would be memory of the graph"
        self.current = Stream("capture")
        self.graphs.append(graph)
        self.gpu.recorder = graph
        try:
            yield
        except RuntimeError as error:
            msg = "operation failed due to a previous error during capture (fake)"
            raise RuntimeError(msg) from error
        finally:
            self.gpu.recorder = None
        graph.end()
        self.current = self.main

    def patched(self):
        """The functions that the library calls, answered here."""
        answers = {
            "_lazy_init": lambda: None,  # called before anything is made on a GPU
            "mem_get_info": lambda _device=None: (self.free_bytes, 2 * self.free_bytes),
            "memory_reserved": lambda _device=None: 0,
            "memory_allocated": lambda _device=None: 0,
            "current_stream": lambda _device=None: self.current,
            "set_stream": self.set_stream,
            "stream": self.stream,
            "Stream": Stream,
            "CUDAGraph": Graph,
            "graph": self.graph,
        }
        return mock.patch.multiple(torch.cuda, **answers)
