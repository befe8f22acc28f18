"""What every format does: turn labels into lines of text and slots."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from remot.data.questions.templates import ORDINALS, PAIR_LINE, Wordings
from remot.data.questions.text import called
from remot.motion import ATTRIBUTES, Order
from remot.structures import MotionLabel, Slot


@dataclass(frozen=True)
class QuestionSpec:
    """What a prompt asks about.

    ``labels`` are all of one attribute and subject: of each pair, or of the first one only. ``values`` are the answers
    that occur in the data set, in the attribute's order; ``slot_values`` those of each question, ``values`` by default.
    Of the texts for each attribute ``num_wordings`` may be used.
    """

    labels: tuple[MotionLabel, ...]
    values: tuple[str, ...]
    wordings: Wordings
    num_wordings: int
    slot_values: tuple[tuple[str, ...], ...] = ()
    #: The attribute's name.
    attribute: str = field(init=False)
    #: Name of the arm or object as words, "" for the camera or the agent.
    subject: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "slot_values", self.slot_values or (self.values,) * len(self.labels))
        object.__setattr__(self, "attribute", self.labels[0].attribute)
        object.__setattr__(self, "subject", called(self.labels[0].subject))

    def text(self, wordings: Sequence[str], generator: np.random.Generator) -> str:
        """One of ``wordings``, with the subject's name put in."""
        most = min(self.num_wordings, len(wordings))
        return wordings[int(generator.integers(most))].format(subject=self.subject)


@dataclass(frozen=True)
class Written:
    """The lines of a question, and its slots in the order of the answer."""

    lines: tuple[str, ...]
    slots: tuple[Slot, ...]


class QuestionFormat(ABC):
    """A way to ask."""

    #: Name in files and reports.
    name: ClassVar[str]
    #: Whether only motions with two directions, whose size is a single number, can be asked about.
    needs_order: ClassVar[bool] = False

    def accepts(self, labels: Sequence[MotionLabel]) -> bool:
        """Whether these labels can be asked about in this way."""
        return not self.needs_order or isinstance(ATTRIBUTES.get(labels[0].attribute), Order)

    @abstractmethod
    def write(self, asked: QuestionSpec, generator: np.random.Generator) -> Written:
        """The question about labels that :meth:`accepts` accepts; draws the wording and the order of options."""


def pair_line(place: int, label: MotionLabel, text: str) -> str:
    """The line about one pair of images."""
    first, second = label.pair
    return PAIR_LINE.format(ordinal=ORDINALS[place], first=first, second=second, options=text)
