"""Does the answer change as it must when the question is changed?"""

from remot.answers import parse_response
from remot.rewards.base import ReferenceReward
from remot.rewards.functional.duality import agrees
from remot.structures import Reference


class DualityReward(ReferenceReward):
    """Share of the counterparts with answer(T(x)) = φ_T(answer(x)); truth plays no part in it.

    SAGE (arXiv 2605.18162): T is an operation on images or words, such as a mirror or a reversed order, and φ_T the
    known change of the answer, here the reference's ``answer_map``. Only the abstract is published: reconstruction.
    Which T to use next is decided by :class:`remot.rewards.OperationPool`. An unreadable answer agrees with nothing.

    Args:
        name: Metric key.
    """

    success_at = None

    def __init__(self, name: str = "duality") -> None:
        self.name = name

    def score(self, completion: str, reference: Reference) -> float | None:
        """In [0, 1]; not applicable without counterparts or a map of answers."""
        if not reference.counterparts or reference.answer_map is None:
            return None
        answer = parse_response(completion).answer
        answers = [parse_response(text).answer for text in reference.counterparts]
        return sum(agrees(answer, other, reference.answer_map) for other in answers) / len(answers)
