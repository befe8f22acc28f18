"""Are the stretches of time that support the answer the right ones?"""

from remot.rewards.base import ReferenceReward
from remot.rewards.functional.intervals import set_iou
from remot.rewards.parsing.spans import MAX_SPANS, glue_spans
from remot.rewards.parsing.tags import first_element
from remot.structures import Reference


class IntervalSetReward(ReferenceReward):
    """|∪P ∩ ∪G| / |∪P ∪ ∪G| of the list in the first ``<glue>`` element, such as [(5.2, 10.4)].

    VideoChat-R1's grounded question answering (arXiv 2504.06958): 0 for a list that cannot be read or has a stretch
    that ends before it starts, 1 if neither side covers any time.

    Args:
        max_spans: Longest list that is read; 3 in VideoChat-R1.5 (arXiv 2509.21100).
        tag: The element; VideoChat-R1.5 grounds with ``answer``.
        success_at: Overlap from which a completion succeeds.
        name: Metric key.
    """

    def __init__(
        self, max_spans: int = MAX_SPANS, tag: str = "glue", success_at: float = 0.5, name: str = "interval_iou"
    ) -> None:
        self.max_spans = max_spans
        self.tag = tag
        self.success_at = success_at
        self.name = name

    def score(self, completion: str, reference: Reference) -> float | None:
        """In [0, 1]; not applicable without intervals."""
        if reference.intervals is None:
            return None
        content = first_element(completion, self.tag)
        spans = None if content is None else glue_spans(content, self.max_spans)
        return 0.0 if spans is None else set_iou(spans, reference.intervals)
