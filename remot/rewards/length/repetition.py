"""Does the completion say the same again and again?"""

from remot.errors import ConfigError
from remot.rewards.base import ReferenceReward
from remot.rewards.functional.lengths import repeated_share
from remot.structures import Reference


class RepetitionReward(ReferenceReward):
    """−``penalty`` · (1 − different / all n-grams), words in lower case (arXiv 2502.03373, Open-R1).

    Args:
        ngram_words: Words of an n-gram; 3 as published.
        penalty: Cost of a completion that is one n-gram again and again.
        name: Metric key.
    """

    success_at = None

    def __init__(self, ngram_words: int = 3, penalty: float = 1.0, name: str = "repetition") -> None:
        if not 1 <= ngram_words <= 16 or penalty < 0:
            msg = f"the repetition penalty needs 1 to 16 words and penalty >= 0, got {ngram_words} and {penalty}"
            raise ConfigError(msg)
        self.ngram_words = ngram_words
        self.penalty = penalty
        self.name = name

    def score(self, completion: str, reference: Reference) -> float:  # noqa: ARG002
        """In [−penalty, 0]."""
        return -self.penalty * repeated_share(completion, self.ngram_words)
