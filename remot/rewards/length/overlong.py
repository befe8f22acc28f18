"""Is the completion about to be cut off?"""

from collections.abc import Sequence

import torch

from remot.answers import parse_response
from remot.errors import ConfigError
from remot.rewards.base import Reward
from remot.rewards.functional import all_right
from remot.rewards.length.counting import CountUnit, check_unit, lengths_of
from remot.structures import Question, RewardOutput


def soft_overlong(length: float, max_length: float, cache: float) -> float:
    """0 up to ``max_length − cache``, then falling in a straight line to −1 at ``max_length`` (DAPO, 2503.14476).

    Args:
        length: Length of the completion n.
        max_length: L_max.
        cache: L_cache, the stretch over which the penalty grows.

    Returns:
        0 if n ≤ L_max − L_cache, −1 if n > L_max, ((L_max − L_cache) − n) / L_cache between.
    """
    return max(-1.0, min(0.0, (max_length - cache - length) / cache))


class SoftOverlongReward(Reward):
    """:func:`soft_overlong` of each completion: the soft overlong punishment of DAPO (arXiv 2503.14476).

    Published: L_max 20480 and L_cache 4096 tokens, added with weight 1. ``max_length`` has no default because it
    belongs to ``max_new_tokens`` of the objective; with a larger one nothing is ever punished fully.

    Args:
        max_length: L_max; choose ``max_new_tokens``.
        cache: L_cache, at most ``max_length``.
        unit: What lengths are counted in. The paper counts tokens, which only training knows.
    """

    name = "overlong"

    def __init__(self, max_length: int, cache: int, unit: CountUnit = "tokens") -> None:
        if not 0 < cache <= max_length:
            msg = f"the overlong penalty needs 0 < cache <= max_length; got cache {cache}, max_length {max_length}"
            raise ConfigError(msg)
        check_unit(unit)
        self.max_length = max_length
        self.cache = cache
        self.unit: CountUnit = unit

    def __call__(self, completions: Sequence[str], questions: Sequence[Question]) -> RewardOutput:
        """Score B completions by their words or characters.

        Raises:
            ValueError: If tokens are to be counted: their number does not follow from the text.
        """
        if self.unit == "tokens":
            msg = "the overlong penalty counts tokens, which texts do not tell: call rate(), or count words"
            raise ValueError(msg)
        return self._output(completions, questions, lengths_of(completions, self.unit, None))

    def rate(
        self, completions: Sequence[str], questions: Sequence[Question], num_tokens: Sequence[int]
    ) -> RewardOutput:
        """Score B completions."""
        if self.unit != "tokens":
            return self(completions, questions)
        return self._output(completions, questions, num_tokens)

    def _output(
        self, completions: Sequence[str], questions: Sequence[Question], lengths: Sequence[int]
    ) -> RewardOutput:
        if not len(completions) == len(questions) == len(lengths):
            msg = f"{len(completions)} completions, {len(questions)} questions and {len(lengths)} lengths"
            raise ValueError(msg)
        scores = [soft_overlong(length, self.max_length, self.cache) for length in lengths]
        total = torch.tensor(scores, dtype=torch.float32)
        answers = [parse_response(completion).answer for completion in completions]
        right = [
            not question.slots or all_right(answer, question)
            for answer, question in zip(answers, questions, strict=True)
        ]
        judged = torch.tensor([bool(question.slots) for question in questions], dtype=torch.bool)
        return RewardOutput(total, {self.name: total}, torch.tensor(right, dtype=torch.bool), judged=judged)
