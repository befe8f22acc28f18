"""Are all the stretches of time that were asked for found?"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from remot.errors import ConfigError
from remot.rewards.base import ReferenceReward
from remot.rewards.functional.intervals import count_agreement, matching_f1, paired_iou, set_iou
from remot.rewards.parsing.spans import spans_of_answer
from remot.rewards.parsing.tags import first_element
from remot.structures import Interval, Reference

Kind = Literal["one_to_one", "union", "matching"]
_OVERLAPS: Mapping[Kind, Callable[[Sequence[Interval], Sequence[Interval]], float]] = {
    "one_to_one": paired_iou,
    "union": set_iou,
    "matching": matching_f1,
}


class LocalisationReward(ReferenceReward):
    """R_loc of TempR1 (arXiv 2512.03963), one kind for each kind of task.

    ``one_to_one`` (temporal grounding, dense grounding): mean IoU of the k-th with the k-th stretch.
    ``union`` (video highlights, grounded QA): |∪P ∩ ∪G| / |∪P ∪ ∪G|.
    ``matching`` (temporal action localisation): R_num + R_match with R_num = exp(−|N_p − N_g| / (min(N_g, 3)·σ)) and
    R_match = 2PR / (P + R) of the best order-preserving matching; in [0, 2].

    The answer is a list [(5.2, 10.4), …] or any number of "5.2 to 10.4"; how TempR1 writes it, and how it counts
    surplus stretches of the first kind, is not published. 0 if nothing can be read.

    Args:
        kind: Which of the three.
        sigma: How forgiving R_num is.
        max_spans: Longest list that is read.
        success_at: Total from which a completion succeeds; half of the largest by default.
        name: Metric key.
    """

    extra_parts = ("overlap", "count")

    def __init__(
        self,
        kind: Kind = "one_to_one",
        sigma: float = 1.0,
        max_spans: int = 64,
        success_at: float | None = None,
        name: str = "localisation",
    ) -> None:
        if kind not in _OVERLAPS or not sigma > 0:
            msg = f"localisation has kinds {', '.join(_OVERLAPS)} and sigma > 0, got {kind!r} and {sigma}"
            raise ConfigError(msg)
        self.kind: Kind = kind
        self.sigma = sigma
        self.max_spans = max_spans
        self.success_at = (1.0 if kind == "matching" else 0.5) if success_at is None else success_at
        self.name = name

    def score(self, completion: str, reference: Reference) -> Mapping[str, float] | None:
        """Parts: the total, ``overlap`` and ``count`` (NaN unless matched); not applicable without intervals."""
        if not reference.intervals:
            return None
        spans = spans_of_answer(first_element(completion, "answer") or "", self.max_spans)
        overlap = 0.0 if spans is None else _OVERLAPS[self.kind](spans, reference.intervals)
        if self.kind != "matching":
            return {self.name: overlap, "overlap": overlap, "count": float("nan")}
        count = 0.0 if spans is None else count_agreement(len(spans), len(reference.intervals), self.sigma)
        return {self.name: overlap + count, "overlap": overlap, "count": count}
