"""Supervised fine-tuning."""

import torch  # noqa: F401 (in the example)
from torch import Tensor

from remot.losses.aggregate import masked_mean, token_count
from remot.structures import LossOutput


def sft_loss(
    logprobs: Tensor, target_mask: Tensor, *, normalizer: float | None = None, weigh_by_probability: bool = False
) -> LossOutput:
    """Mean negative log-likelihood of the target tokens of the batch (ReMoT, arXiv 2603.00461: the answer's tokens).

    With ``weigh_by_probability`` each token's loss is −p log p with p held constant (DFT, arXiv 2508.05629): the
    gradient of the likelihood instead of its logarithm, so that tokens the policy finds improbable do not dominate.

    Args:
        logprobs: [P, G, T] of the policy, with gradient.
        target_mask: [P, G, T] bool, True where a token is learnt. What stands elsewhere, even NaN, does not matter.
        normalizer: Number of target tokens of the whole batch if this is a micro-batch of it (which may then have no
            target token); losses and metrics *add up* over the micro-batches to those of the batch.
        weigh_by_probability: Multiply the loss of each token by its probability.

    Returns:
        The loss and, as ``nll``, the mean negative log-likelihood without weights.

    Raises:
        ValueError: If the batch has no target token.

    >>> logprobs = torch.tensor([[[0.5, 0.25, 0.1]]]).log()
    >>> output = sft_loss(logprobs, torch.tensor([[[True, True, False]]]))
    >>> round(output.loss.item(), 4)  # (ln 2 + ln 4) / 2
    1.0397
    >>> weighted = sft_loss(logprobs, torch.tensor([[[True, True, False]]]), weigh_by_probability=True)
    >>> round(weighted.loss.item(), 4)  # (ln 2 / 2 + ln 4 / 4) / 2
    0.3466
    """
    if logprobs.shape != target_mask.shape:
        msg = f"target_mask has shape {tuple(target_mask.shape)}, logprobs {tuple(logprobs.shape)}"
        raise ValueError(msg)
    count = token_count(target_mask) if normalizer is None else normalizer
    if count < 1:
        msg = "no target token in the batch: the answer is missing or was cut off"
        raise ValueError(msg)
    likelihood = -masked_mean(logprobs, target_mask, count)  # scalar
    loss = likelihood
    if weigh_by_probability:
        loss = -masked_mean(logprobs.detach().exp() * logprobs, target_mask, count)
    return LossOutput(loss=loss, metrics={"nll": likelihood.item()})
