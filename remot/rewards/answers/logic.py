"""Do the answers about the three pairs of images fit together?"""

from collections.abc import Mapping

from remot.answers import ParsedAnswer
from remot.rewards.base import PointwiseReward
from remot.rewards.functional import logic_score
from remot.structures import Question


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
