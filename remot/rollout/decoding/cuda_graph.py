"""Decode steps whose tensors all have one shape and one address, so that a CUDA graph can replay them.

:class:`StaticDecoder` runs anywhere and is what is captured; :class:`GraphDecoder` captures it. The cache has all its
columns from the start, those to come hold 0 and are masked, and a tensor holds the columns that are written next.
Column, position, mask, token and noise are all updated in place.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from remot.models.packing.kv_cache import fix_columns, keep_rows
from remot.rollout.decoding.loop import Decoder, DecodeRequest, DecodeState

if TYPE_CHECKING:
    from remot.models.inputs.prompts import EncodedPrompts
    from remot.models.policy import VLMPolicy

#: Columns are rounded up to a multiple of this: kernels copy a mask whose rows are not aligned, in every layer.
COLUMN_MULTIPLE = 16


class StaticDecoder(Decoder):
    """Steps over buffers of one size; :meth:`step` is free of host work that a replay would miss.

    Args:
        policy: The policy, inside its ``evaluating()``.
        encoded: U prompts, whose completions stay in the prompt's row.
        request: Noise [U, C, T] and sampling.
    """

    def __init__(self, policy: "VLMPolicy", encoded: "EncodedPrompts", request: DecodeRequest) -> None:
        num_rows, num_completions, num_tokens = request.uniforms.shape
        prompt_mask = encoded.prompts.prompt_mask
        length = prompt_mask.shape[1]
        needed = length + (num_tokens - 1) * num_completions
        total = -(-needed // COLUMN_MULTIPLE) * COLUMN_MULTIPLE  # rounded up
        hidden, self.cache = policy.prefill(encoded, room=total - length)
        super().__init__(DecodeState(policy, request), num_rows)
        self.policy = policy
        self.columns = torch.arange(length, length + num_completions, device=prompt_mask.device)
        self.position = encoded.prompts.next_position.clone()
        self.own = torch.eye(num_completions, dtype=torch.bool, device=prompt_mask.device)
        self.allowed = prompt_mask.new_zeros(num_rows, num_completions, total)
        self.allowed[..., :length] = prompt_mask[:, None]
        fix_columns(self.cache, self.columns)
        self.state.draw(hidden[:, None].expand(-1, num_completions, -1))

    def step(self) -> None:
        """One more token for every completion, the same operations on the same memory every time."""
        self.allowed.index_copy_(-1, self.columns, self.own.expand(self.num_rows, -1, -1))
        hidden = self.policy.decode_step(self.state.latest, self.position, self.allowed, self.cache)
        self.state.draw(hidden)
        self.columns.add_(self.own.shape[0])
        self.position.add_(1)

    def _select(self, rows: list[int]) -> None:
        keep_rows(self.cache, rows)
        self.allowed, self.position = self.allowed[rows], self.position[rows]


class GraphDecoder(Decoder):
    """Replays a CUDA graph of :meth:`StaticDecoder.step`; a step costs one launch instead of thousands.

    The graph lives as long as this object, that is for one rollout: its memory is free again for the update, and
    prompts of another length need another graph anyhow. Its cost is that of some steps taken one by one.

    Args:
        policy: The policy, inside its ``evaluating()``.
        encoded: U prompts.
        request: Noise [U, C, T] and sampling.
    """

    #: Steps taken one by one before the capture: libraries initialise themselves in their first calls.
    NUM_WARM_UP = 2
    #: A capture costs some steps; fewer rows have to make up for it.
    LEAST_STEPS = 64

    def __init__(self, policy: "VLMPolicy", encoded: "EncodedPrompts", request: DecodeRequest) -> None:
        self.fixed = StaticDecoder(policy, encoded, request)
        super().__init__(self.fixed.state, self.fixed.num_rows)
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
            self.fixed.step()
        main.wait_stream(side)
        self.num_warm += 1

    def _capture(self) -> "torch.cuda.CUDAGraph":
        """A graph of one step; recording executes nothing, so no token is drawn twice.

        What other threads ask of the GPU, such as pinned memory for the next batch, does not concern the recording.
        """
        graph, main = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            with _no_remembered_casts(), torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self.fixed.step()
        finally:
            torch.cuda.set_stream(main)  # torch 2.11 stays on the capture's stream if the capture fails
        return graph

    def is_worthwhile(self, num_kept: int, num_steps: int) -> bool:
        """Half of the rows or fewer, and enough steps to make up for another capture."""
        return 2 * num_kept <= self.num_rows and num_steps >= self.LEAST_STEPS

    def _select(self, rows: list[int]) -> None:
        self.graph, self.num_warm = None, 0
        self.fixed._select(rows)
        self.fixed.num_rows = len(rows)


@contextlib.contextmanager
def _no_remembered_casts() -> Iterator[None]:
    """Autocast keeps the weights it has cast; those made while a graph is recorded would be memory of the graph."""
    was_enabled = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        yield
    finally:
        torch.set_autocast_cache_enabled(was_enabled)
