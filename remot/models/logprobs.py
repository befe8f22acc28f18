"""Log-probabilities of given tokens without ever holding the logits of a whole sequence."""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

#: Rows of logits held at once. At a 152k vocabulary in float32 a row is 0.6 MB.
DEFAULT_CHUNK_TOKENS = 512


def _chunk_logprobs(
    hidden: Tensor, targets: Tensor, lm_head: nn.Module, logit_bias: Tensor | None, temperature: float
) -> Tensor:
    logits = lm_head(hidden).float()  # [M, V]
    if logit_bias is not None:
        logits = logits + logit_bias
    return torch.log_softmax(logits / temperature, dim=-1).gather(-1, targets[:, None])[:, 0]


def token_logprobs(
    hidden: Tensor,
    targets: Tensor,
    lm_head: nn.Module,
    *,
    logit_bias: Tensor | None = None,
    temperature: float = 1.0,
    chunk_tokens: int = DEFAULT_CHUNK_TOKENS,
) -> Tensor:
    """Log-probability of each target under the tempered, masked distribution the sampler draws from.

    With gradient, each chunk's logits are computed again in the backward pass instead of being kept.

    Args:
        hidden: [M, H] last hidden states.
        targets: [M] token ids.
        lm_head: Maps [*, H] to [*, V].
        logit_bias: [V] added to the logits, -inf for tokens that can never be sampled.
        temperature: Divides the biased logits.
        chunk_tokens: Rows of logits held at once.

    Returns:
        [M] float32.
    """
    parts = []
    for start in range(0, len(targets), chunk_tokens):
        rows = slice(start, start + chunk_tokens)
        arguments = (hidden[rows], targets[rows], lm_head, logit_bias, temperature)
        if torch.is_grad_enabled() and len(targets) > chunk_tokens:
            parts.append(checkpoint(_chunk_logprobs, *arguments, use_reentrant=False))
        else:
            parts.append(_chunk_logprobs(*arguments))
    return torch.cat(parts) if parts else hidden.new_zeros(0, dtype=torch.float32)


def token_logprobs_and_entropies(
    hidden: Tensor,
    targets: Tensor,
    lm_head: nn.Module,
    *,
    logit_bias: Tensor | None = None,
    temperature: float = 1.0,
    chunk_tokens: int = DEFAULT_CHUNK_TOKENS,
) -> tuple[Tensor, Tensor]:
    """As :func:`token_logprobs`, with the entropy of each distribution in nats.

    Returns:
        Log-probabilities [M] and entropies [M], float32.
    """
    parts = []
    for start in range(0, len(targets), chunk_tokens):
        rows = slice(start, start + chunk_tokens)
        arguments = (hidden[rows], targets[rows], lm_head, logit_bias, temperature)
        if torch.is_grad_enabled():
            parts.append(checkpoint(_chunk_with_entropies, *arguments, use_reentrant=False))
        else:
            parts.append(_chunk_with_entropies(*arguments))
    both = torch.cat(parts, dim=1) if parts else hidden.new_zeros(2, 0, dtype=torch.float32)
    return both[0], both[1]


def _chunk_with_entropies(
    hidden: Tensor,
    targets: Tensor,
    lm_head: nn.Module,
    logit_bias: Tensor | None,
    temperature: float,
) -> Tensor:
    """[2, M]: log-probabilities of the targets, and −Σ p log p, in which tokens of probability 0 count nothing."""
    logits = lm_head(hidden).float()  # [M, V]
    if logit_bias is not None:
        logits = logits + logit_bias
    logprobs = torch.log_softmax(logits / temperature, dim=-1)
    finite = logprobs.masked_fill(logprobs.isneginf(), 0.0)  # their probability is 0
    entropies = -(logprobs.exp() * finite).sum(-1)
    return torch.stack([logprobs.gather(-1, targets[:, None])[:, 0], entropies])
