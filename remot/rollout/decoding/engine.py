"""The library's own rollout engine: decodes with the policy's weights, in parts that fit into memory."""

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import pad

from remot.errors import ConfigError
from remot.rollout.decoding.buffers import DecodeRequest
from remot.rollout.decoding.cuda_graph import GraphDecoder
from remot.rollout.decoding.loop import Decoder, EagerDecoder, decode
from remot.rollout.decoding.memory import free_bytes, halving, plan_decode
from remot.rollout.decoding.unshared import decode_separately
from remot.rollout.sampling import SamplingSettings
from remot.rollout.settings import RolloutSettings

if TYPE_CHECKING:
    from remot.models.inputs.prompts import EncodedPrompts
    from remot.models.policy import VLMPolicy

_LOG = logging.getLogger(__name__)

#: Tokens between two looks at who has finished on a GPU.
CHECK_EVERY_ON_GPU = 16


class RolloutEngine:
    """Draws completions for any number of prompts.

    It remembers two things that change no result: how many prompts did fit, and whether graphs can be recorded.

    Args:
        settings: Speed and memory; the defaults if None.
    """

    def __init__(self, settings: RolloutSettings | None = None) -> None:
        self.settings = settings if settings is not None else RolloutSettings()
        self.most_prompts: int | None = None
        self.can_record = True

    def run(
        self, policy: "VLMPolicy", encoded: "EncodedPrompts", uniforms: Tensor, sampling: SamplingSettings
    ) -> tuple[Tensor, Tensor]:
        """Tokens [P, G, T'] and log-probabilities [P, G, T'], T' ≤ T, inside the policy's ``evaluating()``.

        Args:
            policy: The policy.
            encoded: P prompts.
            uniforms: [P, G, T] noise.
            sampling: How tokens are drawn.
        """
        every = self.settings.check_every or (CHECK_EVERY_ON_GPU if policy.device.type == "cuda" else 1)

        def attempt(size: int) -> tuple[Tensor, Tensor]:
            parts = [
                self._decode(policy, _part(encoded, rows), DecodeRequest(uniforms[rows], sampling, every))
                for rows in _slices(len(encoded), size)
            ]
            longest = max(tokens.shape[-1] for tokens, _ in parts)
            return _joined([tokens for tokens, _ in parts], longest, policy.pad_token_id), _joined(
                [logprobs for _, logprobs in parts], longest, 0.0
            )

        size = self.prompts_together(policy, encoded, uniforms)
        result, used = halving(attempt, size, "decoding")
        if used < size:
            self.most_prompts = used
        return result

    def prompts_together(self, policy: "VLMPolicy", encoded: "EncodedPrompts", uniforms: Tensor) -> int:
        """How many of the P prompts are decoded at the same time."""
        wanted = self.settings.prompts_together
        if not policy.packing(encoded).shares_prompt:
            return 1
        if wanted == "auto":
            num_prompts, num_completions, num_tokens = uniforms.shape
            shape = (num_prompts, encoded.prompts.input_ids.shape[1], num_completions, num_tokens)
            wanted = plan_decode(policy.footprint, free_bytes(policy.device), shape)
        return min(wanted, len(encoded), self.most_prompts or wanted)

    def _decode(self, policy: "VLMPolicy", encoded: "EncodedPrompts", request: DecodeRequest) -> tuple[Tensor, Tensor]:
        if not policy.packing(encoded).shares_prompt:
            return decode_separately(policy, encoded, request)
        decides_alone = self.settings.decode == "auto"
        if self._records(policy):
            try:
                return decode(GraphDecoder(policy, encoded, request), request)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:  # what cannot be recorded is found out by recording it
                if not decides_alone:
                    raise
                self.can_record = False
                _LOG.warning("no CUDA graph of a decode step (%s); decoding goes on as with decode: plain", str(error))
        steps: Decoder = EagerDecoder(policy, encoded, request)
        return decode(steps, request)

    def _records(self, policy: "VLMPolicy") -> bool:
        """Sharded weights are not recorded: every block then has the streams of its gathering wait for the step's."""
        is_sharded = policy.sharding is not None
        if self.settings.decode == "auto":
            return policy.device.type == "cuda" and self.can_record and not is_sharded
        if self.settings.decode == "cuda_graph" and policy.device.type != "cuda":
            msg = f"rollout.decode: cuda_graph needs a GPU, the policy is on {policy.device}; choose auto or plain"
            raise ConfigError(msg)
        if self.settings.decode == "cuda_graph" and is_sharded:
            msg = "rollout.decode: cuda_graph cannot record weights divided over processes; choose auto or plain"
            raise ConfigError(msg)
        return self.settings.decode == "cuda_graph"


def _slices(num_prompts: int, size: int) -> Iterator[slice]:
    for start in range(0, num_prompts, size):
        yield slice(start, min(start + size, num_prompts))


def _part(encoded: "EncodedPrompts", rows: slice) -> "EncodedPrompts":
    return encoded if rows == slice(0, len(encoded)) else encoded.select(rows)


def _joined(parts: list[Tensor], longest: int, padding: float) -> Tensor:
    """Parts [P_i, G, T_i] as one tensor [P, G, T]."""
    return torch.cat([pad(part, (0, longest - part.shape[-1]), value=padding) for part in parts])
