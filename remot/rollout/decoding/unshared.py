"""Decoding one prompt with a row for each completion: for models that cannot share a prompt."""

from typing import TYPE_CHECKING

from torch import Tensor

from remot.models.packing.kv_cache import keep_rows
from remot.rollout.decoding.buffers import DecodeRequest, DecodeState
from remot.rollout.decoding.loop import Decoder, decode

if TYPE_CHECKING:
    from remot.models.inputs.prompts import EncodedPrompts
    from remot.models.policy import VLMPolicy


class IndependentDecoder(Decoder):
    """Steps over transformers' own cache: no padding, no mask, one completion a row.

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
        self.drawn.draw(hidden[:, None])

    def step(self) -> None:
        """One more token for every completion."""
        self.drawn.draw(self.policy.decode_step(self.drawn.latest, self.position, None, self.cache))
        self.position = self.position + 1

    def _select(self, rows: list[int]) -> None:
        keep_rows(self.cache, rows)
        self.position = self.position[rows]


def decode_separately(policy: "VLMPolicy", encoded: "EncodedPrompts", request: DecodeRequest) -> tuple[Tensor, Tensor]:
    """As :func:`remot.rollout.decoding.loop.decode`, for one prompt and noise [1, G, T]."""
    by_row = DecodeRequest(request.uniforms.transpose(0, 1), request.sampling, request.check_every)
    tokens, logprobs = decode(IndependentDecoder(policy, encoded, by_row), by_row)
    return tokens.transpose(0, 1), logprobs.transpose(0, 1)
