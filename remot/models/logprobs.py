"""Log-probabilities of given tokens without ever holding the logits of a whole sequence, or of a chunk for long."""

from collections.abc import Callable
from typing import Any

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


def _recomputed(*arguments: Any) -> Tensor:  # noqa: ANN401 - those of the function
    """:func:`_chunk_logprobs`, again in the backward pass."""
    logprobs: Tensor = checkpoint(_chunk_logprobs, *arguments, use_reentrant=False)
    return logprobs


class _FrozenHead(torch.autograd.Function):
    """:func:`_chunk_logprobs`, differentiated at once: each row depends on its own hidden state alone."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, *arguments: Any) -> Tensor:  # noqa: ANN401 - as torch declares it
        with torch.enable_grad():
            rows = hidden.detach().requires_grad_()
            logprobs = _chunk_logprobs(rows, *arguments)
            (slopes,) = torch.autograd.grad(logprobs.sum(), rows)  # [M, H]
        ctx.save_for_backward(slopes)
        return logprobs.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        (slopes,) = ctx.saved_tensors
        return (gradients[0][:, None].to(slopes) * slopes, None, None, None, None)


def _is_trained(lm_head: nn.Module) -> bool:
    """Also of weights that are divided over processes, whose passes take hooks of their own."""
    from torch.distributed.tensor import DTensor

    return any(weight.requires_grad or isinstance(weight, DTensor) for weight in lm_head.parameters())


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

    No logits are kept for the backward pass. Where the head is frozen, the derivative of a row's log-probability by its
    hidden state is computed with it, [M, H] numbers instead of [M, V]; otherwise the backward pass computes the logits
    of a chunk again.

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
    computes_gradient = torch.is_grad_enabled() and (hidden.requires_grad or _is_trained(lm_head))
    chunk: Callable[..., Tensor] = _chunk_logprobs
    if computes_gradient:
        chunk = _recomputed if _is_trained(lm_head) else _FrozenHead.apply
    parts = []
    for start in range(0, len(targets), chunk_tokens):
        rows = slice(start, start + chunk_tokens)
        parts.append(chunk(hidden[rows], targets[rows], lm_head, logit_bias, temperature))
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
