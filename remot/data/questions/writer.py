"""From a triplet to the text of a prompt and its right answers."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from remot.data.questions.formats import MultipleChoice, QuestionFormat, QuestionSpec, Written
from remot.data.questions.formats.choice import OptionOrder
from remot.data.questions.narration import narrate
from remot.data.questions.reasoning import describe_labels, describe_reasoning
from remot.data.questions.templates import read_wordings, without_thinking
from remot.errors import ConfigError
from remot.motion import ATTRIBUTES
from remot.structures import MotionLabel, Slot, Triplet

__all__ = ["OptionOrder", "QuestionWriter"]


class QuestionWriter:
    """Writes one prompt about all pairs of a triplet.

    See :class:`remot.data.tasks.MotionContrast` for the settings; ``option_order`` is that of the default format.
    """

    def __init__(
        self,
        num_wordings: int = 3,
        binary: bool = False,  # noqa: FBT001, FBT002 - a setting
        option_order: OptionOrder = "question",
        formats: Sequence[QuestionFormat] | None = None,
        wordings: Path | None = None,
        thinks: bool = True,  # noqa: FBT001, FBT002 - a setting
        narrates: bool = False,  # noqa: FBT001, FBT002 - a setting
    ) -> None:
        self.wordings = read_wordings(wordings)
        if not 1 <= num_wordings <= self.wordings.num_wordings:
            msg = f"num_wordings is {num_wordings}; choose 1 to {self.wordings.num_wordings}"
            raise ConfigError(msg)
        self.num_wordings = num_wordings
        self.binary, self.thinks = binary, thinks
        self.describe = narrate if narrates else describe_reasoning
        self.formats: tuple[QuestionFormat, ...] = tuple(formats or [MultipleChoice(option_order)])

    def num_images(self, triplet: Triplet) -> int:
        """Images shown with the prompt: two for a single pair, unless the third is what the question is about."""
        return 2 if self.binary and len(triplet.labels) > 1 else 3

    def accepts(self, triplet: Triplet) -> bool:
        """Whether one of the formats can ask about ``triplet``."""
        return any(one.accepts(self.labels(triplet)) for one in self.formats)

    def draw_format(self, generator: np.random.Generator) -> QuestionFormat:
        """The format a prompt should have, drawn before there is a triplet.

        Drawn after it, a format that accepts only some answers would be rarer for the others, so that the format would
        give answers away.
        """
        return self.formats[0] if len(self.formats) == 1 else self.formats[generator.integers(len(self.formats))]

    def write(
        self,
        triplet: Triplet,
        generator: np.random.Generator,
        values: Sequence[str] | None = None,
        requested_format: QuestionFormat | None = None,
        slot_values: Sequence[tuple[str, ...]] = (),
    ) -> tuple[QuestionFormat, Written]:
        """The format that asks about ``triplet``, and the text and slots.

        ``values`` are the answers that occur in the data set, ``slot_values`` those of each question; all of the
        attribute's by default. A format that accepts the labels is drawn if the requested one does not.
        """
        labels = self.labels(triplet)
        chosen = tuple(ATTRIBUTES[labels[0].attribute].values if values is None else values)
        asked = QuestionSpec(labels, chosen, self.wordings, self.num_wordings, tuple(slot_values))
        if requested_format is None or not requested_format.accepts(labels):
            fitting = [one for one in self.formats if one.accepts(labels)]
            requested_format = fitting[0 if len(self.formats) == 1 else generator.integers(len(fitting))]
        written = requested_format.write(asked, generator)
        if not self.thinks:
            *lines, closing = written.lines
            written = replace(written, lines=(*lines, without_thinking(closing)))
        return requested_format, written

    def reasoning(self, triplet: Triplet, slots: Sequence[Slot], image_size: tuple[int, int]) -> str:
        """Reasoning that leads to the answers; observations only of images that are shown as they are annotated."""
        if any(transform is not None for transform in triplet.transforms):
            return describe_labels(slots)
        shown = triplet.frame_indices[: self.num_images(triplet)]
        return self.describe(triplet.clip, shown, slots, image_size)

    def labels(self, triplet: Triplet) -> tuple[MotionLabel, ...]:
        """The labels asked about: of all pairs, or of the first one only."""
        return triplet.labels[:1] if self.binary else triplet.labels
