"""Entropy of the policy at each token: a bonus that keeps it up, and a mask of the tokens where it decides something.

Notation: P prompts, G completions of each, T tokens; H_t is the entropy of the next-token distribution in nats.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from remot.errors import ConfigError
from remot.losses.aggregate import Aggregation, aggregate, zero_where_masked


@dataclass(frozen=True)
class Entropy:
    """What the entropy of the policy is used for besides the metric ``entropy``.

    Args:
        bonus: Weight of the mean entropy, which is subtracted from the loss.
        top_share: Share of the tokens of each group, those of highest entropy, that the objective is made of. 1 takes
            all; 0.2 is that of "Beyond the 80/20 rule" (arXiv 2506.01939).

    Raises:
        ConfigError: If a number is out of its range.
    """

    bonus: float = 0.0
    top_share: float = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.bonus < float("inf") and 0 < self.top_share <= 1):
            msg = f"grpo.entropy needs bonus >= 0 and 0 < top_share <= 1; got {self.bonus} and {self.top_share}"
            raise ConfigError(msg)


def top_entropy_mask(entropies: Tensor, completion_mask: Tensor, top_share: float) -> Tensor:
    """The tokens of highest entropy of each prompt's completions (arXiv 2506.01939, equation 6).

    The paper takes them from the whole batch; here each group has its own threshold, so that a group's loss does not
    depend on what it is computed with. Of several tokens with the entropy of the threshold all are kept.

    Args:
        entropies: [P, G, T], what stands where ``completion_mask`` is False is ignored.
        completion_mask: [P, G, T] bool, True where a token counts.
        top_share: Share of the tokens to keep; at least one of each group with tokens.

    Returns:
        [P, G, T] bool, False where ``completion_mask`` is.

    >>> entropies = torch.tensor([[[0.1, 0.9, 0.4], [0.2, 0.8, 9.0]]])
    >>> mask = torch.tensor([[[True, True, True], [True, True, False]]])
    >>> top_entropy_mask(entropies, mask, 0.4).int()  # 2 of 5 tokens
    tensor([[[0, 1, 0],
             [0, 1, 0]]], dtype=torch.int32)
    """
    held = entropies.masked_fill(~completion_mask, -torch.inf).flatten(1)  # [P, G*T]
    kept = (top_share * completion_mask.flatten(1).sum(-1)).round().clamp(min=1).long()  # [P]
    ranked = held.sort(dim=-1, descending=True).values  # [P, G*T]
    threshold = ranked.gather(-1, kept[:, None] - 1)  # [P, 1]
    return (held >= threshold).view_as(completion_mask) & completion_mask


def entropy_bonus(
    entropies: Tensor,
    completion_mask: Tensor,
    bonus: float,
    aggregation: Aggregation = "sequence_mean",
    normalizer: float | None = None,
) -> Tensor:
    """−bonus · mean H_t, to be added to a policy loss with the same mean.

    Args:
        entropies: [P, G, T], with gradient.
        completion_mask: [P, G, T] bool, True where a token counts.
        bonus: Its weight.
        aggregation: As of the policy loss.
        normalizer: :func:`remot.losses.loss_normalizer` of the whole batch if this is a micro-batch of it.

    Returns:
        Scalar.

    >>> mask = torch.tensor([[[True, True], [True, False]]])
    >>> round(entropy_bonus(torch.tensor([[[1.0, 2.0], [3.0, 9.0]]]), mask, 0.1).item(), 4)  # -(1.5 + 3) / 2 / 10
    -0.225
    """
    return -bonus * aggregate(zero_where_masked(entropies, completion_mask), completion_mask, aggregation, normalizer)
