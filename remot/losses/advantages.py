"""How much better a completion is than the others of its prompt.

Every function takes rewards [P, G] of G completions for each of P prompts. NaN is a reward that does not apply: it is
left out of all statistics, and its advantage is 0. All raise a ConfigError if G < 2, and a ValueError if a reward is
infinite.
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace

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
    if rewards.isinf().any():
        prompt = int(rewards.isinf().any(-1).nonzero()[0])
        msg = f"the rewards of prompt {prompt} of the batch are not all finite: {rewards[prompt].tolist()}"
        raise ValueError(msg)


def all_equal(rewards: Tensor) -> Tensor:
    """[P] True for groups [P, G] whose rewards are all equal: rounding must not make a difference of them.

    NaN, a reward that does not apply, is passed over; a group of which at most one applies is equal.
    """
    lowest = torch.where(rewards.isnan(), torch.inf, rewards).amin(-1)
    return lowest >= torch.where(rewards.isnan(), -torch.inf, rewards).amax(-1)


def _group_mean(rewards: Tensor) -> Tensor:
    """[P, 1] mean of what applies, 0 if nothing does."""
    return torch.where(rewards.isnan().all(-1, keepdim=True), 0.0, rewards.nanmean(-1, keepdim=True))


def _described(advantages: Tensor, rewards: Tensor, *, unbiased: bool) -> AdvantageOutput:
    """``advantages`` with the statistics of the rewards of each group."""
    equal = all_equal(rewards)
    deviations = rewards.std(-1, correction=int(unbiased)) if len(rewards) else rewards.new_zeros(0)
    applies = ~rewards.isnan()
    squares = torch.where(applies, rewards - _group_mean(rewards), 0.0).square().sum(-1)
    partial = (squares / (applies.sum(-1) - int(unbiased)).clamp(min=1)).sqrt()
    std = torch.where(equal, 0.0, torch.where(applies.all(-1), deviations, partial))
    frac_zero_std = equal.to(rewards.dtype).sum() / max(1, len(equal))
    return AdvantageOutput(advantages, mean=_group_mean(rewards)[:, 0], std=std, frac_zero_std=frac_zero_std)


def _centred(rewards: Tensor) -> Tensor:
    """Rewards [P, G] minus the mean of their group; exactly 0 where all are equal, or one does not apply."""
    return torch.where(all_equal(rewards)[:, None] | rewards.isnan(), 0.0, rewards - _group_mean(rewards))


def _batch_std(values: Tensor, *, unbiased: bool) -> Tensor:
    """Scalar deviation over what applies of the whole batch, exactly 0 where all are equal."""
    values = values[~values.isnan()]
    if values.numel() == 0 or values.amax() == values.amin():
        return values.new_zeros(())
    return values.std(correction=int(unbiased))


def group_advantages(rewards: Tensor, eps: float = 1e-4, *, unbiased: bool = True) -> AdvantageOutput:
    """(r − mean) / (std + eps) within each group (GRPO, arXiv 2402.03300, section 4.1.2; ReMoT, arXiv 2603.00461).

    Neither paper specifies the standard deviation. The default is the sample deviation (divide by G − 1), which
    is what TRL computes; at G = 4 it makes advantages sqrt(3/4) times those of the population deviation.

    Args:
        rewards: [P, G]; NaN for one that does not apply, which is left out of all statistics and has advantage 0.
        eps: Added to the deviation; 1e-4 as in TRL.
        unbiased: True divides by G − 1, False by G.

    Returns:
        The advantages; a group of equal rewards has exactly 0.

    Raises:
        ConfigError: If G < 2.
        ValueError: If a reward is infinite.

    >>> group_advantages(torch.tensor([[1.0, 0.0, 0.0, 1.0], [2.0, 2.0, 2.0, 2.0]]), eps=1e-9).advantages
    tensor([[ 0.8660, -0.8660, -0.8660,  0.8660],
            [ 0.0000,  0.0000,  0.0000,  0.0000]])
    """
    _require_groups(rewards)
    centred = _centred(rewards)  # [P, G]
    described = _described(centred, rewards, unbiased=unbiased)
    return replace(described, advantages=centred / (described.std + eps)[:, None])


def batch_std_advantages(rewards: Tensor, eps: float = 1e-4, *, unbiased: bool = True) -> AdvantageOutput:
    """(r − group mean) / (batch std + eps): one scale for all groups (Lite PPO, arXiv 2508.08221).

    A group with small differences is not scaled up to the size of the others. The deviation is that of all rewards of
    the batch, as in TRL's ``scale_rewards: batch``.

    Args:
        rewards: [P, G].
        eps: Added to the deviation; the paper has none, TRL 1e-4.
        unbiased: True divides by P·G − 1, False by P·G.

    >>> batch_std_advantages(torch.tensor([[1.0, 3.0], [4.0, 4.0]]), eps=1e-9).advantages  # the deviation is √2
    tensor([[-0.7071,  0.7071],
            [ 0.0000,  0.0000]])
    """
    _require_groups(rewards)
    advantages = _centred(rewards) / (_batch_std(rewards, unbiased=unbiased) + eps)  # [P, G]
    return _described(advantages, rewards, unbiased=unbiased)


@dataclass(frozen=True)
class RunningMoments:
    """Exponential averages of rewards and of their squares; the deviation that they give is the population's."""

    mean: float
    square: float

    def std(self, least: float) -> float:
        """Square root of E[r²] − E[r]², at least ``least``."""
        return float(max(self.square - self.mean**2, least**2) ** 0.5)

    def moved(self, batch: "RunningMoments", decay: float) -> "RunningMoments":
        """``decay`` of these and 1 − ``decay`` of the moments of a batch."""
        mixed = (decay * old + (1 - decay) * new for old, new in zip(astuple(self), astuple(batch), strict=True))
        return RunningMoments(*mixed)


def running_std_advantages(
    rewards: Tensor, stds: Tensor, eps: float = 1e-6, *, largest: float = 5.0
) -> AdvantageOutput:
    """(r − group mean) / (running deviation of its task + eps) (EMA-GRPO of OneThinker, arXiv 2512.03043).

    Rewards of different tasks have different spreads, and the deviation of one group is a noisy estimate: one of each
    task, averaged over steps, weighs tasks alike. A group in which an advantage would be above ``largest`` in size is
    divided by its own population deviation, as the released code does.

    Args:
        rewards: [P, G].
        stds: [P] running deviation of the task of each prompt.
        eps: Added to deviations.
        largest: Largest advantage, in size, by the running deviation.

    >>> rewards, stds = torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0.25, 0.05])
    >>> running_std_advantages(rewards, stds).advantages.round(decimals=3)
    tensor([[ 2., -2.],
            [ 1., -1.]])
    """
    _require_groups(rewards)
    centred = _centred(rewards)  # [P, G]
    described = _described(centred, rewards, unbiased=False)
    scaled = centred / (stds + eps)[:, None]
    own = centred / (described.std + eps)[:, None]
    is_large = (scaled.abs() > largest).any(-1, keepdim=True)  # [P, 1]
    return replace(described, advantages=torch.where(is_large, own, scaled))


def mean_only_advantages(rewards: Tensor) -> AdvantageOutput:
    """R − group mean (Dr. GRPO, arXiv 2503.20783): groups that are nearly all right or all wrong are not weighted up.

    >>> mean_only_advantages(torch.tensor([[1.0, 0.0, 0.0, 1.0]])).advantages
    tensor([[ 0.5000, -0.5000, -0.5000,  0.5000]])
    """
    _require_groups(rewards)
    return _described(_centred(rewards), rewards, unbiased=True)


def leave_one_out_advantages(rewards: Tensor) -> AdvantageOutput:
    """Each reward minus the mean of the others of its group (RLOO, arXiv 2402.14740): G/(G − 1) times r_i − group mean.

    >>> leave_one_out_advantages(torch.tensor([[3.0, 0.0, 0.0]])).advantages
    tensor([[ 3.0000, -1.5000, -1.5000]])
    """
    _require_groups(rewards)
    num_others = ((~rewards.isnan()).sum(-1, keepdim=True) - 1).clamp(min=1)  # [P, 1]
    others = (rewards.nansum(-1, keepdim=True) - rewards) / num_others  # [P, G]
    advantages = torch.where(all_equal(rewards)[:, None] | rewards.isnan(), 0.0, rewards - others)
    return _described(advantages, rewards, unbiased=True)


def global_advantages(
    rewards: Tensor, eps: float = 1e-8, *, group_baseline: bool = False, unbiased: bool = True
) -> AdvantageOutput:
    """(x − batch mean) / (batch std + eps) over all completions of the batch (REINFORCE++, arXiv 2501.03262).

    Args:
        rewards: [P, G].
        eps: Added to the deviation.
        group_baseline: x is r − group mean (REINFORCE++-baseline) instead of r. Without it a group of equal rewards
            has an advantage too, against the other groups.
        unbiased: True divides by P·G − 1, False by P·G.

    >>> global_advantages(torch.tensor([[1.0, 3.0], [5.0, 7.0]])).advantages  # mean 4, deviation √(20/3)
    tensor([[-1.1619, -0.3873],
            [ 0.3873,  1.1619]])
    """
    _require_groups(rewards)
    applies = ~rewards.isnan()
    values = _centred(rewards) if group_baseline else rewards  # [P, G]
    std = _batch_std(torch.where(applies, values, torch.nan), unbiased=unbiased)
    # A group without differences stays at exactly 0, whatever rounding has left of the mean of all the others.
    centred = values if group_baseline else torch.where((std == 0) | ~applies, 0.0, values - values[applies].mean())
    return _described(centred / (std + eps), rewards, unbiased=unbiased)


def gdpo_advantages(
    rewards: Tensor, terms: Tensor, weights: Sequence[float], eps: float = 1e-4, *, unbiased: bool = True
) -> AdvantageOutput:
    """Each reward standardised within its group, then summed, then standardised over the batch (GDPO, 2601.05242).

    A = (S − batch mean of S) / (batch std of S + eps) with S = Σ_k w_k (r_k − mean_group) / (std_group + eps). Sums of
    rewards hide which reward a completion earned; standardised one by one they do not.

    Args:
        rewards: [P, G] totals, for the statistics that are reported.
        terms: [K, P, G] rewards without their weights; NaN for one that does not apply to a completion, which is left
            out of the statistics of its group and adds 0.
        weights: w_k.
        eps: Added to the deviations.
        unbiased: True divides by n − 1, False by n.

    Raises:
        ConfigError: If G < 2.
        ValueError: If a total is infinite, or shapes do not fit.

    >>> accuracy, length = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 10.0]])
    >>> gdpo_advantages(accuracy + length, torch.stack([accuracy, length]), [2.0, 1.0]).advantages
    tensor([[ 0.7070, -0.7070]])
    """
    _require_groups(rewards)
    if terms.ndim != 3 or terms.shape[1:] != rewards.shape or len(terms) != len(weights):
        msg = f"terms {tuple(terms.shape)} and {len(weights)} weights do not fit rewards {tuple(rewards.shape)}"
        raise ValueError(msg)
    standardised = [w * _nan_z_score(term, eps, unbiased=unbiased) for w, term in zip(weights, terms, strict=True)]
    total = torch.stack(standardised).sum(0)  # [P, G]
    # The mean over the batch is 0 already, as that of every group is; subtracting what rounding left of it would give
    # groups of equal rewards an advantage.
    return _described(total / (_batch_std(total, unbiased=unbiased) + eps), rewards, unbiased=unbiased)


def _nan_z_score(term: Tensor, eps: float, *, unbiased: bool) -> Tensor:
    """(r − mean) / (std + eps) of each group [P, G] over what applies; 0 elsewhere and for groups of equal rewards."""
    applies = ~term.isnan()
    count = applies.sum(-1, keepdim=True)
    filled = torch.where(applies, term, 0.0)
    differences = torch.where(applies, term - filled.sum(-1, keepdim=True) / count.clamp(min=1), 0.0)
    std = (differences.square().sum(-1, keepdim=True) / (count - int(unbiased)).clamp(min=1)).sqrt()
    lowest = torch.where(applies, term, torch.inf).amin(-1, keepdim=True)
    highest = torch.where(applies, term, -torch.inf).amax(-1, keepdim=True)
    return torch.where(lowest < highest, differences / (std + eps), 0.0)
