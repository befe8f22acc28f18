"""Ways to compare completions, as settings: the functions of :mod:`remot.losses.advantages` with their constants.

Statistics over the batch are those of the prompts of one process, of all its micro-batches.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import ClassVar

from torch import Tensor

from remot.errors import ConfigError
from remot.losses.advantages import (
    AdvantageOutput,
    batch_std_advantages,
    gdpo_advantages,
    global_advantages,
    group_advantages,
    leave_one_out_advantages,
    mean_only_advantages,
)


class Advantages(ABC):
    """How much better a completion is than the others of its group or batch.

    All but :class:`GDPOAdvantages` add up the weighted rewards of a completion first.
    """

    @abstractmethod
    def __call__(self, rewards: Tensor, terms: Tensor, weights: Sequence[float]) -> AdvantageOutput:
        """Advantages of a batch.

        Args:
            rewards: [P, G] weighted sums of the terms.
            terms: [K, P, G] each reward of the sum without its weight, NaN where it does not apply.
            weights: The K weights.
        """


@dataclass(frozen=True)
class _RewardAdvantages(Advantages):
    """Advantages by a pure function of the weighted sums, which takes the settings by their names."""

    function: ClassVar[Callable[..., AdvantageOutput]]

    def __call__(self, rewards: Tensor, terms: Tensor, weights: Sequence[float]) -> AdvantageOutput:  # noqa: ARG002
        """Compare the sums."""
        settings = {one.name: getattr(self, one.name) for one in fields(self)}
        return type(self).function(rewards, **settings)


@dataclass(frozen=True)
class _ScaledAdvantages(_RewardAdvantages):
    """Divides by a deviation.

    Args:
        eps: Added to the deviation, so that it is not 0.
    """

    eps: float = 1e-4

    def __post_init__(self) -> None:
        if not self.eps > 0:
            msg = f"eps keeps a deviation from 0, so it is above 0, not {self.eps}"
            raise ConfigError(msg)


@dataclass(frozen=True)
class GroupAdvantages(_ScaledAdvantages):
    """:func:`remot.losses.group_advantages`: z-scores within the group, as GRPO and ReMoT.

    Args:
        eps: Added to the deviation; 1e-4 as in TRL, verl has 1e-6.
        unbiased: Divide by G − 1; otherwise by G.
    """

    function = staticmethod(group_advantages)

    eps: float = 1e-4
    unbiased: bool = True


@dataclass(frozen=True)
class BatchStdAdvantages(_ScaledAdvantages):
    """:func:`remot.losses.advantages.batch_std_advantages`: mean of the group, deviation of the batch (Lite PPO)."""

    function = staticmethod(batch_std_advantages)


@dataclass(frozen=True)
class MeanOnlyAdvantages(_RewardAdvantages):
    """:func:`remot.losses.advantages.mean_only_advantages`: no deviation at all (Dr. GRPO)."""

    function = staticmethod(mean_only_advantages)


@dataclass(frozen=True)
class LeaveOneOutAdvantages(_RewardAdvantages):
    """:func:`remot.losses.advantages.leave_one_out_advantages`: against the mean of the others (RLOO)."""

    function = staticmethod(leave_one_out_advantages)


@dataclass(frozen=True)
class GlobalAdvantages(_ScaledAdvantages):
    """:func:`remot.losses.advantages.global_advantages`: z-scores over the batch (REINFORCE++).

    The paper standardises over tokens and takes the KL from the reward; here every completion counts once and the KL
    stays a term of the loss, which is a reconstruction.

    Args:
        eps: Added to the deviation.
        group_baseline: Subtract the mean of the group first (REINFORCE++-baseline).
    """

    function = staticmethod(global_advantages)

    eps: float = 1e-8
    group_baseline: bool = False


@dataclass(frozen=True)
class GDPOAdvantages(_ScaledAdvantages):
    """:func:`remot.losses.advantages.gdpo_advantages`: every reward standardised before they are summed (GDPO).

    ``eps`` is 1e-4 as in TRL.
    """

    def __call__(self, rewards: Tensor, terms: Tensor, weights: Sequence[float]) -> AdvantageOutput:
        """Compare reward by reward within each group, then over the batch."""
        return gdpo_advantages(rewards, terms, weights, self.eps)
