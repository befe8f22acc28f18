"""Is the answer right?"""

from collections.abc import Mapping

from remot.answers import ParsedAnswer
from remot.errors import ConfigError
from remot.rewards.base import PointwiseReward
from remot.rewards.functional import all_right, share_right
from remot.structures import Question


class AccuracyReward(PointwiseReward):
    """``partial_weight`` · share of right answers + ``exact_weight`` · [all right].

    Part of R_task in ReMoT (arXiv 2603.00461, section "Reward"). Whether the paper's accuracy is partial or exact is
    not published: the equal mix is a reconstruction, set one weight to 0 for either extreme.

    Args:
        partial_weight: Weight of the share of right letters.
        exact_weight: Weight of a wholly right answer.
        strict_length: True gives 0 to an answer that does not have one letter per question. False compares as the
            public evaluation does, where surplus letters cost nothing.
    """

    name = "accuracy"

    def __init__(self, partial_weight: float = 0.5, exact_weight: float = 0.5, *, strict_length: bool = True) -> None:
        if partial_weight < 0 or exact_weight < 0 or partial_weight + exact_weight == 0:
            msg = f"accuracy weights must be >= 0 and not both 0, got {partial_weight} and {exact_weight}"
            raise ConfigError(msg)
        self.partial_weight = partial_weight
        self.exact_weight = exact_weight
        self.strict_length = strict_length

    def score(self, parsed: ParsedAnswer, question: Question) -> Mapping[str, float]:
        """Parts ``accuracy``, ``partial`` and ``exact``."""
        partial = share_right(parsed.answer, question, strict_length=self.strict_length)
        exact = float(all_right(parsed.answer, question))
        total = self.partial_weight * partial + self.exact_weight * exact
        return {self.name: total, "partial": partial, "exact": exact}
