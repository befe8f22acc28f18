"""How much of a free text is right?"""

from typing import Literal

from remot.errors import ConfigError
from remot.rewards.base import ReferenceReward
from remot.rewards.functional.text import rouge_mean, word_accuracy
from remot.rewards.parsing.tags import first_element
from remot.structures import Reference


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

    def __init__(
        self,
        measure: Literal["rouge", "words"] = "rouge",
        success_at: float = 0.5,
        *,
        use_stemmer: bool = True,
        name: str = "text",
    ) -> None:
        if measure not in {"rouge", "words"}:
            msg = f"texts are measured by rouge or words, not {measure!r}"
            raise ConfigError(msg)
        self.measure = measure
        self.success_at = success_at
        self.use_stemmer = use_stemmer
        self.name = name

    def _measure(self, predicted: str, gold: str) -> float:
        if self.measure == "words":
            return word_accuracy(predicted, gold)
        return rouge_mean(predicted, gold, use_stemmer=self.use_stemmer)

    def score(self, completion: str, reference: Reference) -> float | None:
        """In [0, 1]; not applicable without an answer.

        Raises:
            ConfigError: If the library is not installed.
        """
        if reference.answer is None:
            return None
        return self._measure((first_element(completion, "answer") or "").strip(), reference.answer.strip())
