"""Is the answer the right one, word for word or letter for letter?"""

from collections.abc import Callable, Mapping
from typing import Literal

from remot.errors import ConfigError
from remot.rewards.base import ReferenceReward
from remot.rewards.functional.duality import normal_answer
from remot.rewards.functional.text import option_letter
from remot.rewards.parsing.tags import first_element
from remot.structures import Reference

Comparison = Literal["exact", "case_insensitive", "letter"]
#: What is compared of an answer.
COMPARED: Mapping[Comparison, Callable[[str], str]] = {
    "exact": str.strip,
    "case_insensitive": normal_answer,
    "letter": option_letter,
}


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

    def __init__(self, comparison: Comparison = "letter", name: str = "exact") -> None:
        if comparison not in COMPARED:
            msg = f"answers are compared by {', '.join(COMPARED)}, not {comparison!r}"
            raise ConfigError(msg)
        self.comparison: Comparison = comparison
        self.name = name

    def score(self, completion: str, reference: Reference) -> float | None:
        """1 or 0; not applicable without an answer."""
        if reference.answer is None:
            return None
        read = COMPARED[self.comparison]
        answer = read(first_element(completion, "answer") or "")
        return float(answer != "" and answer == read(reference.answer))
