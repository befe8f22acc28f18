"""Sampling G completions for each prompt: noise by address in, a rollout with texts out.

Notation: P prompts, G completions, T tokens.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from remot.models.inputs.prompts import EncodedPrompts
from remot.models.policy import VLMPolicy
from remot.rollout.decoding.engine import RolloutEngine
from remot.rollout.sampling import SamplingSettings, uniform_noise
from remot.structures import Rollout


@dataclass(frozen=True)
class RolloutAddress:
    """Names the noise of a rollout.

    Args:
        seed: Of the run.
        step: Optimiser step.
        prompt_ids: One per prompt.
    """

    seed: int
    step: int
    prompt_ids: tuple[str, ...]


def generate(
    policy: VLMPolicy,
    encoded: EncodedPrompts,
    *,
    num_completions: int,
    max_new_tokens: int,
    sampling: SamplingSettings,
    address: RolloutAddress,
    engine: RolloutEngine | None = None,
) -> Rollout:
    """Sample completions from the policy itself, no second engine and no copy of the weights.

    Args:
        policy: The policy.
        encoded: P prompts.
        num_completions: G.
        max_new_tokens: Longest completion T, end-of-turn token included.
        sampling: How tokens are drawn.
        address: Names the noise.
        engine: How they are decoded, which changes no completion; with default settings if None.
    """
    engine = engine if engine is not None else RolloutEngine()
    uniforms = uniform_noise(address.seed, address.step, list(address.prompt_ids), num_completions, max_new_tokens)
    with policy.sampling():
        tokens, logprobs = engine.run(policy, encoded, uniforms.to(policy.device), sampling)
    return _as_rollout(policy, tokens, logprobs)


def _as_rollout(policy: VLMPolicy, tokens: Tensor, logprobs: Tensor) -> Rollout:
    is_end = torch.isin(tokens, torch.tensor(policy.eos_token_ids, device=tokens.device))
    ended_before = is_end.cumsum(-1) - is_end.long() > 0
    mask = ~ended_before  # the end-of-turn token itself counts
    lengths = mask.sum(-1).tolist()
    groups = [[ids[:n] for ids, n in zip(*group, strict=True)] for group in zip(tokens.tolist(), lengths, strict=True)]
    return Rollout(
        token_ids=tokens,
        completion_mask=mask,
        logprobs=logprobs,
        texts=[policy.texts.responses(ids) for ids in groups],
        finished=is_end.any(-1),
    )
