"""What has been drawn so far, in buffers that stay where they are.

Notation: U rows with C completions each, T tokens of the longest completion, H hidden size.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from remot.rollout.sampling import SamplingSettings, draw

if TYPE_CHECKING:
    from remot.models.policy import VLMPolicy


@dataclass(frozen=True)
class DecodeRequest:
    """What a decode loop is asked for.

    Args:
        uniforms: [U, C, T] float64 noise in [0, 1), a number for each token.
        sampling: How tokens are drawn.
        check_every: Tokens between two looks at who has finished.
    """

    uniforms: Tensor
    sampling: SamplingSettings
    check_every: int

    @property
    def max_new_tokens(self) -> int:
        """T."""
        return self.uniforms.shape[-1]


class DecodeState:
    """Tokens and log-probabilities of the rows that are still decoded, and of those that have left.

    :meth:`draw` changes tensors in place, reads none on the host and makes none whose shape depends on a number, so it
    can be part of a CUDA graph.

    Args:
        policy: Gives logits and ends of turn.
        request: Noise and sampling.
    """

    def __init__(self, policy: "VLMPolicy", request: DecodeRequest) -> None:
        self.policy = policy
        self.sampling = request.sampling
        device, shape = policy.device, request.uniforms.shape
        self.uniforms = request.uniforms.to(device)
        self.tokens = torch.full(shape, policy.pad_token_id, dtype=torch.long, device=device)
        self.logprobs = torch.zeros(shape, dtype=torch.float32, device=device)
        self.finished = torch.zeros(shape[:2], dtype=torch.bool, device=device)
        self.latest = torch.zeros(shape[:2], dtype=torch.long, device=device)
        self.column = torch.zeros(1, dtype=torch.long, device=device)
        self.eos = torch.tensor(policy.eos_token_ids, device=device)
        self._place = torch.arange(shape[0], device=device)  # of each row among those that there were at first
        self._left: list[tuple[Tensor, Tensor, Tensor]] = []

    def draw(self, hidden: Tensor) -> None:
        """Draw the next token of each completion from its hidden state [U, C, H]; ended ones get padding."""
        uniforms = self.uniforms.index_select(-1, self.column)
        tokens, logprobs = draw(self.policy.logits(hidden.flatten(0, 1)), uniforms.flatten(), self.sampling)
        self.latest.copy_(tokens.view_as(self.finished).masked_fill(self.finished, self.policy.pad_token_id))
        self.tokens.index_copy_(-1, self.column, self.latest[..., None])
        logprobs = logprobs.view_as(self.finished).masked_fill(self.finished, 0.0)
        self.logprobs.index_copy_(-1, self.column, logprobs[..., None])
        self.finished.logical_or_((self.latest[..., None] == self.eos).any(-1))
        self.column.add_(1)

    def unfinished_rows(self) -> list[int]:
        """Rows with a completion that has not ended; the host waits for the device here."""
        return [row for row, done in enumerate(self.finished.all(-1).tolist()) if not done]

    def keep(self, rows: list[int]) -> None:
        """Go on with these rows only, in this order; what the others have drawn is put aside."""
        self._left.append((self._place, self.tokens, self.logprobs))
        index = torch.tensor(rows, device=self.tokens.device)
        self._place, self.uniforms, self.tokens, self.logprobs, self.finished, self.latest = (
            part[index] for part in (self._place, self.uniforms, self.tokens, self.logprobs, self.finished, self.latest)
        )

    def result(self) -> tuple[Tensor, Tensor]:
        """Tokens [U, C, T'] and log-probabilities [U, C, T'] of all rows, T' the longest completion's length.

        What was drawn after every completion had ended is cut off: it depends on the interval of the stop checks.
        """
        tokens, logprobs = (self._all(part) for part in (1, 2))
        is_end = (tokens[..., None] == self.eos).any(-1)
        has_ended_before = is_end.cumsum(-1) - is_end.long() > 0
        num_drawn = int(self.column)
        longest = int((~has_ended_before[..., :num_drawn]).sum(-1).amax())
        return tokens[..., :longest], logprobs[..., :longest]

    def _all(self, part: int) -> Tensor:
        pieces = [*self._left, (self._place, self.tokens, self.logprobs)]
        whole = pieces[0][part]
        for piece in pieces[1:]:
            whole[piece[0]] = piece[part]
        return whole
