"""A plain function as a reward."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from remot.rewards.base import Reward, as_column, check_lengths
from remot.structures import Question, RewardOutput


class FunctionReward(Reward):
    """``function(completion, question)``, a number, or None where it is not applicable.

    Args:
        function: The function; in YAML its import path, such as my_rewards.brevity.
        name: Metric key; the function's own name if "".
        success_at: Value from which a completion succeeds; None for a function that does not determine success.
    """

    def __init__(
        self, function: Callable[[str, Any], float | None], name: str = "", success_at: float | None = None
    ) -> None:
        self.function = function
        self.name = name or str(getattr(function, "__name__", "function"))
        self.success_at = success_at

    def __call__(self, completions: Sequence[str], questions: Sequence[Question]) -> RewardOutput:
        """Call the function for each completion."""
        check_lengths(completions, questions)
        values = [self.function(text, question) for text, question in zip(completions, questions, strict=True)]
        total = as_column(f"from {self.name}", [torch.nan if value is None else value for value in values])
        success = ~total.isnan() if self.success_at is None else total >= self.success_at
        judged = ~total.isnan() & (self.success_at is not None)
        return RewardOutput(total, {self.name: total}, success, judged=judged)
