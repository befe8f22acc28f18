"""Do left and right change places when the image is mirrored?"""

from remot.errors import ConfigError
from remot.rewards.base import ReferenceReward
from remot.rewards.functional.duality import normal_answer
from remot.rewards.functional.text import swapped_words
from remot.rewards.parsing.tags import first_element
from remot.structures import Reference

#: Words that a horizontal mirror exchanges.
MIRRORED = (("left", "right"), ("leftmost", "rightmost"), ("clockwise", "counterclockwise"))


class ViewConsistencyReward(ReferenceReward):
    """Share of the counterparts whose answer is the completion's with left and right exchanged.

    SVQA-R1 (arXiv 2506.01371): pairs of an image and its mirror image, the question and answer of the second with the
    words exchanged. Formula and weights are not published: reconstruction. Counterparts are completions to the mirrored
    input.

    Args:
        pairs: Words that are exchanged.
        require_right: Count the pair only if the completion's answer is the reference's, if that has one. Otherwise a
            policy that always gives an answer without left and right would be rewarded.
        max_chars: Length of the answers that are compared.
        name: Metric key.
    """

    success_at = None

    def __init__(
        self,
        pairs: tuple[tuple[str, str], ...] = MIRRORED,
        *,
        require_right: bool = True,
        max_chars: int = 2000,
        name: str = "view_consistency",
    ) -> None:
        words = [word for pair in pairs for word in pair]
        if not words or len(set(words)) != len(words):
            msg = f"exchanged words must all be different, got {', '.join(words)}"
            raise ConfigError(msg)
        self.pairs = pairs
        self.require_right = require_right
        self.max_chars = max_chars
        self.name = name

    def score(self, completion: str, reference: Reference) -> float | None:
        """In [0, 1]; not applicable without counterparts."""
        if not reference.counterparts:
            return None
        answer = self._answer(completion)
        if not answer or (self.require_right and reference.answer and answer != normal_answer(reference.answer)):
            return 0.0
        mirrored = swapped_words(answer, self.pairs)
        return sum(self._answer(text) == mirrored for text in reference.counterparts) / len(reference.counterparts)

    def _answer(self, completion: str) -> str:
        return normal_answer((first_element(completion, "answer") or "")[: self.max_chars])
