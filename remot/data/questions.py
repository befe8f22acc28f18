"""From a triplet to the text of a prompt and its right answers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from remot.data.formats import Asked, MultipleChoice, QuestionFormat
from remot.data.formats.choice import OptionOrder
from remot.data.reasoning import tell_reasoning, tell_verdicts
from remot.data.templates import read_wordings
from remot.errors import ConfigError
from remot.motion import ATTRIBUTES
from remot.structures import MotionLabel, Question, Slot, Triplet

__all__ = ["OptionOrder", "QuestionWriter"]


class QuestionWriter:
    """Writes one prompt about all pairs of a triplet.

    Args:
        num_wordings: How many wordings to choose from for each attribute; 1 always uses the first.
        binary: Ask about anchor and positive only, two pictures and one answer (the pair baseline of ReMoT,
            arXiv 2603.00461).
        option_order: Of the default format, see :class:`remot.data.formats.MultipleChoice`.
        formats: Ways to ask, each wished for as often; multiple choice by default.
        wordings: File of the texts; None for the English ones that come with the library.
    """

    def __init__(
        self,
        num_wordings: int = 3,
        binary: bool = False,  # noqa: FBT001, FBT002 - a setting
        option_order: OptionOrder = "question",
        formats: Sequence[QuestionFormat] | None = None,
        wordings: Path | None = None,
    ) -> None:
        self.wordings = read_wordings(wordings)
        if not 1 <= num_wordings <= self.wordings.num_wordings:
            msg = f"num_wordings is {num_wordings}; choose 1 to {self.wordings.num_wordings}"
            raise ConfigError(msg)
        self.num_wordings = num_wordings
        self.binary = binary
        self.formats: tuple[QuestionFormat, ...] = tuple(formats or [MultipleChoice(option_order)])

    def num_pictures(self, triplet: Triplet) -> int:
        """Pictures shown with the prompt: two for a single pair, unless the third is what the question is about."""
        return 2 if self.binary and len(triplet.labels) > 1 else 3

    def fits(self, triplet: Triplet) -> bool:
        """Whether one of the formats can ask about ``triplet``."""
        return any(one.fits(self._labels(triplet)) for one in self.formats)

    def wish(self, generator: np.random.Generator) -> QuestionFormat:
        """The format a prompt should have, drawn before there is a triplet.

        Drawn after it, a format that fits some answers only would take these away from the others, whose answers could
        then be guessed.
        """
        return self.formats[0] if len(self.formats) == 1 else self.formats[generator.integers(len(self.formats))]

    def grants(self, wish: QuestionFormat, triplet: Triplet) -> bool:
        """Whether ``triplet`` can be asked about in the way that is wished for."""
        return wish.fits(self._labels(triplet))

    def write(
        self,
        triplet: Triplet,
        prompt_id: str,
        picture_size: tuple[int, int],
        generator: np.random.Generator,
        values: Sequence[str] | None = None,
        wish: QuestionFormat | None = None,
        slot_values: Sequence[tuple[str, ...]] = (),
    ) -> Question:
        """The prompt for ``triplet``.

        Args:
            triplet: Frames and labels.
            prompt_id: Unique, stable name.
            picture_size: Width and height of the clip's pictures in pixels, for the reasoning.
            generator: Chooses format and wording and shuffles the options.
            values: Answers that occur in the data set; all of the attribute's by default.
            wish: The format to use if it fits; any that fits by default.
            slot_values: For each question those that occur in its place; ``values`` for all by default.
        """
        labels = self._labels(triplet)
        chosen = tuple(ATTRIBUTES[labels[0].attribute].values if values is None else values)
        asked = Asked(labels, chosen, self.wordings, self.num_wordings, tuple(slot_values))
        one = wish if wish is not None and wish.fits(labels) else self._choose_format(labels, generator)
        written = one.write(asked, generator)
        return Question(
            prompt_id=prompt_id,
            text="\n".join(written.lines),
            slots=written.slots,
            domain=triplet.clip.domain,
            scene_id=triplet.clip.scene_id,
            reasoning=self._reasoning(triplet, written.slots, picture_size),
            format=one.name,
        )

    def _reasoning(self, triplet: Triplet, slots: Sequence[Slot], picture_size: tuple[int, int]) -> str:
        """What is seen is told only of pictures that are shown as they are annotated."""
        if any(transform is not None for transform in triplet.transforms):
            return tell_verdicts(slots)
        shown = triplet.frame_indices[: self.num_pictures(triplet)]
        return tell_reasoning(triplet.clip, shown, slots, picture_size)

    def _labels(self, triplet: Triplet) -> tuple[MotionLabel, ...]:
        return triplet.labels[:1] if self.binary else triplet.labels

    def _choose_format(self, labels: Sequence[MotionLabel], generator: np.random.Generator) -> QuestionFormat:
        fitting = [one for one in self.formats if one.fits(labels)]
        return fitting[0] if len(self.formats) == 1 else fitting[generator.integers(len(fitting))]
