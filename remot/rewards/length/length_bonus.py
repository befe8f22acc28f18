"""Is a right answer neither short nor long?"""

from collections.abc import Sequence

import torch

from remot.errors import ConfigError
from remot.rewards.base import Reward, WrapperReward, scored_by
from remot.rewards.functional.groups import groups_of, length_bonus
from remot.rewards.length.counting import CountUnit, check_unit, lengths_of
from remot.structures import Question, RewardOutput


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

    def __init__(
        self,
        reward: Reward,
        shortest: int = 320,
        longest: int = 512,
        bonus: float = 0.2,
        min_accuracy: float = 0.1,
        unit: CountUnit = "tokens",
        name: str = "length_bonus",
    ) -> None:
        check_unit(unit)
        if not 0 <= shortest <= longest:
            msg = f"a length bonus needs 0 <= shortest <= longest, got {shortest} and {longest}"
            raise ConfigError(msg)
        self.reward = reward
        self.shortest = shortest
        self.longest = longest
        self.bonus = bonus
        self.min_accuracy = min_accuracy
        self.unit: CountUnit = unit
        self.name = name

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
