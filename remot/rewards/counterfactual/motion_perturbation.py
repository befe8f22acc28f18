"""Does the described motion come from the video, or from the text of the question?"""

from remot.rewards.base import ReferenceReward
from remot.rewards.functional.motion import change_score
from remot.rewards.parsing.motion import motion_tags
from remot.rewards.parsing.tags import first_element
from remot.structures import Reference


class MotionPerturbationReward(ReferenceReward):
    """Mean over described objects of 0.5·[direction changed] + 0.3·[speed changed] + 0.2·[scale changed].

    Compared with the answer to the same prompt with the video frozen at one frame, the reference's first counterpart;
    an object that is not described there counts 1. Motion-o (arXiv 2603.18856). As released this reward is 0 for every
    completion, because the trainer hands the frozen answer over after the rewards were called. Here it is part of the
    reference, so it has to be there before the call, and without it the reward is not applicable instead of 0.

    Args:
        name: Metric key.
    """

    success_at = None

    def __init__(self, name: str = "motion_perturbation") -> None:
        self.name = name

    def score(self, completion: str, reference: Reference) -> float | None:
        """In [0, 1], 0 if the completion describes no motion; not applicable without a counterpart."""
        if not reference.counterparts:
            return None
        described, frozen = (
            motion_tags(first_element(text, "think") or "") for text in (completion, reference.counterparts[0])
        )
        return change_score(described, frozen)
