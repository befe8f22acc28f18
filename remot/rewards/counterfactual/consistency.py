"""Does the answer change as it must when the question or the image is changed?"""

from dataclasses import KW_ONLY, dataclass

from remot.answers import parse_response
from remot.errors import ConfigError
from remot.rewards.base import ReferenceReward
from remot.rewards.functional.text import agrees, normal_answer, swapped_words
from remot.rewards.parsing.tags import first_element
from remot.structures import Reference


@dataclass(eq=False)
class DualityReward(ReferenceReward):
    """Share of the counterfactuals with answer(T(x)) = φ_T(answer(x)); truth plays no part in it.

    SAGE (arXiv 2605.18162): T is an operation on images or words, such as a mirror or a reversed order, and φ_T the
    known change of the answer, here the reference's ``answer_map``. Only the abstract is published: reconstruction.
    Which T to use next is decided by :class:`remot.rewards.OperationPool`. An unreadable answer agrees with nothing.

    Args:
        name: Metric key.
    """

    success_at = None

    name: str = "duality"

    def score(self, completion: str, reference: Reference) -> float | None:
        """In [0, 1]; not applicable without counterfactuals or a map of answers."""
        if not reference.counterfactuals or reference.answer_map is None:
            return None
        answer = parse_response(completion).answer
        answers = [parse_response(text).answer for text in reference.counterfactuals]
        return sum(agrees(answer, other, reference.answer_map) for other in answers) / len(answers)


#: Words that a horizontal mirror exchanges.
MIRRORED = (("left", "right"), ("leftmost", "rightmost"), ("clockwise", "counterclockwise"))


@dataclass(eq=False)
class ViewConsistencyReward(ReferenceReward):
    """Share of the counterfactuals whose answer is the completion's with left and right exchanged.

    SVQA-R1 (arXiv 2506.01371): pairs of an image and its mirror image, the question and answer of the second with the
    words exchanged. Formula and weights are not published: reconstruction. Counterfactuals are completions to the
    mirrored input.

    Args:
        pairs: Words that are exchanged.
        require_right: Count the pair only if the completion's answer is the reference's, if that has one. Otherwise a
            policy that always gives an answer without left and right would be rewarded.
        max_chars: Length of the answers that are compared.
        name: Metric key.
    """

    success_at = None

    pairs: tuple[tuple[str, str], ...] = MIRRORED
    _: KW_ONLY
    require_right: bool = True
    max_chars: int = 2000
    name: str = "view_consistency"

    def __post_init__(self) -> None:
        words = [word for pair in self.pairs for word in pair]
        if not words or len(set(words)) != len(words):
            msg = f"exchanged words must all be different, got {', '.join(words)}"
            raise ConfigError(msg)

    def score(self, completion: str, reference: Reference) -> float | None:
        """In [0, 1]; not applicable without counterfactuals."""
        if not reference.counterfactuals:
            return None
        answer, *others = (
            normal_answer((first_element(text, "answer") or "")[: self.max_chars])
            for text in (completion, *reference.counterfactuals)
        )
        if not answer or (self.require_right and reference.answer and answer != normal_answer(reference.answer)):
            return 0.0
        mirrored = swapped_words(answer, self.pairs)
        return sum(other == mirrored for other in others) / len(others)
