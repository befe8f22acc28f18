"""Completions from an engine outside of the trainer, as a rollout like the trainer's own.

Whatever such an engine returns is checked here: a token that may never be sampled ends a completion, what follows an
end of turn is dropped, and log-probabilities that the engine does not give are the trainer's.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from remot.models.inputs.prompts import EncodedPrompts
from remot.models.policy import VLMPolicy
from remot.rollout.decoding.engine import RolloutEngine
from remot.rollout.sampling import RolloutRequest
from remot.rollout.sources import ClipSource, Conversations, RolloutSource, SampledPrompts, encode
from remot.structures import PromptBatch, Rollout


@dataclass(frozen=True)
class SampledCompletion:
    """A completion of an engine."""

    token_ids: tuple[int, ...]  # as far as they are known; an end-of-turn token may be missing
    logprobs: tuple[float, ...]  # one for each token, NaN where the engine gives none
    is_ended: bool  # it ended by itself

    def __post_init__(self) -> None:
        if len(self.token_ids) != len(self.logprobs):
            msg = f"{len(self.token_ids)} tokens have {len(self.logprobs)} log-probabilities"
            raise ValueError(msg)


#: Waits for completions that are being sampled: P lists of G.
BegunCompletions = Callable[[], list[list[SampledCompletion]]]


class ExternalEngine(ABC):
    """Samples completions from the policy's weights, which are synchronised with it before each rollout."""

    #: Whether the completions of the next step are sampled while a step is learnt from.
    one_step_ahead: bool = False

    @abstractmethod
    def check(self) -> None:
        """Test the connection, before anything is loaded.

        Raises:
            EngineError: If the engine does not answer.
        """

    @abstractmethod
    def sync_weights(self, policy: VLMPolicy, step: int) -> None:
        """Give it the weights of the policy; all processes of a run call this.

        The optimiser step names the weights.

        Raises:
            EngineError: If it does not take them.
        """

    @abstractmethod
    def complete(self, policy: VLMPolicy, batch: PromptBatch, request: RolloutRequest) -> list[list[SampledCompletion]]:
        """G completions for each of P prompts, P lists of G.

        Raises:
            EngineError: If it gives none.
        """

    def begin(self, policy: VLMPolicy, batch: PromptBatch, request: RolloutRequest) -> BegunCompletions:
        """Begin to sample them; what is returned waits for them. An engine that works meanwhile overrides this.

        Raises:
            EngineError: If it gives none, now or when they are waited for.
        """
        return partial(self.complete, policy, batch, request)


class EngineRollouts(RolloutSource):
    """Another engine completes each prompt, with the policy's weights.

    Args:
        external: The engine.
    """

    def __init__(self, external: ExternalEngine) -> None:
        self.external = external
        self.one_step_ahead = external.one_step_ahead
        self._begun: tuple[RolloutRequest, BegunCompletions] | None = None  # those of the next step
        self._ahead: tuple[RolloutRequest, list[list[SampledCompletion]]] | None = None  # the same once they are there

    def synchronise(self, policy: VLMPolicy, step: int) -> None:
        """Wait for what is being sampled with earlier weights, then send the new ones."""
        begun, self._begun = self._begun, None
        self._ahead = None if begun is None else (begun[0], begun[1]())
        self.external.sync_weights(policy, step)

    def begin(self, policy: VLMPolicy, batch: PromptBatch, request: RolloutRequest) -> None:
        """Begin to sample completions of the next step with the weights that the engine has."""
        self._begun = (request, self.external.begin(policy, batch, request))

    def sample(
        self,
        policy: VLMPolicy,
        batch: PromptBatch,
        request: RolloutRequest,
        clips: ClipSource,  # noqa: ARG002
        engine: RolloutEngine | None = None,  # noqa: ARG002
        encoded: EncodedPrompts | None = None,
    ) -> SampledPrompts:
        """Take the completions that were sampled for these prompts, or ask the engine; see :func:`external_rollout`."""
        encoded = encode(policy, batch) if encoded is None else encoded
        if self._ahead is not None and self._ahead[0] == request:
            sampled = self._ahead[1]
        else:
            sampled = self.external.complete(policy, batch, request)
        rollout = external_rollout(policy, encoded, sampled, request)
        return SampledPrompts(encoded, rollout, Conversations.of_one_turn(rollout))


def external_rollout(
    policy: VLMPolicy,
    encoded: EncodedPrompts,
    sampled: Sequence[Sequence[SampledCompletion]],
    request: RolloutRequest,
) -> Rollout:
    """What another engine sampled, as :func:`remot.rollout.decoding.engine.generate` gives it.

    Args:
        policy: The policy; gives the log-probabilities that the engine does not.
        encoded: P prompts.
        sampled: P lists of G completions.
        request: What was to be sampled.
    """
    banned = frozenset(torch.isinf(policy.logit_bias).nonzero()[:, 0].tolist())
    limits = CompletionLimits(policy.eos_token_ids, banned, len(policy.logit_bias), request.max_new_tokens)
    groups = [[within(completion, limits) for completion in group] for group in sampled]
    rollout = _as_rollout(policy, groups)
    unknown = rollout.logprobs.isnan() & rollout.completion_mask  # [P, G, T]
    if not bool(unknown.any()):
        return rollout
    with policy.evaluating():  # with this process's own packing: others may have nothing to compute
        temperature = request.sampling.temperature
        shares = policy.shares_prompts(encoded)
        own = policy.scored(encoded, rollout.token_ids, unknown, shares_prompts=shares, temperature=temperature)
    return replace(rollout, logprobs=torch.where(unknown, own, rollout.logprobs))


@dataclass(frozen=True)
class CompletionLimits:
    """Which tokens, and how many, a completion may have."""

    eos_token_ids: tuple[int, ...]  # tokens that end a turn, the tokenizer's own first
    banned: frozenset[int]  # tokens that may never be sampled
    vocabulary: int
    max_new_tokens: int  # longest completion, end of turn included


def within(completion: SampledCompletion, limits: CompletionLimits) -> SampledCompletion:
    """The part of a completion that the policy could have sampled, with its end of turn if it came to that.

    What follows a token that may never be sampled, or the last one there is room for, was cut off; an end of turn
    that the engine did not write is added, with a log-probability that is not known.
    """
    tokens: list[int] = []
    for token in completion.token_ids[: limits.max_new_tokens]:
        if token in limits.banned or not 0 <= token < limits.vocabulary:
            return SampledCompletion(tuple(tokens), completion.logprobs[: len(tokens)], is_ended=False)
        tokens.append(token)
        if token in limits.eos_token_ids:
            return SampledCompletion(tuple(tokens), completion.logprobs[: len(tokens)], is_ended=True)
    logprobs = completion.logprobs[: len(tokens)]
    if completion.is_ended and len(tokens) < limits.max_new_tokens:
        return SampledCompletion((*tokens, limits.eos_token_ids[0]), (*logprobs, math.nan), is_ended=True)
    return SampledCompletion(tuple(tokens), logprobs, is_ended=False)


def _as_rollout(policy: VLMPolicy, groups: Sequence[Sequence[SampledCompletion]]) -> Rollout:
    num_tokens = max(1, *(len(one.token_ids) for group in groups for one in group))

    def table(rows: list[list[list[float]]], padding: float, dtype: torch.dtype) -> Tensor:
        padded = [[row + [padding] * (num_tokens - len(row)) for row in group] for group in rows]
        return torch.tensor(padded, dtype=dtype, device=policy.device)

    ids = [[list(one.token_ids) for one in group] for group in groups]
    return Rollout(
        token_ids=table([[[*row] for row in group] for group in ids], policy.pad_token_id, torch.int64),
        completion_mask=table([[[1.0] * len(row) for row in group] for group in ids], 0.0, torch.bool),
        logprobs=table([[list(one.logprobs) for one in group] for group in groups], 0.0, torch.float32),
        texts=[policy.texts.responses(group) for group in ids],
        finished=torch.tensor([[one.is_ended for one in group] for group in groups], device=policy.device),
    )
