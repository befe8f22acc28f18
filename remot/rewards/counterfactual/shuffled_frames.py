"""Are the answers better with the frames in order than with the frames shuffled?"""

from collections.abc import Sequence

import torch

from remot.rewards.base import Reward, WrapperReward, scored_by
from remot.rewards.functional.groups import groups_of, temporal_bonus
from remot.structures import Question, RewardOutput, reference_of


class ShuffledFramesReward(WrapperReward):
    """T-GRPO: a bonus for right answers if the group is at least ``ratio`` times as accurate as with shuffled frames.

    mean(acc) ≥ 0.8 · mean(acc of the counterparts) gives + 0.3 to each completion with acc > 0.1 (SpaceR,
    arXiv 2504.01805; Video-R1, arXiv 2503.21776). The counterparts of the reference are completions to the same prompt
    with shuffled frames, half as many as the group has; completions with equal prompt ids are a group.

    Args:
        reward: The accuracy that both are measured by.
        ratio: How much of the shuffled accuracy has to be reached.
        bonus: What a completion gets.
        min_accuracy: What it has to exceed.
        name: Metric key.
    """

    def __init__(
        self,
        reward: Reward,
        ratio: float = 0.8,
        bonus: float = 0.3,
        min_accuracy: float = 0.1,
        name: str = "temporal_bonus",
    ) -> None:
        self.reward = reward
        self.ratio = ratio
        self.bonus = bonus
        self.min_accuracy = min_accuracy
        self.name = name

    def score(
        self, completions: Sequence[str], questions: Sequence[Question], num_tokens: Sequence[int] | None
    ) -> RewardOutput:
        """The bonus of each completion; NaN for questions without counterparts."""
        accuracies = scored_by(self.reward, completions, questions, num_tokens).total.nan_to_num(0.0)
        total = torch.full((len(completions),), torch.nan)
        for rows in groups_of(questions):
            question = questions[rows[0]]
            shuffled = reference_of(question).counterparts
            if shuffled:
                found = scored_by(self.reward, shuffled, [question] * len(shuffled), None).total.nan_to_num(0.0)
                total[rows] = temporal_bonus(
                    accuracies[rows], found, ratio=self.ratio, bonus=self.bonus, min_accuracy=self.min_accuracy
                )
        return RewardOutput(total, {self.name: total}, ~total.isnan(), judged=torch.zeros_like(total, dtype=torch.bool))
