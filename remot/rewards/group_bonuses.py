"""Bonuses that depend on the other completions of a prompt.

Accuracies are compared as float32 tensors, as in the released code: a threshold is rounded as they are, so that an
accuracy of exactly 0.1 does not exceed 0.1. As Python numbers it would, since float32's 0.1 is above 0.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from remot.errors import ConfigError
from remot.rewards.base import Reward, WrapperReward, scored_by
from remot.rewards.lengths import CountUnit, check_unit, lengths_of
from remot.structures import Question, RewardOutput, reference_of


@dataclass(eq=False)
class ShuffledFramesReward(WrapperReward):
    """T-GRPO: a bonus for right answers if the group is at least ``ratio`` times as accurate as with shuffled frames.

    mean(acc) ≥ 0.8 · mean(acc of the counterfactuals) gives + 0.3 to each completion with acc > 0.1 (SpaceR,
    arXiv 2504.01805; Video-R1, arXiv 2503.21776). The counterfactuals of the reference are completions to the same
    prompt with shuffled frames, half as many as the group has; completions with equal prompt ids are a group.

    Args:
        reward: The accuracy that both are measured by.
        ratio: How much of the shuffled accuracy has to be reached.
        bonus: What a completion gets.
        min_accuracy: What it has to exceed.
        name: Metric key.
    """

    reward: Reward
    ratio: float = 0.8
    bonus: float = 0.3
    min_accuracy: float = 0.1
    name: str = "temporal_bonus"

    def score(
        self, completions: Sequence[str], questions: Sequence[Question], num_tokens: Sequence[int] | None
    ) -> RewardOutput:
        """The bonus of each completion; NaN for questions without counterfactuals."""
        accuracies = scored_by(self.reward, completions, questions, num_tokens).total.nan_to_num(0.0)
        total = torch.full((len(completions),), torch.nan)
        for rows in groups_of(questions):
            question = questions[rows[0]]
            shuffled = reference_of(question).counterfactuals
            if shuffled:
                found = scored_by(self.reward, shuffled, [question] * len(shuffled), None).total.nan_to_num(0.0)
                total[rows] = temporal_bonus(
                    accuracies[rows], found, ratio=self.ratio, bonus=self.bonus, min_accuracy=self.min_accuracy
                )
        return RewardOutput(total, {self.name: total}, ~total.isnan(), judged=torch.zeros_like(total, dtype=torch.bool))


@dataclass(eq=False)
class LengthBonusReward(WrapperReward):
    """+ 0.2 for completions with acc > 0.1 of 320 to 512 tokens, if more than one of the group has acc > 0.1.

    SpaceR's length control (arXiv 2504.01805). Completions with equal prompt ids are a group.

    Args:
        reward: The accuracy.
        shortest: Smallest length that gets it.
        longest: Largest length that gets it.
        bonus: What a completion gets.
        min_accuracy: What its accuracy has to exceed.
        unit: What lengths are counted in; words stand for tokens where these are not known, as in ``remot score``.
        name: Metric key.
    """

    reward: Reward
    shortest: int = 320
    longest: int = 512
    bonus: float = 0.2
    min_accuracy: float = 0.1
    unit: CountUnit = "tokens"
    name: str = "length_bonus"

    def __post_init__(self) -> None:
        check_unit(self.unit)
        if not 0 <= self.shortest <= self.longest:
            msg = f"a length bonus needs 0 <= shortest <= longest, got {self.shortest} and {self.longest}"
            raise ConfigError(msg)

    def score(
        self, completions: Sequence[str], questions: Sequence[Question], num_tokens: Sequence[int] | None
    ) -> RewardOutput:
        """The bonus of each completion."""
        accuracies = scored_by(self.reward, completions, questions, num_tokens).total.nan_to_num(0.0)
        lengths = lengths_of(completions, self.unit, num_tokens)
        total = torch.zeros(len(completions))
        for rows in groups_of(questions):
            total[rows] = length_bonus(
                accuracies[rows],
                [lengths[row] for row in rows],
                shortest=self.shortest,
                longest=self.longest,
                bonus=self.bonus,
                min_accuracy=self.min_accuracy,
            )
        none = torch.zeros(len(completions), dtype=torch.bool)
        return RewardOutput(total, {self.name: total}, ~none, judged=none)


def temporal_bonus(
    accuracies: Tensor,
    shuffled: Tensor,
    *,
    ratio: float = 0.8,
    bonus: float = 0.3,
    min_accuracy: float = 0.1,
) -> Tensor:
    """The bonus [G] of :class:`ShuffledFramesReward` from accuracies [G], and those [S] with shuffled frames.

    Without shuffled completions, as for images, none gets it.
    """
    if not len(accuracies) or not len(shuffled) or accuracies.mean() < ratio * shuffled.mean():
        return torch.zeros_like(accuracies)
    return bonus * (accuracies > min_accuracy).float()


def length_bonus(
    accuracies: Tensor,
    lengths: Sequence[int],
    *,
    shortest: int = 320,
    longest: int = 512,
    bonus: float = 0.2,
    min_accuracy: float = 0.1,
) -> Tensor:
    """The bonus [G] of :class:`LengthBonusReward` from the accuracies [G] and lengths of a group."""
    good = accuracies > min_accuracy  # [G]
    fits = torch.tensor([shortest <= length <= longest for length in lengths], dtype=torch.bool)  # [G]
    return bonus * (good & fits & (good.sum() > 1)).float()


def groups_of(questions: Sequence[Question]) -> list[list[int]]:
    """Numbers of the completions with the same prompt id, groups in the order of their first completion."""
    groups: dict[str, list[int]] = {}
    for row, question in enumerate(questions):
        groups.setdefault(question.prompt_id, []).append(row)
    return list(groups.values())
