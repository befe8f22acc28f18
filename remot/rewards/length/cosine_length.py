"""A right answer is worth more if it is short, a wrong one less."""

from collections.abc import Sequence

import torch

from remot.errors import ConfigError
from remot.rewards.base import Reward, WrapperReward, scored_by
from remot.rewards.functional.lengths import cosine_scaled
from remot.rewards.length.counting import CountUnit, check_unit, lengths_of
from remot.structures import Question, RewardOutput


class CosineLengthReward(WrapperReward):
    """A cosine of the length from one value at 0 to another at ``max_length``, one curve each for right and wrong.

    end + (start − end) · (1 + cos(π·length / max_length)) / 2 (arXiv 2502.03373). The values are those of the public
    Open-R1 code: right 1 → 0.5, wrong −1 → −0.5, so that a wrong answer is excused by having tried longer. There
    lengths are counted in characters.

    Args:
        reward: Says by its success whether an answer is right.
        max_length: Length from which the second value holds.
        right: Values of a right answer of no length and of ``max_length``.
        wrong: The same of a wrong answer.
        beyond: Value of anything longer than ``max_length``; its curve's end if None.
        unit: What lengths are counted in; words stand for tokens where these are not known.
        name: Metric key.
    """

    def __init__(
        self,
        reward: Reward,
        max_length: int = 1000,
        right: tuple[float, float] = (1.0, 0.5),
        wrong: tuple[float, float] = (-1.0, -0.5),
        beyond: float | None = None,
        unit: CountUnit = "characters",
        name: str = "cosine_length",
    ) -> None:
        check_unit(unit)
        if max_length < 1:
            msg = f"the cosine needs max_length >= 1, got {max_length}"
            raise ConfigError(msg)
        self.reward = reward
        self.max_length = max_length
        self.right = right
        self.wrong = wrong
        self.beyond = beyond
        self.unit: CountUnit = unit
        self.name = name

    def score(
        self, completions: Sequence[str], questions: Sequence[Question], num_tokens: Sequence[int] | None
    ) -> RewardOutput:
        """The value of each completion; NaN where the inner reward does not say whether it is right."""
        inner = scored_by(self.reward, completions, questions, num_tokens)
        lengths = lengths_of(completions, self.unit, num_tokens)
        values = [self._value(length, good) for length, good in zip(lengths, inner.success.tolist(), strict=True)]
        judged = inner.verdicts & ~inner.total.isnan()
        total = torch.where(judged, torch.tensor(values, dtype=torch.float32), torch.nan)
        return RewardOutput(total, {self.name: total}, inner.success, judged=judged)

    def _value(self, length: int, is_right: bool) -> float:  # noqa: FBT001 (a column of booleans)
        if self.beyond is not None and length > self.max_length:
            return self.beyond
        return cosine_scaled(length, self.max_length, *(self.right if is_right else self.wrong))
