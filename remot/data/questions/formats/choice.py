"""Multiple choice: the answers as lettered options, in shuffled order."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from remot.answers import LETTERS
from remot.data.questions.formats.base import QuestionFormat, QuestionSpec, Written, pair_line
from remot.data.questions.templates import CLOSING
from remot.motion import ATTRIBUTES
from remot.structures import Slot

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
        slots = []
        for place, label in enumerate(asked.labels):
            own = asked.slot_values[place]
            options = tuple(one for one in shared if one in own) if shared else _shuffled(own, generator)
            slots.append(Slot(label=label, options=options, gold=LETTERS[options.index(label.value)]))
        question = asked.text(asked.wordings.choose[asked.attribute], generator)
        lines, about_a_pair = [], ATTRIBUTES[asked.attribute].answers_are_codes
        for place, slot in enumerate(slots):
            lettered = zip(slot.letters, slot.options, strict=False)
            text = ", ".join(f"{letter} {option.replace('_', ' ')}" for letter, option in lettered)
            lines.append(pair_line(place, slot.label, text) if about_a_pair else text)
        return Written((question, *lines, CLOSING[len(slots)]), tuple(slots))


def _shuffled(values: tuple[str, ...], generator: np.random.Generator) -> tuple[str, ...]:
    return tuple(values[k] for k in generator.permutation(len(values)))
