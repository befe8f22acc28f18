"""Rewards that compare the answer with the one of the reference: text, number, overlap of words."""

from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Literal

from remot.errors import ConfigError
from remot.rewards.base import ReferenceReward
from remot.rewards.functional.numbers import mean_relative_accuracy, regression_score
from remot.rewards.functional.text import normal_answer, option_letter, rouge_mean, word_accuracy
from remot.rewards.parsing.tags import first_element
from remot.rewards.parsing.values import first_number, plain_number
from remot.structures import Reference

Comparison = Literal["exact", "case_insensitive", "letter"]
#: What is compared of an answer.
COMPARED: Mapping[Comparison, Callable[[str], str]] = {
    "exact": str.strip,
    "case_insensitive": normal_answer,
    "letter": option_letter,
}


@dataclass(eq=False)
class ExactAnswerReward(ReferenceReward):
    """1 if the first answer element says the same as the reference's answer, else 0.

    ``exact`` is SpaceR's multiple choice (arXiv 2504.01805): equal once outer white space is gone.
    ``case_insensitive`` is VideoChat-R1's classification (arXiv 2504.06958); further spaces and a full stop at the end
    are forgiven, which is ours.
    ``letter`` is VideoChat-R1's multiple choice: the first of A to G in either. As released it gives 1 if neither has a
    letter; here that is 0.

    Args:
        comparison: What is compared.
        name: Metric key.
    """

    comparison: Comparison = "letter"
    name: str = "exact"

    def __post_init__(self) -> None:
        if self.comparison not in COMPARED:
            msg = f"answers are compared by {', '.join(COMPARED)}, not {self.comparison!r}"
            raise ConfigError(msg)

    def score(self, completion: str, reference: Reference) -> float | None:
        """1 or 0; not applicable without an answer."""
        if reference.answer is None:
            return None
        read = COMPARED[self.comparison]
        answer = read(first_element(completion, "answer") or "")
        return float(answer != "" and answer == read(reference.answer))


Measure = Literal["mra", "regression"]
_MEASURES: Mapping[Measure, tuple[Callable[[str], float | None], Callable[[float, float], float]]] = {
    "mra": (first_number, mean_relative_accuracy),
    "regression": (plain_number, regression_score),
}


@dataclass(eq=False)
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

    measure: Measure = "mra"
    success_at: float = 0.5
    name: str = "number"

    def __post_init__(self) -> None:
        if self.measure not in _MEASURES:
            msg = f"numbers are measured by {' or '.join(_MEASURES)}, not {self.measure!r}"
            raise ConfigError(msg)

    def score(self, completion: str, reference: Reference) -> float | None:
        """In [0, 1]; not applicable without a number."""
        if reference.number is None:
            return None
        read, score = _MEASURES[self.measure]
        number = read(first_element(completion, "answer") or "")
        return 0.0 if number is None else score(number, reference.number)


@dataclass(eq=False)
class TextOverlapReward(ReferenceReward):
    """``rouge``: mean F-measure of ROUGE-1, -2 and -L; ``words``: 1 − word error rate, at least 0.

    SpaceR (arXiv 2504.01805), problem types "free-form" and "OCR", of the first answer element. Needs the ``rewards``
    extra: the numbers are those of ``rouge-score`` and ``jiwer``, of the first 256 and 4096 words. A missing library is
    reported with the first answer, so that other tasks of the same configuration can do without.

    Args:
        measure: Which of the two.
        success_at: Score from which a completion succeeds.
        use_stemmer: Compare stems of words, for ROUGE.
        name: Metric key.
    """

    measure: Literal["rouge", "words"] = "rouge"
    success_at: float = 0.5
    _: KW_ONLY
    use_stemmer: bool = True
    name: str = "text"

    def __post_init__(self) -> None:
        if self.measure not in {"rouge", "words"}:
            msg = f"texts are measured by rouge or words, not {self.measure!r}"
            raise ConfigError(msg)

    def score(self, completion: str, reference: Reference) -> float | None:
        """In [0, 1]; not applicable without an answer.

        Raises:
            ConfigError: If the library is not installed.
        """
        if reference.answer is None:
            return None
        predicted = (first_element(completion, "answer") or "").strip()
        gold = reference.answer.strip()
        if self.measure == "words":
            return word_accuracy(predicted, gold)
        return rouge_mean(predicted, gold, use_stemmer=self.use_stemmer)
