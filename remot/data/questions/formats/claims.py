"""True or false: a claim about each pair of images, half of them true."""

import numpy as np

from remot.data.questions.formats.base import QuestionFormat, QuestionSpec, Written, pair_line
from remot.data.questions.templates import CLAIM_CLOSING
from remot.motion import ATTRIBUTES
from remot.structures import MotionLabel, Slot

TRUE, FALSE = "true", "false"
LETTERS = "TF"


class TrueFalse(QuestionFormat):
    """A claim is true with probability 1/2; a false one claims any other answer that occurs, each equally often."""

    name = "true_false"

    def write(self, asked: QuestionSpec, generator: np.random.Generator) -> Written:
        """One claim for each label."""
        slots, lines = [], []
        for place, label in enumerate(asked.labels):
            claimed = _claimed(label, asked.values_at(place), generator)
            claim = asked.text(asked.wordings.claim[asked.attribute][claimed], generator)
            about_a_pair = ATTRIBUTES[asked.attribute].answers_are_codes
            lines.append(pair_line(place, label, claim) if about_a_pair else claim)
            slots.append(Slot(label, (TRUE, FALSE), LETTERS[claimed != label.value], LETTERS))
        heading = asked.text(asked.wordings.claims, generator)
        return Written((heading, *lines, CLAIM_CLOSING[len(slots)]), tuple(slots))


def _claimed(label: MotionLabel, values: tuple[str, ...], generator: np.random.Generator) -> str:
    others = [value for value in values if value != label.value]
    if not others or generator.random() < 0.5:
        return label.value
    return others[generator.integers(len(others))]
