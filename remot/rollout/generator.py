"""Sampling G completions for each prompt: prefill once, decode them together in the prompt's row.

Notation: P prompts, G completions, B = P*G rows, L prompt columns, T tokens.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from remot.models.encoding import EncodedPrompts
from remot.models.policy import VLMPolicy
from remot.models.prefix import decode_mask
from remot.rollout.sampling import SamplingSettings, draw, uniform_noise
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
) -> Rollout:
    """Sample completions from the policy itself, no second engine and no copy of the weights.

    Args:
        policy: The policy.
        encoded: P prompts.
        num_completions: G.
        max_new_tokens: Longest completion T, end-of-turn token included.
        sampling: How tokens are drawn.
        address: Names the noise.
    """
    uniforms = uniform_noise(address.seed, address.step, list(address.prompt_ids), num_completions, max_new_tokens)
    with policy.evaluating():
        decoder = _Decoder(policy, encoded, num_completions, max_new_tokens)
        tokens, logprobs = decoder.run(uniforms.flatten(0, 1).to(policy.device), sampling)
    return _as_rollout(policy, tokens, logprobs, len(encoded), num_completions)


class _Decoder:
    """State of one decode loop: P rows of one prompt and its G completions each, in a cache that is never forked."""

    def __init__(self, policy: VLMPolicy, encoded: EncodedPrompts, num_completions: int, max_new_tokens: int) -> None:
        self.policy = policy
        self.max_new_tokens = max_new_tokens
        self.num_completions = num_completions
        prompts = encoded.prompts
        num_steps = max_new_tokens - 1  # nothing follows the last token
        hidden, self.cache = policy.prefill(encoded, room=num_steps * num_completions)
        self.hidden = hidden.repeat_interleave(num_completions, dim=0)  # [B, H]
        self.allowed = decode_mask(prompts.prompt_mask, num_completions, num_steps)
        self.next_position = prompts.next_position
        self.num_columns = prompts.input_ids.shape[1]
        self.eos = torch.tensor(policy.eos_token_ids, device=hidden.device)

    def run(self, uniforms: Tensor, sampling: SamplingSettings) -> tuple[Tensor, Tensor]:
        """Tokens [B, T'] and log-probabilities [B, T'], T' ≤ T; what follows a row's end is padding."""
        finished = torch.zeros(len(uniforms), dtype=torch.bool, device=uniforms.device)
        tokens, logprobs = [], []
        for t in range(self.max_new_tokens):
            drawn, logprob = draw(self.policy.logits(self.hidden), uniforms[:, t], sampling)
            tokens.append(drawn.masked_fill(finished, self.policy.pad_token_id))
            logprobs.append(logprob.masked_fill(finished, 0.0))
            finished = finished | torch.isin(tokens[-1], self.eos)
            if bool(finished.all()) or t + 1 == self.max_new_tokens:
                break
            self._advance(tokens[-1], t)
        return torch.stack(tokens, dim=1), torch.stack(logprobs, dim=1)

    def _advance(self, drawn: Tensor, t: int) -> None:
        tokens = drawn.view(-1, self.num_completions)
        allowed = self.allowed[..., : self.num_columns + (t + 1) * self.num_completions]
        self.hidden = self.policy.decode_step(tokens, self.next_position + t, allowed, self.cache).flatten(0, 1)


def _as_rollout(policy: VLMPolicy, tokens: Tensor, logprobs: Tensor, num_prompts: int, num_completions: int) -> Rollout:
    is_end = torch.isin(tokens, torch.tensor(policy.eos_token_ids, device=tokens.device))
    ended_before = is_end.cumsum(-1) - is_end.long() > 0
    mask = ~ended_before  # the end-of-turn token itself counts
    shape = (num_prompts, num_completions, tokens.shape[-1])
    ids = [row[keep].tolist() for row, keep in zip(tokens, mask, strict=True)]
    texts = policy.decode_texts(ids)
    grouped = [texts[i * num_completions : (i + 1) * num_completions] for i in range(num_prompts)]
    return Rollout(
        token_ids=tokens.view(shape),
        completion_mask=mask.view(shape),
        logprobs=logprobs.view(shape),
        texts=grouped,
        finished=is_end.any(-1).view(num_prompts, num_completions),
    )
