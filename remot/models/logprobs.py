"""Log-probabilities of given tokens without ever holding the logits of a whole sequence, or of a chunk for long."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

#: Rows of logits held at once. At a 152k vocabulary in float32 a row is 0.6 MB.
DEFAULT_CHUNK_TOKENS = 512


#: From hidden states [M, H], a column [M, ...], the head, the logits' bias and the temperature to [..., M].
RowFunction = Callable[[Tensor, Tensor, nn.Module, Tensor | None, float], Tensor]
#: From log-probabilities [M, V] of two policies to a number [M] for each row.
Divergence = Callable[[Tensor, Tensor], Tensor]


def _distributions(
    hidden: Tensor, lm_head: Callable[[Tensor], Tensor], logit_bias: Tensor | None, temperature: float
) -> Tensor:
    """Log-probabilities [M, V]."""
    logits = lm_head(hidden).float()  # [M, V]
    if logit_bias is not None:
        logits = logits + logit_bias
    return torch.log_softmax(logits / temperature, dim=-1)


def _chunk_logprobs(
    hidden: Tensor, targets: Tensor, lm_head: nn.Module, logit_bias: Tensor | None, temperature: float
) -> Tensor:
    return _distributions(hidden, lm_head, logit_bias, temperature).gather(-1, targets[:, None])[:, 0]


def _chunk_with_entropies(
    hidden: Tensor, targets: Tensor, lm_head: nn.Module, logit_bias: Tensor | None, temperature: float
) -> Tensor:
    """[2, M]: log-probabilities of the targets, and −Σ p log p, in which tokens of probability 0 count nothing."""
    logprobs = _distributions(hidden, lm_head, logit_bias, temperature)  # [M, V]
    finite = logprobs.masked_fill(logprobs.isneginf(), 0.0)  # their probability is 0
    entropies = -(logprobs.exp() * finite).sum(-1)
    return torch.stack([logprobs.gather(-1, targets[:, None])[:, 0], entropies])


class _FrozenHead(torch.autograd.Function):
    """A row function with one number a row, differentiated at once: each depends on its own hidden state alone."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, function: RowFunction, *arguments: Any) -> Tensor:  # noqa: ANN401
        with torch.enable_grad():
            rows = hidden.detach().requires_grad_()
            values = function(rows, *arguments)
            (slopes,) = torch.autograd.grad(values.sum(), rows)  # [M, H]
        ctx.save_for_backward(slopes)
        return values.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        (slopes,) = ctx.saved_tensors
        return (gradients[0][:, None].to(slopes) * slopes, None, None, None, None, None)


def _is_trained(lm_head: nn.Module) -> bool:
    """Also of weights that are divided over processes, whose passes take hooks of their own."""
    from torch.distributed.tensor import DTensor

    return any(weight.requires_grad or isinstance(weight, DTensor) for weight in lm_head.parameters())


def _by_chunks(
    function: RowFunction,
    hidden: Tensor,
    column: Tensor,
    lm_head: nn.Module,
    logit_bias: Tensor | None,
    temperature: float,
    chunk_tokens: int,
    *,
    num_outputs: int = 1,
) -> Tensor:
    """[M], or [K, M] of K outputs, without keeping logits for the backward pass.

    Where the head is frozen and there is one output, its derivative by the hidden state is computed with it, [M, H]
    numbers instead of [M, V]; otherwise the backward pass computes the logits of a chunk again.
    """
    parts, is_trained = [], _is_trained(lm_head)
    needs_gradient = torch.is_grad_enabled() and (hidden.requires_grad or is_trained)
    for start in range(0, len(hidden), chunk_tokens):
        rows = slice(start, start + chunk_tokens)
        arguments = (hidden[rows], column[rows], lm_head, logit_bias, temperature)
        if not needs_gradient:
            parts.append(function(*arguments))
        elif num_outputs == 1 and not is_trained:
            parts.append(_FrozenHead.apply(arguments[0], function, *arguments[1:]))
        else:
            parts.append(checkpoint(function, *arguments, use_reentrant=False))
    if parts:
        return torch.cat(parts, dim=-1)
    return hidden.new_zeros(*([num_outputs] if num_outputs > 1 else []), 0, dtype=torch.float32)


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
    return _by_chunks(_chunk_logprobs, hidden, targets, lm_head, logit_bias, temperature, chunk_tokens)


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
    both = _by_chunks(
        _chunk_with_entropies, hidden, targets, lm_head, logit_bias, temperature, chunk_tokens, num_outputs=2
    )
    return both[0], both[1]


def token_divergences(
    hidden: Tensor,
    teacher_hidden: Tensor,
    lm_head: nn.Module,
    teacher_head: Callable[[Tensor], Tensor],
    divergence: Divergence,
    *,
    logit_bias: Tensor | None = None,
    temperature: float = 1.0,
    chunk_tokens: int = DEFAULT_CHUNK_TOKENS,
) -> Tensor:
    """How far the distribution of each token is from a teacher's, over the whole vocabulary.

    Args:
        hidden: [M, H] last hidden states of the policy.
        teacher_hidden: [M, H] those of the teacher, without gradient.
        lm_head: Maps [*, H] to [*, V].
        teacher_head: Likewise for the teacher, without gradient.
        divergence: From the log-probabilities [M, V] of policy and teacher to [M], such as
            :func:`remot.losses.generalised_jsd` with its β.
        logit_bias: As :func:`token_logprobs` takes it, for both.
        temperature: Divides the biased logits of both.
        chunk_tokens: Rows of logits of each of the two held at once.

    Returns:
        [M] float32.
    """

    def chunk(
        hidden: Tensor, teacher_hidden: Tensor, head: nn.Module, logit_bias: Tensor | None, temperature: float
    ) -> Tensor:
        with torch.no_grad():
            taught = _distributions(teacher_hidden, teacher_head, logit_bias, temperature)  # [M, V]
        return divergence(_distributions(hidden, head, logit_bias, temperature), taught)

    return _by_chunks(chunk, hidden, teacher_hidden, lm_head, logit_bias, temperature, chunk_tokens)
