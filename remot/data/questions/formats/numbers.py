"""Fill in the blank: a signed number with its unit, right within a tolerance."""

import math
from collections.abc import Mapping

import numpy as np

from remot.data.questions.formats.base import QuestionFormat, QuestionSpec, Written, pair_line
from remot.data.questions.templates import NUMBER_CLOSING
from remot.errors import ConfigError
from remot.motion import ATTRIBUTES, NONE
from remot.structures import Slot

#: Distance that is always forgiven, and decimals that are given, by unit.
ABSOLUTE = {"degrees": 2.0, "metres": 0.05, "pixels": 8.0, "opening": 0.1}
DECIMALS = {"degrees": 0, "metres": 2, "pixels": 0, "opening": 1}


class FillIn(QuestionFormat):
    """Asks how much, positive one way and negative the other; no motion is 0.

    Args:
        relative_tolerance: Share of the right number by which an answer may be off.
        absolute_tolerance: Distance that is always forgiven, by unit; units left out keep their default.
    """

    name = "fill_in"
    needs_order = True

    def __init__(self, relative_tolerance: float = 0.25, absolute_tolerance: Mapping[str, float] | None = None) -> None:
        absolute = {**ABSOLUTE, **(absolute_tolerance or {})}
        sizes = (relative_tolerance, *absolute.values())
        if absolute.keys() != ABSOLUTE.keys() or not all(0 <= size < math.inf for size in sizes):
            msg = f"FillIn: tolerances must be at least 0, for the units {', '.join(ABSOLUTE)}"
            raise ConfigError(msg)
        self.relative_tolerance = relative_tolerance
        self.absolute_tolerance = absolute

    def write(self, asked: QuestionSpec, generator: np.random.Generator) -> Written:
        """One number for each label."""
        slots = []
        for label in asked.labels:
            amount = 0.0 if label.value == NONE else label.magnitude * ATTRIBUTES[label.attribute].code_of(label.value)
            decimals = DECIMALS[label.unit]
            gold = f"{round(amount, decimals) + 0.0:.{decimals}f}"  # a sum with 0.0 is never -0
            tolerance = self.absolute_tolerance[label.unit] + self.relative_tolerance * abs(amount)
            slots.append(Slot(label, (), gold, "", tolerance))
        question = asked.text(asked.wordings.amount[asked.attribute], generator)
        lines = (pair_line(place, slot.label, f"... {slot.label.unit}") for place, slot in enumerate(slots))
        return Written((question, *lines, NUMBER_CLOSING[len(slots)]), tuple(slots))
