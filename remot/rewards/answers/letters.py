"""Rewards of option letters: right, well-formed, free of contradictions."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass

from remot.answers import ParsedAnswer
from remot.errors import ConfigError
from remot.rewards.base import PointwiseReward
from remot.rewards.functional import all_right, format_ok, logic_score, share_right
from remot.structures import Question


@dataclass(eq=False)
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

    partial_weight: float = 0.5
    exact_weight: float = 0.5
    _: KW_ONLY
    strict_length: bool = True

    def __post_init__(self) -> None:
        if self.partial_weight < 0 or self.exact_weight < 0 or self.partial_weight + self.exact_weight == 0:
            msg = f"accuracy weights must be >= 0 and not both 0, got {self.partial_weight} and {self.exact_weight}"
            raise ConfigError(msg)

    def score(self, parsed: ParsedAnswer, question: Question) -> Mapping[str, float]:
        """Parts ``accuracy``, ``partial`` and ``exact``."""
        partial = share_right(parsed.answer, question, strict_length=self.strict_length)
        exact = float(all_right(parsed.answer, question))
        total = self.partial_weight * partial + self.exact_weight * exact
        return {self.name: total, "partial": partial, "exact": exact}


class FormatReward(PointwiseReward):
    """1 if the completion is one think element, one answer element and one valid letter per question, else 0.

    Of prompts that ask for the answer alone (``thinks: false``) it is 1 for one answer element and nothing else.

    Part of R_task in ReMoT (arXiv 2603.00461, section "Reward"); the exact test is not published: reconstruction.
    """

    name = "format"

    def score(self, parsed: ParsedAnswer, question: Question) -> Mapping[str, float]:
        """Part ``format``."""
        return {self.name: float(format_ok(parsed, question))}


class LogicReward(PointwiseReward):
    """+1 if the answers can be true together, -1 if they contradict each other, 0 if undetermined.

    R_logic of ReMoT (arXiv 2603.00461, section "Reward"), averaged over the (attribute, subject) groups of a prompt.
    The paper's code is not public: this reconstruction uses the order algebra of :mod:`remot.motion`. It does not hold
    for labels that are not an order of the images, such as those of the released ScanNet file.
    """

    name = "logic"

    def score(self, parsed: ParsedAnswer, question: Question) -> Mapping[str, float]:
        """Part ``logic``."""
        return {self.name: logic_score(parsed.answer, question)}
