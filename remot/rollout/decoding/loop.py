"""The decode loop: one more token for all completions, until all have ended.

A :class:`Decoder` knows how a token is computed; there are several. Each draws the first token from the prompt's last
hidden state when it is made. Every ``check_every`` tokens the loop tests which sequences have ended; rows all of whose
completions have ended leave the batch.

Notation: U rows with C completions each, T tokens of the longest completion, H hidden size.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from remot.models.packing.kv_cache import filled_from_the_end, keep_rows
from remot.models.packing.masks import decode_mask
from remot.rollout.sampling import SamplingSettings, draw

if TYPE_CHECKING:
    from remot.models.inputs.prompts import EncodedPrompts
    from remot.models.policy import VLMPolicy


@dataclass(frozen=True)
class DecodeRequest:
    """What a decode loop needs besides policy and prompts."""

    uniforms: Tensor  # [U, C, T] float64 noise in [0, 1), a number for each token
    sampling: SamplingSettings
    check_every: int  # tokens between two stop checks


class DecodeState:
    """Tokens and log-probabilities of the rows that are still decoded, and of those that have left.

    :meth:`draw` changes tensors in place, reads none on the host and makes none whose shape depends on a number, so it
    can be part of a CUDA graph.
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
        self._row_index = torch.arange(shape[0], device=device)  # of each remaining row among the U at the start
        self._removed: list[tuple[Tensor, Tensor, Tensor]] = []  # row indices, tokens, log-probabilities

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
        """Continue with these rows only, in this order; :meth:`result` still returns the tokens of the others."""
        self._removed.append((self._row_index, self.tokens, self.logprobs))
        index = torch.tensor(rows, device=self.tokens.device)
        for name in ("_row_index", "uniforms", "tokens", "logprobs", "finished", "latest"):
            setattr(self, name, getattr(self, name)[index])

    def result(self) -> tuple[Tensor, Tensor]:
        """Tokens [U, C, T'] and log-probabilities [U, C, T'] of all rows, T' the longest completion's length.

        What was drawn after every completion had ended is cut off: it depends on the interval of the stop checks.
        """
        (_, tokens, logprobs), *later = [*self._removed, (self._row_index, self.tokens, self.logprobs)]
        for rows, later_tokens, later_logprobs in later:
            tokens[rows], logprobs[rows] = later_tokens, later_logprobs
        is_end = (tokens[..., None] == self.eos).any(-1)
        has_ended_before = is_end.cumsum(-1) - is_end.long() > 0
        num_drawn = int(self.column)
        longest = int((~has_ended_before[..., :num_drawn]).sum(-1).amax())
        return tokens[..., :longest], logprobs[..., :longest]


class Decoder(ABC):
    """Feeds the latest tokens of ``state`` to the model and draws the next ones; the first are drawn already."""

    def __init__(self, state: DecodeState, num_rows: int) -> None:
        self.state = state
        self.num_rows = num_rows

    @abstractmethod
    def step(self) -> None:
        """One more token for every completion."""

    @abstractmethod
    def _select(self, rows: list[int]) -> None:
        """Leave all rows but these out of the batch, in this order."""

    def is_worthwhile(self, num_kept: int, num_steps: int) -> bool:
        """Whether to continue with fewer rows for the remaining steps.

        Filling a gap reads a row and writes it; a step without the row saves one reading and the row's computation.
        """
        return num_kept < self.num_rows and num_steps > 1

    def keep(self, rows: list[int]) -> None:
        """Continue with these rows only."""
        order = filled_from_the_end(rows)
        self._select(order)
        self.state.keep(order)
        self.num_rows = len(order)


def decode(decoder: Decoder, request: DecodeRequest) -> tuple[Tensor, Tensor]:
    """Draw until all have ended or have T tokens; the result does not depend on ``check_every``.

    Returns:
        Tokens [U, C, T'] and log-probabilities [U, C, T'], T' ≤ T; what follows a completion's end is padding.
    """
    num_steps = request.uniforms.shape[-1] - 1
    for done in range(num_steps):
        if (done + 1) % request.check_every == 0:
            rows = decoder.state.unfinished_rows()
            if not rows:
                break
            if decoder.is_worthwhile(len(rows), num_steps - done):
                decoder.keep(rows)
        decoder.step()
    return decoder.state.result()


class EagerDecoder(Decoder):
    """The plain loop on any device; masks and keys grow with every token, so that no empty column is computed.

    Args:
        policy: The policy, inside its ``evaluating()``.
        encoded: U prompts, whose completions stay in the prompt's row.
        request: Noise [U, C, T] and sampling.
    """

    def __init__(self, policy: "VLMPolicy", encoded: "EncodedPrompts", request: DecodeRequest) -> None:
        num_rows, num_completions, num_tokens = request.uniforms.shape
        num_steps = num_tokens - 1  # nothing follows the last token
        hidden, self.cache = policy.prefill(encoded, room=num_steps * num_completions)
        super().__init__(DecodeState(policy, request), num_rows)
        self.policy = policy
        self.allowed = decode_mask(encoded.prompts.prompt_mask, num_completions, num_steps)
        self.position = encoded.prompts.next_position
        self.num_columns = encoded.prompts.input_ids.shape[1]
        self.state.draw(hidden[:, None].expand(-1, num_completions, -1))

    def step(self) -> None:
        """One more token for every completion."""
        tokens = self.state.latest
        self.num_columns += tokens.shape[1]
        allowed = self.allowed[..., : self.num_columns]
        self.state.draw(self.policy.decode_step(tokens, self.position, allowed, self.cache))
        self.position = self.position + 1

    def _select(self, rows: list[int]) -> None:
        keep_rows(self.cache, rows)
        self.allowed, self.position = self.allowed[rows], self.position[rows]


class IndependentDecoder(Decoder):
    """Decodes one prompt with a row for each completion, for models that cannot share a prompt.

    It uses transformers' own cache: no padding, no mask.

    Args:
        policy: The policy, inside its ``evaluating()``.
        encoded: One prompt.
        request: Noise [G, 1, T] and sampling.
    """

    def __init__(self, policy: "VLMPolicy", encoded: "EncodedPrompts", request: DecodeRequest) -> None:
        num_rows = len(request.uniforms)
        hidden, self.cache = policy.prefill_alone(encoded, num_rows)
        super().__init__(DecodeState(policy, request), num_rows)
        self.policy = policy
        self.position = encoded.prompts.next_position.expand(num_rows)
        self.state.draw(hidden[:, None])

    def step(self) -> None:
        """One more token for every completion."""
        self.state.draw(self.policy.decode_step(self.state.latest, self.position, None, self.cache))
        self.position = self.position + 1

    def _select(self, rows: list[int]) -> None:
        keep_rows(self.cache, rows)
        self.position = self.position[rows]
