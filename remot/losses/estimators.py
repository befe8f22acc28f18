"""Ways to compare completions, as settings: the functions of :mod:`remot.losses.advantages` with their constants.

Statistics over the batch are those of the prompts of one process, of all its micro-batches; running ones are of all
processes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any, ClassVar

from torch import Tensor

from remot.distributed import all_gather_objects
from remot.errors import ConfigError
from remot.losses.advantages import (
    AdvantageOutput,
    RunningMoments,
    batch_std_advantages,
    gdpo_advantages,
    global_advantages,
    group_advantages,
    leave_one_out_advantages,
    mean_only_advantages,
    running_std_advantages,
)


class Advantages(ABC):
    """How much better a completion is than the others of its group or batch.

    All but :class:`GDPOAdvantages` add up the weighted rewards of a completion first.
    """

    @abstractmethod
    def __call__(
        self, rewards: Tensor, terms: Tensor, weights: Sequence[float], tasks: Sequence[str] = ()
    ) -> AdvantageOutput:
        """Advantages of a batch.

        Args:
            rewards: [P, G] weighted sums of the terms.
            terms: [K, P, G] each reward of the sum without its weight, NaN where it does not apply.
            weights: The K weights.
            tasks: Names of the tasks of the P prompts.
        """

    def state_dict(self) -> dict[str, Any]:
        """What outlives a step, as plain numbers; nothing for most."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:  # noqa: B027 (most have no state)
        """Continue from :meth:`state_dict`."""


@dataclass(frozen=True)
class _RewardAdvantages(Advantages):
    """Advantages by a pure function of the weighted sums, which takes the settings by their names."""

    function: ClassVar[Callable[..., AdvantageOutput]]

    def __call__(
        self,
        rewards: Tensor,
        terms: Tensor,  # noqa: ARG002
        weights: Sequence[float],  # noqa: ARG002
        tasks: Sequence[str] = (),  # noqa: ARG002
    ) -> AdvantageOutput:
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

    def __call__(
        self,
        rewards: Tensor,
        terms: Tensor,
        weights: Sequence[float],
        tasks: Sequence[str] = (),  # noqa: ARG002
    ) -> AdvantageOutput:
        """Compare reward by reward within each group, then over the batch."""
        return gdpo_advantages(rewards, terms, weights, self.eps)


class RunningStdAdvantages(Advantages):
    """:func:`remot.losses.advantages.running_std_advantages`: a deviation of each task over steps (EMA-GRPO).

    For runs with several tasks. The rewards of a batch, of all processes, enter the running moments of their task
    before the batch is scaled. The moments are part of checkpoints. Defaults are those of OneThinker's released code.

    Args:
        decay: Weight of the earlier moments; the first batch of a task sets them.
        least_std: Least deviation.
        largest: A group with a larger advantage, in size, is divided by its own deviation.
        eps: Added to deviations.
    """

    def __init__(self, decay: float = 0.99, least_std: float = 1e-3, largest: float = 5.0, eps: float = 1e-6) -> None:
        if not (0 <= decay < 1 and least_std > 0 and largest > 0 and eps >= 0):
            msg = (
                f"decay is from 0 to below 1, least_std and largest are above 0, eps is not negative; "
                f"got {decay}, {least_std}, {largest}, {eps}"
            )
            raise ConfigError(msg)
        self.decay, self.least_std, self.largest, self.eps = decay, least_std, largest, eps
        self.moments: dict[str, RunningMoments] = {}

    def __call__(
        self,
        rewards: Tensor,
        terms: Tensor,  # noqa: ARG002
        weights: Sequence[float],  # noqa: ARG002
        tasks: Sequence[str] = (),
    ) -> AdvantageOutput:
        """Move the moments, then compare."""
        names = list(tasks) or [""] * len(rewards)
        for task, batch in _moments_of_tasks(rewards, names).items():
            held = self.moments.get(task)
            self.moments[task] = batch if held is None else held.moved(batch, self.decay)
        # A task whose rewards do not apply at all has no moments, and no advantages either.
        stds = [self.moments[task].std(self.least_std) if task in self.moments else 1.0 for task in names]
        return running_std_advantages(rewards, rewards.new_tensor(stds), self.eps, largest=self.largest)

    def state_dict(self) -> dict[str, Any]:
        """The moments of each task."""
        return {"moments": {task: list(astuple(held)) for task, held in self.moments.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with these moments."""
        self.moments = {task: RunningMoments(*map(float, held)) for task, held in state["moments"].items()}


def _moments_of_tasks(rewards: Tensor, tasks: Sequence[str]) -> dict[str, RunningMoments]:
    """Means of the rewards [P, G] of each task and of their squares, over all processes; NaN does not count."""
    sums: dict[str, tuple[float, float, int]] = {}
    for group, task in zip(rewards.double(), tasks, strict=True):
        applies = group[~group.isnan()]
        part = float(applies.sum()), float(applies.square().sum()), len(applies)
        sums[task] = tuple(map(sum, zip(sums.get(task, (0.0, 0.0, 0)), part, strict=True)))  # type: ignore[assignment]
    every = all_gather_objects(sums)
    totals = {}
    for task in sorted({task for of_process in every for task in of_process}):
        first, second, count = map(sum, zip(*(held[task] for held in every if task in held), strict=True))
        if count:
            totals[task] = RunningMoments(first / count, second / count)
    return totals
