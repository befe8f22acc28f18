"""Share of the annotated events that a description mentions."""

from remot.rewards.base import ReferenceReward
from remot.rewards.parsing.tags import first_element
from remot.rewards.temporal.judges import Judge, LexicalJudge
from remot.structures import Reference


class EventRecallReward(ReferenceReward):
    """Share of the reference's events that the first answer element describes.

    R_recall of VideoChat-R1's captioning (arXiv 2504.06958): there a language model judges. Its code and prompt are not
    published: reconstruction.

    Args:
        judge: Who decides; :class:`LexicalJudge` without the network if None.
        max_chars: Length of the answer that is judged.
        success_at: Share from which a completion succeeds.
        name: Metric key.
    """

    def __init__(
        self,
        judge: Judge | None = None,
        max_chars: int = 8000,
        success_at: float = 1.0,
        name: str = "event_recall",
    ) -> None:
        self.judge = judge or LexicalJudge()
        self.max_chars = max_chars
        self.success_at = success_at
        self.name = name

    def score(self, completion: str, reference: Reference) -> float | None:
        """In [0, 1]; not applicable without events."""
        if not reference.events:
            return None
        description = (first_element(completion, "answer") or "")[: self.max_chars]
        if not description.strip():
            return 0.0
        return sum(self.judge.covered(reference.events, description)) / len(reference.events)
