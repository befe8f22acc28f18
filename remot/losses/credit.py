"""Credit for single tokens: a teacher that knows the answer says where a completion was decided."""

import torch
from torch import Tensor

from remot.losses.aggregate import zero_where_masked


def teacher_credit(
    advantages: Tensor, teacher_logprobs: Tensor, logprobs: Tensor, mask: Tensor, *, strength: float, clip: float
) -> Tensor:
    """(1 − λ) + λ clip(exp(sign(A) (log p_T − log p_S)), 1 − ε, 1 + ε) (VISD, arXiv 2605.06094).

    Multiplies the advantage of each token. Its direction stays that of the reward; a token of a good completion counts
    more where the teacher, the same policy with the answer in its prompt, finds it more probable, a token of a bad one
    where the teacher finds it less probable.

    Args:
        advantages: A [P, G].
        teacher_logprobs: log p_T [P, G, T].
        logprobs: log p_S [P, G, T] of the policy that sampled.
        mask: [P, G, T] bool, True where a token counts.
        strength: λ, from 0 to 1.
        clip: ε.

    Returns:
        [P, G, T] without gradient, 1 where masked.

    >>> teacher, student = torch.tensor([[[0.6, 0.55]]]).log(), torch.tensor([[[0.5, 0.5]]]).log()
    >>> everything = torch.ones(1, 1, 2, dtype=torch.bool)
    >>> teacher_credit(torch.tensor([[2.0]]), teacher, student, everything, strength=0.5, clip=0.15)  # 1.2 is clipped
    tensor([[[1.0750, 1.0500]]])
    """
    gap = zero_where_masked(teacher_logprobs - logprobs, mask).detach()  # [P, G, T]
    ratio = (advantages.sign()[..., None] * gap).exp().clamp(1 - clip, 1 + clip)  # [P, G, T]
    return torch.where(mask, (1 - strength) + strength * ratio, 1.0)
