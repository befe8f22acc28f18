"""True or false: a claim about each pair of images, half of them true."""

import numpy as np

from remot.data.questions.formats.base import QuestionFormat, QuestionSpec, Written, pair_line
from remot.data.questions.templates import CLAIM_CLOSING
from remot.motion import ATTRIBUTES
from remot.structures import Slot

TRUE, FALSE = "true", "false"
LETTERS = "TF"


class TrueFalse(QuestionFormat):
    """A claim is true with probability 1/2; a false one claims any other answer that occurs, each equally often."""

    name = "true_false"

    def write(self, asked: QuestionSpec, generator: np.random.Generator) -> Written:
        """One claim for each label."""
        slots, lines = [], []
        for place, label in enumerate(asked.labels):
            claimed, others = label.value, [value for value in asked.slot_values[place] if value != label.value]
            if others and generator.random() >= 0.5:
                claimed = others[generator.integers(len(others))]
            claim = asked.text(asked.wordings.claim[asked.attribute][claimed], generator)
            about_a_pair = ATTRIBUTES[asked.attribute].answers_are_codes
            lines.append(pair_line(place, label, claim) if about_a_pair else claim)
            slots.append(Slot(label, (TRUE, FALSE), LETTERS[claimed != label.value], LETTERS))
        heading = asked.text(asked.wordings.claims, generator)
        return Written((heading, *lines, CLAIM_CLOSING[len(slots)]), tuple(slots))
