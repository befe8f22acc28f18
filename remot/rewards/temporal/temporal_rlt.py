"""Half for the right answer, half for its form."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from remot.errors import ConfigError
from remot.rewards.answers.tagged_format import TaggedFormatReward
from remot.rewards.base import ReferenceReward
from remot.rewards.functional.intervals import hull_iou
from remot.rewards.functional.text import lone_option
from remot.rewards.parsing.spans import json_span
from remot.rewards.parsing.tags import first_element
from remot.structures import Reference

Kind = Literal["discrete", "continuous", "grounded"]
_FORMATS: Mapping[Kind, TaggedFormatReward] = {
    "discrete": TaggedFormatReward(outer_space=False),
    "continuous": TaggedFormatReward(content="json_span", outer_space=False),
    "grounded": TaggedFormatReward(("think", "answer", "glue"), "json_span", outer_space=False),
}


@dataclass(eq=False)
class TemporalRLTReward(ReferenceReward):
    """``accuracy_weight`` · accuracy + ``format_weight`` · format, 0.5 each (Temporal-RLT, arXiv 2506.01908).

    ``discrete``: the option letter and nothing else in the first answer element, or in a completion without one.
    ``continuous``: IoU with the first interval, read from the first answer element as JSON with keys ``start_time`` and
    ``end_time``. The form asks for more, of the last answer element: {"start_time": "3.2", "end_time": "7"} in this
    order, in quotes, and nothing else. ``grounded``: the mean of both, the letter in ``<answer>`` and the stretch in
    ``<glue>``; that the two are combined is published, how is not: reconstruction.

    Args:
        kind: Which of the three.
        accuracy_weight: Weight of the accuracy.
        format_weight: Weight of the form.
        success_at: Accuracy from which a completion succeeds, whatever its form.
        name: Metric key.
    """

    extra_parts = ("accuracy", "format")
    success_part = "accuracy"

    kind: Kind = "continuous"
    accuracy_weight: float = 0.5
    format_weight: float = 0.5
    success_at: float = 0.5
    name: str = "temporal_rlt"

    def __post_init__(self) -> None:
        if self.kind not in _FORMATS:
            msg = f"Temporal-RLT has kinds {', '.join(_FORMATS)}, not {self.kind!r}"
            raise ConfigError(msg)

    def score(self, completion: str, reference: Reference) -> Mapping[str, float] | None:
        """Parts: the total, ``accuracy`` and ``format``; not applicable without the answer or interval it needs."""
        accuracies, content = [], first_element(completion, "answer")
        if self.kind != "continuous":
            if reference.answer is None:
                return None
            said = lone_option(completion if content is None else content)
            accuracies.append(float(said != "" and said == lone_option(reference.answer)))
        if self.kind != "discrete":
            if not reference.intervals:
                return None
            span = json_span((first_element(completion, "glue") if self.kind == "grounded" else content) or "")
            accuracies.append(0.0 if span is None else hull_iou(span, reference.intervals[0]))
        accuracy, form = sum(accuracies) / len(accuracies), _FORMATS[self.kind].score(completion, reference)
        total = self.accuracy_weight * accuracy + self.format_weight * form
        return {self.name: total, "accuracy": accuracy, "format": form}
