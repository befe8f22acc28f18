"""Is the stretch of time that was asked for the one that was found?"""

from collections.abc import Callable, Mapping
from typing import Literal

from remot.errors import ConfigError
from remot.rewards.base import ReferenceReward
from remot.rewards.functional.intervals import hull_iou, union_iou
from remot.rewards.parsing.spans import json_span, last_answer_span
from remot.rewards.parsing.tags import first_element
from remot.structures import Interval, Reference

_FORMS: Mapping[str, Callable[[Interval, Interval], float]] = {"hull": hull_iou, "union": union_iou}
_READERS: Mapping[str, Callable[[str], Interval | None]] = {
    "text": last_answer_span,
    "json": lambda completion: json_span(first_element(completion, "answer") or ""),
}


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

    def __init__(
        self,
        written: Literal["text", "json"] = "text",
        form: Literal["hull", "union"] = "hull",
        success_at: float = 0.5,
        name: str = "temporal_iou",
    ) -> None:
        if form not in _FORMS or written not in _READERS:
            msg = f"temporal IoU has forms {', '.join(_FORMS)} of {', '.join(_READERS)}, not {form!r} of {written!r}"
            raise ConfigError(msg)
        self.written = written
        self.form = form
        self.success_at = success_at
        self.name = name

    def score(self, completion: str, reference: Reference) -> float | None:
        """In [0, 1]; not applicable without an interval."""
        if not reference.intervals:
            return None
        span = _READERS[self.written](completion)
        return 0.0 if span is None else _FORMS[self.form](span, reference.intervals[0])
