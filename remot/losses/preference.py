"""Preference optimisation: of two responses to a prompt one is better."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from remot.losses.aggregate import masked_mean, token_count
from remot.structures import LossOutput


def dpo_loss(
    logprobs: Tensor,
    reference_logprobs: Tensor,
    mask: Tensor,
    is_pair: Tensor,
    *,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
    normalizer: float | None = None,
) -> LossOutput:
    """−log σ(β Δ), Δ = (log π/π_ref of the chosen response) − (the same of the rejected one) (DPO, arXiv 2305.18290).

    Args:
        logprobs: [P, 2, T] of the policy, with gradient; the chosen response first, then the rejected one.
        reference_logprobs: [P, 2, T] of the reference policy.
        mask: [P, 2, T] bool, True where a token is part of a response.
        is_pair: [P] bool, False for a prompt without a pair, which adds nothing.
        beta: Strength of the tie to the reference.
        label_smoothing: Assumed share ε of pairs that are the wrong way round; the loss is then
            −(1 − ε) log σ(β Δ) − ε log σ(−β Δ).
        normalizer: Number of pairs of the whole batch if this is a micro-batch of it; losses and metrics *add up*.

    Returns:
        The loss, and means over the pairs: ``margin`` β Δ, ``accuracy`` (share with Δ > 0), ``chosen`` and ``rejected``
        (β log π/π_ref of either).

    >>> half, quarter = torch.tensor([[[0.5], [0.5]]]).log(), torch.tensor([[[0.25], [0.5]]]).log()
    >>> everything = torch.ones(1, 2, 1, dtype=torch.bool)
    >>> output = dpo_loss(half, quarter, everything, everything[:, 0, 0], beta=1.0)
    >>> round(output.loss.item(), 4)  # −log σ(log 2) = log 1.5
    0.4055
    """
    if not logprobs.shape == reference_logprobs.shape == mask.shape or logprobs.shape[1] != 2:
        shapes = [tuple(tensor.shape) for tensor in (logprobs, reference_logprobs, mask)]
        msg = f"pairs come as [P, 2, T] three times, got {shapes}"
        raise ValueError(msg)
    count = max(token_count(is_pair), 1.0) if normalizer is None else normalizer
    counted = mask & is_pair[:, None, None]  # [P, 2, T]
    ratios = beta * torch.where(counted, logprobs - reference_logprobs, 0.0).sum(-1)  # [P, 2]
    chosen, rejected = ratios.unbind(-1)  # [P] each
    margin = chosen - rejected
    losses = -(1 - label_smoothing) * logsigmoid(margin) - label_smoothing * logsigmoid(-margin)  # [P]
    values = {"margin": margin, "accuracy": (margin > 0).to(margin.dtype), "chosen": chosen, "rejected": rejected}
    metrics = {name: float(masked_mean(value.detach(), is_pair, count)) for name, value in values.items()}
    return LossOutput(masked_mean(losses, is_pair, count), metrics)
