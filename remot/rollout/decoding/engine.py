"""The library's own rollout engine: decodes with the policy's weights, in parts that fit into memory.

Notation: P prompts, G completions, T tokens.
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from remot.errors import ConfigError
from remot.models.inputs.conversations import joined_rows
from remot.models.memory import halving
from remot.rollout.decoding.cuda_graph import GraphDecoder
from remot.rollout.decoding.loop import DecodeRequest, SeparateDecoder, SharedDecoder, decode
from remot.rollout.decoding.memory import free_bytes, plan_decode
from remot.rollout.sampling import RolloutRequest, SamplingSettings, uniform_noise
from remot.structures import Rollout

if TYPE_CHECKING:
    from remot.models.inputs.prompts import EncodedPrompts
    from remot.models.policy import VLMPolicy

_LOG = logging.getLogger(__name__)

#: Tokens between two stop checks on a GPU.
CHECK_EVERY_ON_GPU = 16


@dataclass(frozen=True)
class RolloutSettings:
    """Speed and memory of a rollout. Tokens are a function of seed, step, prompt and number of the completion.

    No setting changes a completion, but for rounding in half precision.

    Args:
        decode: ``plain`` runs a token's operations one by one, ``cuda_graph`` records them once for a rollout and
            replays them. ``auto`` takes graphs on a GPU, the plain loop where they cannot be recorded and elsewhere.
        prompts_together: Prompts whose completions are decoded at the same time. ``auto`` takes what fits into the
            memory that is free on a GPU, and all of them elsewhere. Models that cannot share a prompt decode prompts
            of one length together.
        check_every: Tokens between two checks of which completions have ended; the host waits for the GPU at each.
            None takes 16 on a GPU and 1 elsewhere.
    """

    decode: Literal["auto", "plain", "cuda_graph"] = "auto"
    prompts_together: Literal["auto"] | int = "auto"
    check_every: int | None = None

    def __post_init__(self) -> None:
        if self.decode not in ("auto", "plain", "cuda_graph"):
            msg = f"rollout.decode is auto, plain or cuda_graph, not {self.decode!r}"
            raise ConfigError(msg)
        if self.prompts_together != "auto" and self.prompts_together < 1:
            msg = f"rollout.prompts_together is auto or at least 1, not {self.prompts_together}"
            raise ConfigError(msg)
        if self.check_every is not None and self.check_every < 1:
            msg = f"rollout.check_every is at least 1, not {self.check_every}"
            raise ConfigError(msg)


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
        """Tokens [P, G, T'] and log-probabilities [P, G, T'], T' ≤ T, from noise [P, G, T].

        It is called inside the policy's ``evaluating()``.
        """
        every = self.settings.check_every or (CHECK_EVERY_ON_GPU if policy.device.type == "cuda" else 1)
        lengths = encoded.prompts.prompt_lengths.tolist()
        alike = [0] * len(encoded) if policy.shares_prompts(encoded) else lengths

        def attempt(size: int) -> tuple[Tensor, Tensor]:
            groups = decoded_groups(alike, size)
            parts = []
            for rows in groups:
                part = _selected(encoded, rows, policy.pad_token_id)
                parts.append(self._decode(policy, part, DecodeRequest(uniforms[rows], sampling, every)))
            tokens, logprobs = zip(*parts, strict=True)
            places = torch.tensor(list(chain.from_iterable(groups)), device=policy.device).argsort()
            return _joined(tokens, policy.pad_token_id)[places], _joined(logprobs, 0.0)[places]

        size = self.prompts_together(policy, encoded, uniforms)
        result, used = halving(attempt, size, "decoding", "model.rollout.prompts_together")
        if used < size:
            self.most_prompts = used
        return result

    def prompts_together(self, policy: "VLMPolicy", encoded: "EncodedPrompts", uniforms: Tensor) -> int:
        """How many of the P prompts are decoded at the same time."""
        wanted = self.settings.prompts_together
        if encoded.whole_reason is not None:
            return 1
        if wanted == "auto":
            num_prompts, num_completions, num_tokens = uniforms.shape
            shape = (num_prompts, encoded.prompts.input_ids.shape[1], num_completions, num_tokens)
            shares = policy.shares_prompts(encoded)
            wanted = plan_decode(policy.footprint, free_bytes(policy.device), shape, shares_prompts=shares)
        return min(wanted, len(encoded), self.most_prompts or wanted)

    def _decode(self, policy: "VLMPolicy", encoded: "EncodedPrompts", request: DecodeRequest) -> tuple[Tensor, Tensor]:
        if not policy.shares_prompts(encoded):
            by_row = replace(request, uniforms=request.uniforms.flatten(0, 1)[:, None])
            rows = decode(SeparateDecoder(policy, encoded, by_row), by_row)
            tokens, logprobs = (part.view(*request.uniforms.shape[:2], -1) for part in rows)
            return tokens, logprobs
        if self._records(policy):
            try:
                return decode(GraphDecoder(policy, encoded, request), request)
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:  # only recording shows what cannot be recorded
                if self.settings.decode != "auto":
                    raise
                self.can_record = False
                _LOG.warning("no CUDA graph of a decode step (%s); decoding goes on as with decode: plain", str(error))
        return decode(SharedDecoder(policy, encoded, request), request)

    def _records(self, policy: "VLMPolicy") -> bool:
        """Sharded weights are not recorded: in every block the streams that gather them wait for the step's stream."""
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


def decoded_groups(alike: Sequence[int], size: int) -> list[list[int]]:
    """Numbers of prompts that are decoded together: at most ``size``, all with the same value in ``alike``."""
    by_value = defaultdict(list)
    for number, value in enumerate(alike):
        by_value[value].append(number)
    return [held[start : start + size] for held in by_value.values() for start in range(0, len(held), size)]


def _selected(encoded: "EncodedPrompts", rows: Sequence[int], pad_token_id: int) -> "EncodedPrompts":
    """The prompts ``rows``, which are in order."""
    first, last = rows[0], rows[-1]
    if len(rows) == len(encoded):
        return encoded
    if last - first + 1 == len(rows):
        return encoded.select(slice(first, last + 1))
    return joined_rows([encoded.select(slice(row, row + 1)) for row in rows], pad_token_id)


def _joined(parts: tuple[Tensor, ...], padding: float) -> Tensor:
    """Parts [P_i, G, T_i] as one tensor [P, G, T]."""
    longest = max(part.shape[-1] for part in parts)
    return torch.cat([pad(part, (0, longest - part.shape[-1]), value=padding) for part in parts])


def generate(
    policy: "VLMPolicy", encoded: "EncodedPrompts", request: RolloutRequest, engine: RolloutEngine | None = None
) -> Rollout:
    """Sample completions of P prompts from the policy itself, no second engine and no copy of the weights.

    Args:
        policy: The policy.
        encoded: P prompts.
        request: What is sampled.
        engine: How it is decoded, which changes no completion; with default settings if None.
    """
    engine = engine if engine is not None else RolloutEngine()
    address, num_completions = request.address, request.num_completions
    uniforms = uniform_noise(
        address.seed, address.step, address.prompt_ids, num_completions, request.max_new_tokens
    )  # [P, G, T]
    with policy.sampling():
        tokens, logprobs = engine.run(policy, encoded, uniforms.to(policy.device), request.sampling)
    is_end = torch.isin(tokens, torch.tensor(policy.eos_token_ids, device=tokens.device))  # [P, G, T]
    mask = ~(is_end.cumsum(-1) - is_end.long() > 0)  # [P, G, T]; the end-of-turn token itself counts
    lengths = mask.sum(-1).tolist()
    groups = [[ids[:n] for ids, n in zip(*group, strict=True)] for group in zip(tokens.tolist(), lengths, strict=True)]
    return Rollout(
        token_ids=tokens,
        completion_mask=mask,
        logprobs=logprobs,
        texts=[policy.texts.responses(ids) for ids in groups],
        finished=is_end.any(-1),
    )
