"""Decoding by replays of a CUDA graph: a step costs one launch instead of thousands."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from remot.rollout.decoding.loop import DecodeRequest, SharedDecoder

if TYPE_CHECKING:
    from remot.models.inputs.prompts import EncodedPrompts
    from remot.models.policy import VLMPolicy


class GraphDecoder(SharedDecoder):
    """Records a step of the fixed :class:`SharedDecoder` and replays it.

    The graph lives as long as this object, that is for one rollout: its memory is free again for the update, and
    prompts of another length need another graph anyhow. Its cost is that of some steps taken one by one.

    Args:
        policy: The policy, inside its ``evaluating()``.
        encoded: U prompts.
        request: Noise [U, C, T] and sampling.
    """

    #: Steps taken one by one before the capture: libraries initialise themselves in their first calls.
    NUM_WARM_UP = 2
    #: A capture costs some steps; fewer completions have to make up for it.
    LEAST_STEPS = 64

    drops_at_once = False

    def __init__(self, policy: "VLMPolicy", encoded: "EncodedPrompts", request: DecodeRequest) -> None:
        super().__init__(policy, encoded, request, is_fixed=True)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.num_warm = 0

    def step(self) -> None:
        """One more token: the first ones step by step on a stream of their own, then by the graph."""
        if self.num_warm < self.NUM_WARM_UP:
            self._warm_up()
            return
        if self.graph is None:
            self.graph = self._capture()
        self.graph.replay()

    def _warm_up(self) -> None:
        main, side = torch.cuda.current_stream(), torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(main)
        with torch.cuda.stream(side), _no_remembered_casts():
            super().step()
        main.wait_stream(side)
        self.num_warm += 1

    def _capture(self) -> "torch.cuda.CUDAGraph":
        """A graph of one step; recording executes nothing, so no token is drawn twice.

        What other threads ask of the GPU, such as pinned memory for the next batch, does not concern the recording.
        """
        graph, main = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            with _no_remembered_casts(), torch.cuda.graph(graph, capture_error_mode="thread_local"):
                super().step()
        finally:
            torch.cuda.set_stream(main)  # torch 2.11 stays on the capture's stream if the capture fails
        return graph

    def is_worthwhile(self, num_kept: int, num_steps: int) -> bool:
        """Half of the places or fewer, and enough steps to make up for another capture."""
        return 2 * num_kept <= self.num_rows * self.num_places and num_steps >= self.LEAST_STEPS

    def _select(self, slots: Tensor) -> None:
        self.graph, self.num_warm = None, 0
        super()._select(slots)


@contextlib.contextmanager
def _no_remembered_casts() -> Iterator[None]:
    """Autocast keeps the weights it has cast; those made while a graph is recorded would be memory of the graph."""
    was_enabled = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(was_enabled)
