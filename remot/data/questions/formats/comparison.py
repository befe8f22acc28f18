"""Comparative: between which two images is the motion largest?"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from remot.answers import LETTERS
from remot.data.questions.formats.base import QuestionFormat, QuestionSpec, Written
from remot.data.questions.templates import CLOSING
from remot.errors import ConfigError
from remot.motion import NONE, PAIRS
from remot.structures import MotionLabel, Slot


@dataclass(eq=False)
class Comparative(QuestionFormat):
    """One question about all three pairs, which all have to show a motion.

    Args:
        min_ratio: The largest motion is at least this many times the second largest.
    """

    name = "comparative"
    needs_order = True

    min_ratio: float = 1.25

    def __post_init__(self) -> None:
        if self.min_ratio <= 1:
            msg = f"Comparative: min_ratio is {self.min_ratio}; choose more than 1"
            raise ConfigError(msg)

    def accepts(self, labels: Sequence[MotionLabel]) -> bool:
        """For three motions with two directions each, one of them clearly the largest."""
        if len(labels) != len(PAIRS) or not super().accepts(labels):
            return False
        second, largest = sorted(label.magnitude for label in labels)[-2:]
        return all(label.value != NONE for label in labels) and largest >= self.min_ratio * second

    def write(self, asked: QuestionSpec, generator: np.random.Generator) -> Written:
        """Pairs as options, in shuffled order."""
        largest = max(asked.labels, key=lambda label: label.magnitude)
        shuffled = [asked.labels[k] for k in generator.permutation(len(asked.labels))]
        options = tuple(f"{label.pair[0]} to {label.pair[1]}" for label in shuffled)
        slot = Slot(largest, options, LETTERS[shuffled.index(largest)])
        question = asked.text(asked.wordings.most[asked.attribute], generator)
        listed = ", ".join(f"{letter} {option}" for letter, option in zip(LETTERS, options, strict=False))
        return Written((question, listed, CLOSING[1]), (slot,))
