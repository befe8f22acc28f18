"""Rewards of stretches of time: the one that was asked for, the supporting ones, or all of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from remot.errors import ConfigError
from remot.rewards.base import ReferenceReward
from remot.rewards.functional.intervals import count_agreement, hull_iou, matching_f1, paired_iou, set_iou, union_iou
from remot.rewards.parsing.spans import MAX_SPANS, glue_spans, json_span, last_answer_span, spans_of_answer
from remot.rewards.parsing.tags import first_element
from remot.structures import Interval, Reference

_FORMS: Mapping[str, Callable[[Interval, Interval], float]] = {"hull": hull_iou, "union": union_iou}
_READERS: Mapping[str, Callable[[str], Interval | None]] = {
    "text": last_answer_span,
    "json": lambda completion: json_span(first_element(completion, "answer") or ""),
}


@dataclass(eq=False)
class TemporalIoUReward(ReferenceReward):
    """Overlap of the answered stretch with the first interval of the reference, 0 if none can be read.

    ``hull``: max(0, min(e, ê) − max(s, ŝ)) / (max(e, ê) − min(s, ŝ)), VideoChat-R1's (arXiv 2504.06958) and
    Temporal-RLT's (arXiv 2506.01908). ``union`` divides by the length of the union; the two differ for stretches that
    end before they start only, since disjoint ones give 0 in both.

    Args:
        written: How the answer is written: ``text`` takes the last "12.54 to 17.83" of the last answer element
            (VideoChat-R1), ``json`` {"start_time": "12.54", "end_time": "17.83"} in the first (Temporal-RLT).
        form: What is divided by.
        success_at: Overlap from which a completion succeeds; 0.3, 0.5 and 0.7 are usual.
        name: Metric key.
    """

    written: Literal["text", "json"] = "text"
    form: Literal["hull", "union"] = "hull"
    success_at: float = 0.5
    name: str = "temporal_iou"

    def __post_init__(self) -> None:
        if self.form not in _FORMS or self.written not in _READERS:
            known, given = f"{', '.join(_FORMS)} of {', '.join(_READERS)}", f"{self.form!r} of {self.written!r}"
            msg = f"temporal IoU has forms {known}, not {given}"
            raise ConfigError(msg)

    def score(self, completion: str, reference: Reference) -> float | None:
        """In [0, 1]; not applicable without an interval."""
        if not reference.intervals:
            return None
        span = _READERS[self.written](completion)
        return 0.0 if span is None else _FORMS[self.form](span, reference.intervals[0])


@dataclass(eq=False)
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

    max_spans: int = MAX_SPANS
    tag: str = "glue"
    success_at: float = 0.5
    name: str = "interval_iou"

    def score(self, completion: str, reference: Reference) -> float | None:
        """In [0, 1]; not applicable without intervals."""
        if reference.intervals is None:
            return None
        content = first_element(completion, self.tag)
        spans = None if content is None else glue_spans(content, self.max_spans)
        return 0.0 if spans is None else set_iou(spans, reference.intervals)


Kind = Literal["one_to_one", "union", "matching"]
_OVERLAPS: Mapping[Kind, Callable[[Sequence[Interval], Sequence[Interval]], float]] = {
    "one_to_one": paired_iou,
    "union": set_iou,
    "matching": matching_f1,
}


@dataclass(eq=False)
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

    kind: Kind = "one_to_one"
    sigma: float = 1.0
    max_spans: int = 64
    success_at: float | None = None
    name: str = "localisation"

    def __post_init__(self) -> None:
        if self.kind not in _OVERLAPS or not self.sigma > 0:
            msg = f"localisation has kinds {', '.join(_OVERLAPS)} and sigma > 0, got {self.kind!r} and {self.sigma}"
            raise ConfigError(msg)
        self.success_at = (1.0 if self.kind == "matching" else 0.5) if self.success_at is None else self.success_at

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
