"""Turning a distribution and one uniform number into a token: reproducible, free of generator state, on any device."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from remot.errors import ConfigError
from remot.seeding import numpy_generator

#: Their noise alone takes half a gigabyte.
MAX_TOKENS_OF_PROMPT = 2**24
#: What is divided by less may leave the range of float32.
LEAST_TEMPERATURE = 1e-6


@dataclass(frozen=True)
class SamplingSettings:
    """How tokens are drawn.

    Args:
        temperature: Divides the logits; 0 takes the most likely token.
        top_k: Only the k most likely tokens may be drawn; 0 is off.
        top_p: Only the most likely tokens that together hold this share of what ``top_k`` has left may be drawn; 1 is
            off.
        min_p: Only tokens with at least this share of the best one's probability may be drawn; 0 is off.
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    def __post_init__(self) -> None:
        is_finite = 0 <= self.temperature < math.inf  # False for NaN too
        if 0 < self.temperature < LEAST_TEMPERATURE:
            least = f"give 0 for the most likely token, or at least {LEAST_TEMPERATURE:g}"
            msg = f"sampling.temperature is {self.temperature:g}, by which no logit can be divided; {least}"
            raise ConfigError(msg)
        if not is_finite or self.top_k < 0 or not 0 < self.top_p <= 1 or not 0 <= self.min_p <= 1:
            msg = f"sampling needs temperature ≥ 0, top_k ≥ 0, 0 < top_p ≤ 1 and 0 ≤ min_p ≤ 1, got {self}"
            raise ConfigError(msg)

    @property
    def is_greedy(self) -> bool:
        """True if the most likely token is taken."""
        return self.temperature == 0

    @property
    def truncates(self) -> bool:
        """True if some tokens are cut off, so that the drawn distribution is not the tempered one."""
        return self.top_k > 0 or self.top_p < 1 or self.min_p > 0


GREEDY = SamplingSettings(temperature=0.0)


@dataclass(frozen=True)
class RolloutAddress:
    """Names the noise of a rollout."""

    seed: int  # of the run
    step: int  # optimiser step
    prompt_ids: tuple[str, ...]  # one per prompt


@dataclass(frozen=True)
class RolloutRequest:
    """What an engine samples, the policy's own or an external one."""

    num_completions: int  # G for each prompt
    max_new_tokens: int  # longest completion T, end-of-turn token included
    sampling: SamplingSettings
    address: RolloutAddress


def require_lengths(key: str, num_completions: int, max_new_tokens: int) -> None:
    """Refuse more tokens of one prompt than there is memory for.

    Raises:
        ConfigError: With the settings below ``key``.
    """
    if num_completions * max_new_tokens > MAX_TOKENS_OF_PROMPT:
        msg = (
            f"{key}: num_completions {num_completions} and max_new_tokens {max_new_tokens} are too many tokens for one "
            f"prompt; lower one, so that their product is at most {MAX_TOKENS_OF_PROMPT:,}"
        )
        raise ConfigError(msg)


def uniform_noise(seed: int, step: int, prompt_ids: Sequence[str], num_completions: int, num_tokens: int) -> Tensor:
    """[P, G, T] float64 uniforms in [0, 1), each row a stream of its own named by (seed, step, prompt, completion).

    A row does not depend on which other prompts are in the batch; a shorter row is the beginning of a longer one.
    """
    rows = [
        numpy_generator(seed, "rollout", step, prompt_id, sample).random(num_tokens).tolist()
        for prompt_id in prompt_ids
        for sample in range(num_completions)
    ]
    return torch.tensor(rows, dtype=torch.float64).view(len(prompt_ids), num_completions, num_tokens)


def truncation_mask(scores: Tensor, settings: SamplingSettings) -> Tensor:
    """True for tokens that may be drawn: transformers' warpers top_k, top_p and min_p, in this order.

    Each cut is made in what the one before has left, renormalised: ``top_p`` is a share of the ``top_k`` best tokens.
    vLLM cuts in the same way but applies ``min_p`` first. The operations are those of transformers, in the precision
    of the scores, so that a rounded sum at the edge is cut alike. Which of several equal tokens ``top_p`` cuts is
    undefined there; here it is those with the larger ids. The most likely token always stays.

    Args:
        scores: [..., V] logits divided by the temperature, or their log-probabilities; -inf is never drawn.
        settings: What is cut.

    Returns:
        [..., V] bool.
    """
    keep = torch.isfinite(scores)  # [..., V]
    if settings.top_k > 0:  # of several tokens that are as good as the k-th all stay
        left = scores.masked_fill(~keep, -torch.inf)
        keep = keep & (left >= left.topk(min(settings.top_k, left.shape[-1]), dim=-1).values[..., -1:])
    if settings.top_p < 1:
        left = scores.masked_fill(~keep, -torch.inf)
        best_first, order = left.sort(dim=-1, descending=True, stable=True)  # of equal ones the smaller ids stay
        held = best_first.flip(-1).softmax(-1).cumsum(-1)  # worst first, as transformers adds up
        # A token goes while it and all worse ones hold at most 1 - top_p.
        holds = (held > 1 - settings.top_p).flip(-1)
        holds[..., 0] = True
        keep = keep & torch.zeros_like(holds).scatter(-1, order, holds)
    if settings.min_p > 0:
        probabilities = scores.masked_fill(~keep, -torch.inf).softmax(-1)
        keep = keep & (probabilities >= settings.min_p * probabilities.amax(-1, keepdim=True))
    return keep


def inverse_of_cumulative(weights: Tensor, cumulative: Tensor, uniforms: Tensor) -> Tensor:
    """The token [B] in whose step of the cumulative distribution each uniform number falls.

    A GPU adds up in blocks, and two sums of the same numbers may differ in the last place: at the edge of a block the
    cumulative weights may rise at a token of weight 0, or fall. Such a token is never returned: the likeliest is.

    Args:
        weights: [B, V], none negative, not all 0 in a row.
        cumulative: [B, V] float64, their cumulative sum.
        uniforms: [B] in [0, 1).
    """
    target = uniforms.to(cumulative)[:, None] * cumulative[:, -1:]
    tokens = torch.searchsorted(cumulative, target, right=True).clamp_(max=weights.shape[-1] - 1)
    return torch.where(weights.gather(-1, tokens) > 0, tokens, weights.argmax(-1, keepdim=True))[:, 0]


def draw(logits: Tensor, uniforms: Tensor, settings: SamplingSettings) -> tuple[Tensor, Tensor]:
    """Draw one token for each row, on the device of the logits.

    There is no state in here, nothing is copied to the host, and no shape depends on a number in a tensor, so that a
    CUDA graph can hold it.

    Args:
        logits: [B, V] float32, -inf for tokens that can never be drawn.
        uniforms: [B] in [0, 1).
        settings: How to draw.

    Returns:
        Tokens [B] and their log-probabilities [B] under the tempered distribution before any truncation, which is
        the one the scoring pass computes. Greedy decoding reports those of temperature 1.
    """
    temperature = 1.0 if settings.is_greedy else settings.temperature
    scores = logits if temperature == 1 else logits / temperature  # [B, V]
    logprobs = torch.log_softmax(scores, dim=-1)
    if settings.is_greedy:
        tokens = logits.argmax(-1)
    else:
        weights = logprobs.exp()
        if settings.truncates:
            weights = weights * truncation_mask(scores, settings)
        tokens = inverse_of_cumulative(weights, weights.cumsum(-1, dtype=torch.float64), uniforms)
    return tokens, logprobs.gather(-1, tokens[:, None])[:, 0]
