"""Groups without a difference teach nothing: leave them out, or draw other prompts in their place."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from remot.errors import ConfigError
from remot.losses.advantages import all_equal
from remot.models.policy import VLMPolicy
from remot.strategies.grpo.groups import SampledGroups, merged_groups
from remot.strategies.objective import PromptSource
from remot.structures.training import MAX_REDRAWS


@dataclass(frozen=True)
class DynamicSampling:
    """Which groups are trained on, and how often others are sampled in their place (DAPO, arXiv 2503.14476).

    The paper draws prompts until the batch is full. Here there are at most ``max_redraws`` more draws, each of as many
    prompts as are still missing; what is missing then is left out of the loss and of its denominator. Drawn prompts
    are a function of the step and the attempt, so a resumed run is exact. Each process of a run draws its own.

    Args:
        max_redraws: Further draws in one step; 0 leaves groups without a difference out.
        by: ``total`` trains on groups whose rewards are not all equal, ``success`` on those in which some but not all
            completions are right, as the paper does.
    """

    max_redraws: int = 0
    by: Literal["total", "success"] = "total"

    def __post_init__(self) -> None:
        if not 0 <= self.max_redraws <= MAX_REDRAWS:
            msg = f"dynamic_sampling.max_redraws is 0 to {MAX_REDRAWS}, not {self.max_redraws}"
            raise ConfigError(msg)
        if self.by not in ("total", "success"):
            msg = f"dynamic_sampling.by is total or success, not {self.by!r}"
            raise ConfigError(msg)

    def has_difference(self, groups: SampledGroups) -> Tensor:
        """[P] bool, True for groups that are trained on."""
        return ~all_equal(groups.rewards if self.by == "total" else groups.success.float())


@dataclass(frozen=True, eq=False)
class Selection:
    """The groups of a step after dynamic sampling."""

    groups: SampledGroups  # P groups, as many as the batch has prompts
    is_kept: Tensor  # [P] bool, True for groups that are trained on
    num_redraws: int
    num_drawn: int  # prompts drawn altogether
    seconds: float  # time of all rollouts


def select_groups(
    policy: VLMPolicy,
    first: SampledGroups,
    sample_more: Callable[[int, int], SampledGroups],
    settings: DynamicSampling,
) -> Selection:
    """Replace groups without a difference one by one by others that have one.

    Args:
        policy: The policy, which encodes the batch again if prompts came in.
        first: The P groups of the batch.
        sample_more: From the number of the attempt, counted from 1, and a number of prompts to their groups.
        settings: How often, and what a difference is.
    """
    sources = [(first, row) for row in range(len(first.batch))]
    is_kept = settings.has_difference(first)
    attempt, num_drawn, seconds = 0, len(first.batch), first.seconds
    while not bool(is_kept.all()) and attempt < settings.max_redraws:
        attempt += 1
        vacant = (~is_kept).nonzero()[:, 0].tolist()
        more = sample_more(attempt, len(vacant))
        num_drawn, seconds = num_drawn + len(vacant), seconds + more.seconds
        found = settings.has_difference(more).nonzero()[:, 0].tolist()
        for index, row in zip(vacant, found, strict=False):  # fewer are found than rows are vacant
            sources[index] = (more, row)
            is_kept = is_kept.index_fill(0, torch.tensor([index]), True)  # noqa: FBT003
    unchanged = all(source is first for source, _ in sources)
    groups = first if unchanged else merged_groups(policy, sources)
    return Selection(groups, is_kept, attempt, num_drawn, seconds)


def source_that_redraws(source: PromptSource | None) -> PromptSource:
    """The data module, if it draws prompts again.

    Raises:
        ConfigError: If it does not.
    """
    if source is not None:
        return source
    msg = (
        "grpo.dynamic_sampling draws prompts again, and the data module is no PromptSource (redraw, resampler, "
        "describe); set max_redraws to 0 to leave groups without a difference out"
    )
    raise ConfigError(msg)
