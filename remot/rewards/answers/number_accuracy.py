"""How near is the number that was answered?"""

from collections.abc import Callable, Mapping
from typing import Literal

from remot.errors import ConfigError
from remot.rewards.base import ReferenceReward
from remot.rewards.functional.numbers import mean_relative_accuracy, regression_score
from remot.rewards.parsing.tags import first_element
from remot.rewards.parsing.values import first_number, plain_number
from remot.structures import Reference

Measure = Literal["mra", "regression"]
_MEASURES: Mapping[Measure, tuple[Callable[[str], float | None], Callable[[float, float], float]]] = {
    "mra": (first_number, mean_relative_accuracy),
    "regression": (plain_number, regression_score),
}


class NumberReward(ReferenceReward):
    """Accuracy of the number in the first answer element, 0 if there is none.

    ``mra``: mean over θ ∈ {0.50, 0.55, …, 0.95} of [|p − g| / |g| ≤ 1 − θ], SpaceR's numerical questions
    (arXiv 2504.01805) and VSI-Bench; the number is the first number word, else the first digits. ``regression``:
    1 − min(1, (|p − g| + 1e-9) / (|g| + 1e-9)) of an answer that is nothing but a number.

    Args:
        measure: Which of the two.
        success_at: Score from which a completion succeeds.
        name: Metric key.
    """

    def __init__(self, measure: Measure = "mra", success_at: float = 0.5, name: str = "number") -> None:
        if measure not in _MEASURES:
            msg = f"numbers are measured by {' or '.join(_MEASURES)}, not {measure!r}"
            raise ConfigError(msg)
        self.measure: Measure = measure
        self.success_at = success_at
        self.name = name

    def score(self, completion: str, reference: Reference) -> float | None:
        """In [0, 1]; not applicable without a number."""
        if reference.number is None:
            return None
        read, score = _MEASURES[self.measure]
        number = read(first_element(completion, "answer") or "")
        return 0.0 if number is None else score(number, reference.number)
