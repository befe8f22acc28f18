"""Multiple choice: the answers as lettered options, in shuffled order."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from remot.answers import LETTERS
from remot.data.questions.formats.base import QuestionFormat, QuestionSpec, Written, pair_line
from remot.data.questions.templates import CLOSING
from remot.motion import ATTRIBUTES
from remot.structures import MotionLabel, Slot

#: Whether options are shuffled anew for each question, or once for all questions of a prompt.
OptionOrder = Literal["question", "prompt"]


@dataclass(eq=False)
class MultipleChoice(QuestionFormat):
    """One line of options for each pair of images.

    Args:
        option_order: ``question`` shuffles the options of each question, ``prompt`` those of all questions of a prompt
            alike, which is easier to learn for a model of a million parameters.
    """

    name = "multiple_choice"

    option_order: OptionOrder = "question"

    def write(self, asked: QuestionSpec, generator: np.random.Generator) -> Written:
        """Options, then the wording: the order in which the generator is used."""
        shared = _shuffled(asked.values, generator) if self.option_order == "prompt" else ()
        values = [asked.values_at(place) for place in range(len(asked.labels))]
        options = [
            tuple(one for one in shared if one in own) if shared else _shuffled(own, generator) for own in values
        ]
        slots = tuple(map(_slot, asked.labels, options))
        question = asked.text(asked.wordings.choose[asked.attribute], generator)
        lines = [pair_line(place, slot.label, options_text(slot)) for place, slot in enumerate(slots)]
        if not ATTRIBUTES[asked.attribute].answers_are_codes:
            lines = [options_text(slot) for slot in slots]  # the question is about all images, not about a pair
        return Written((question, *lines, CLOSING[len(slots)]), slots)


def options_text(slot: Slot) -> str:
    """Such as ``A left, B none, C right``."""
    options = [option.replace("_", " ") for option in slot.options]
    return ", ".join(f"{letter} {option}" for letter, option in zip(slot.letters, options, strict=False))


def _shuffled(values: tuple[str, ...], generator: np.random.Generator) -> tuple[str, ...]:
    return tuple(values[k] for k in generator.permutation(len(values)))


def _slot(label: MotionLabel, options: tuple[str, ...]) -> Slot:
    return Slot(label=label, options=options, gold=LETTERS[options.index(label.value)])
