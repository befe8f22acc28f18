"""The decode loop: one more token for all, again and again, until all have ended.

The loop does not know how a token comes about: :class:`Decoder` does, and there are several. They draw the first token
from the prompt's last hidden state when they are made. Now and then the loop looks who has finished; rows all of whose
completions are finished leave the batch.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from torch import Tensor

from remot.models.packing.kv_cache import filled_from_the_end, keep_rows
from remot.models.packing.masks import decode_mask
from remot.rollout.decoding.buffers import DecodeRequest, DecodeState

if TYPE_CHECKING:
    from remot.models.inputs.prompts import EncodedPrompts
    from remot.models.policy import VLMPolicy


class Decoder(ABC):
    """Feeds the tokens drawn last to the model and draws the next ones.

    Notation as in :mod:`remot.rollout.decoding.buffers`.

    Args:
        drawn: What has been drawn; the first tokens are there.
        num_rows: U.
    """

    def __init__(self, drawn: DecodeState, num_rows: int) -> None:
        self.drawn = drawn
        self.num_rows = num_rows

    @abstractmethod
    def step(self) -> None:
        """One more token for every completion."""

    @abstractmethod
    def _select(self, rows: list[int]) -> None:
        """Leave all rows but these out of the batch, in this order."""

    def is_worthwhile(self, num_kept: int, num_steps: int) -> bool:
        """Whether to go on with fewer rows for the steps that are left.

        Filling a gap reads a row and writes it; a step without the row saves one reading and the row's computation.
        """
        return num_kept < self.num_rows and num_steps > 1

    def keep(self, rows: list[int]) -> None:
        """Go on with these rows only."""
        order = filled_from_the_end(rows)
        self._select(order)
        self.drawn.keep(order)
        self.num_rows = len(order)


def decode(steps: Decoder, request: DecodeRequest) -> tuple[Tensor, Tensor]:
    """Draw until all have ended or have T tokens; the result does not depend on ``check_every``.

    Returns:
        Tokens [U, C, T'] and log-probabilities [U, C, T'], T' ≤ T; what follows a completion's end is padding.
    """
    num_steps = request.max_new_tokens - 1
    for done in range(num_steps):
        if (done + 1) % request.check_every == 0:
            rows = steps.drawn.unfinished_rows()
            if not rows:
                break
            if steps.is_worthwhile(len(rows), num_steps - done):
                steps.keep(rows)
        steps.step()
    return steps.drawn.result()


class EagerDecoder(Decoder):
    """The plain loop on any device: masks and keys grow with every token, so that nothing empty is ever looked at.

    Args:
        policy: The policy, inside its ``evaluating()``.
        encoded: U prompts, whose completions stay in the prompt's row.
        request: Noise [U, C, T] and sampling.
    """

    def __init__(self, policy: "VLMPolicy", encoded: "EncodedPrompts", request: DecodeRequest) -> None:
        num_rows, num_completions, _ = request.uniforms.shape
        num_steps = request.max_new_tokens - 1  # nothing follows the last token
        hidden, self.cache = policy.prefill(encoded, room=num_steps * num_completions)
        super().__init__(DecodeState(policy, request), num_rows)
        self.policy = policy
        self.allowed = decode_mask(encoded.prompts.prompt_mask, num_completions, num_steps)
        self.position = encoded.prompts.next_position
        self.num_columns = encoded.prompts.input_ids.shape[1]
        self.drawn.draw(hidden[:, None].expand(-1, num_completions, -1))

    def step(self) -> None:
        """One more token for every completion."""
        tokens = self.drawn.latest
        self.num_columns += tokens.shape[1]
        allowed = self.allowed[..., : self.num_columns]
        self.drawn.draw(self.policy.decode_step(tokens, self.position, allowed, self.cache))
        self.position = self.position + 1

    def _select(self, rows: list[int]) -> None:
        keep_rows(self.cache, rows)
        self.allowed, self.position = self.allowed[rows], self.position[rows]
