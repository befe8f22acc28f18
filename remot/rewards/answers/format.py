"""Does the completion keep the answer contract?"""

from collections.abc import Mapping

from remot.answers import ParsedAnswer
from remot.rewards.base import PointwiseReward
from remot.rewards.functional import format_ok
from remot.structures import Question


class FormatReward(PointwiseReward):
    """1 if the completion is one think element, one answer element and one valid letter per question, else 0.

    Part of R_task in ReMoT (arXiv 2603.00461, section "Reward"); the exact test is not published: reconstruction.
    """

    name = "format"

    def score(self, parsed: ParsedAnswer, question: Question) -> Mapping[str, float]:
        """Part ``format``."""
        return {self.name: float(format_ok(parsed, question))}
