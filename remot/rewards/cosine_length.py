"""A right answer is worth more if it is short, a wrong one less."""

from collections.abc import Sequence

import torch

from remot.errors import ConfigError
from remot.rewards.base import Reward
from remot.rewards.conciseness import LENGTHS, LengthUnit
from remot.rewards.functional.lengths import cosine_scaled
from remot.structures import Question, RewardOutput


class CosineLengthReward(Reward):
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
        unit: What lengths are counted in.
        name: Metric key.
    """

    def __init__(
        self,
        reward: Reward,
        max_length: int = 1000,
        right: tuple[float, float] = (1.0, 0.5),
        wrong: tuple[float, float] = (-1.0, -0.5),
        beyond: float | None = None,
        unit: LengthUnit = "characters",
        name: str = "cosine_length",
    ) -> None:
        if max_length < 1 or unit not in LENGTHS:
            msg = f"the cosine needs max_length >= 1 in {' or '.join(LENGTHS)}; got {max_length}, {unit!r}"
            raise ConfigError(msg)
        self.reward = reward
        self.max_length = max_length
        self.right = right
        self.wrong = wrong
        self.beyond = beyond
        self.unit: LengthUnit = unit
        self.name = name

    def __call__(self, completions: Sequence[str], questions: Sequence[Question]) -> RewardOutput:
        """The value of each completion; NaN where the inner reward is not applicable."""
        inner = self.reward(completions, questions)
        values = [self._value(text, good) for text, good in zip(completions, inner.success.tolist(), strict=True)]
        total = torch.where(inner.total.isnan(), torch.nan, torch.tensor(values, dtype=torch.float32))
        return RewardOutput(total, {self.name: total}, inner.success)

    def _value(self, completion: str, is_right: bool) -> float:  # noqa: FBT001 (a column of booleans)
        length = LENGTHS[self.unit](completion)
        if self.beyond is not None and length > self.max_length:
            return self.beyond
        return cosine_scaled(length, self.max_length, *(self.right if is_right else self.wrong))
