"""Multiple choice: the answers as lettered options, in shuffled order."""

from typing import Literal

import numpy as np

from remot.answers import LETTERS
from remot.data.questions.formats.base import QuestionFormat, QuestionSpec, Written, pair_line
from remot.data.questions.templates import CLOSING
from remot.motion import ATTRIBUTES
from remot.structures import MotionLabel, Slot

#: Whether options are shuffled anew for each question, or once for all questions of a prompt.
OptionOrder = Literal["question", "prompt"]


class MultipleChoice(QuestionFormat):
    """One line of options for each pair of images.

    Args:
        option_order: ``question`` shuffles the options of each question, ``prompt`` those of all questions of a prompt
            alike, which is easier to learn for a model of a million parameters.
    """

    name = "multiple_choice"

    def __init__(self, option_order: OptionOrder = "question") -> None:
        self.option_order: OptionOrder = option_order

    def write(self, asked: QuestionSpec, generator: np.random.Generator) -> Written:
        """Options, then the wording: the order in which the generator is used."""
        shared = _shuffled(asked.values, generator) if self.option_order == "prompt" else None
        slots = tuple(
            _slot(label, _options(asked.values_at(place), shared, generator))
            for place, label in enumerate(asked.labels)
        )
        question = asked.text(asked.wordings.choose[asked.attribute], generator)
        lines = [pair_line(place, slot.label, options_text(slot)) for place, slot in enumerate(slots)]
        if not ATTRIBUTES[asked.attribute].answers_are_codes:
            lines = [options_text(slot) for slot in slots]  # the question is about all images, not about a pair
        return Written((question, *lines, CLOSING[len(slots)]), slots)


def options_text(slot: Slot) -> str:
    """Such as ``A left, B none, C right``."""
    return ", ".join(f"{letter} {_words(value)}" for letter, value in zip(slot.letters, slot.options, strict=False))


def _words(value: str) -> str:
    return value.replace("_", " ")


def _options(
    values: tuple[str, ...], shared: tuple[str, ...] | None, generator: np.random.Generator
) -> tuple[str, ...]:
    """The values of a question in an order of its own, or in that of all questions of the prompt."""
    return _shuffled(values, generator) if shared is None else tuple(value for value in shared if value in values)


def _shuffled(values: tuple[str, ...], generator: np.random.Generator) -> tuple[str, ...]:
    return tuple(values[k] for k in generator.permutation(len(values)))


def _slot(label: MotionLabel, options: tuple[str, ...]) -> Slot:
    return Slot(label=label, options=options, gold=LETTERS[options.index(label.value)])
