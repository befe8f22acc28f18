"""How much better a completion is than the others of its prompt."""

from dataclasses import dataclass

import torch
from torch import Tensor

from remot.errors import ConfigError


@dataclass(frozen=True, eq=False)
class AdvantageOutput:
    """Advantages of G completions for each of P prompts.

    Args:
        advantages: [P, G].
        mean: [P] mean reward of each prompt.
        std: [P] standard deviation of its rewards, exactly 0 where all are equal.
        frac_zero_std: Scalar, share of prompts whose rewards are all equal; these teach nothing.
    """

    advantages: Tensor
    mean: Tensor
    std: Tensor
    frac_zero_std: Tensor


def _require_groups(rewards: Tensor) -> None:
    if rewards.ndim != 2:
        msg = f"rewards come as [P, G], these have shape {tuple(rewards.shape)}"
        raise ValueError(msg)
    if rewards.shape[1] < 2:
        msg = f"a group needs at least 2 completions to compare, got {rewards.shape[1]}; raise the group size"
        raise ConfigError(msg)
    if not rewards.isfinite().all():
        prompt = int((~rewards.isfinite()).any(-1).nonzero()[0])
        msg = f"the rewards of prompt {prompt} of the batch are not all finite: {rewards[prompt].tolist()}"
        raise ValueError(msg)


def group_advantages(rewards: Tensor, eps: float = 1e-4, *, unbiased: bool = True) -> AdvantageOutput:
    """(r − mean) / (std + eps) within each group (GRPO, arXiv 2402.03300, section 4.1.2; ReMoT, arXiv 2603.00461).

    Neither paper says which standard deviation it means. The default is the sample deviation (divide by G − 1), which
    is what TRL computes; at G = 4 it makes advantages sqrt(3/4) times those of the population deviation.

    Args:
        rewards: [P, G].
        eps: Added to the deviation; 1e-4 as in TRL.
        unbiased: True divides by G − 1, False by G.

    Returns:
        The advantages; a group of equal rewards has exactly 0.

    Raises:
        ConfigError: If G < 2.
        ValueError: If a reward is NaN or infinite.
    """
    _require_groups(rewards)
    mean = rewards.mean(-1)  # [P]
    equal = rewards.amax(-1) == rewards.amin(-1)  # [P]
    std = torch.where(equal, 0.0, rewards.std(-1, correction=int(unbiased)))
    centred = torch.where(equal[:, None], 0.0, rewards - mean[:, None])
    frac_zero_std = equal.to(rewards.dtype).sum() / max(1, len(equal))
    return AdvantageOutput(centred / (std + eps)[:, None], mean=mean, std=std, frac_zero_std=frac_zero_std)
