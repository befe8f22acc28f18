"""Is the box where the object is?"""

from remot.rewards.base import ReferenceReward
from remot.rewards.functional.boxes import box_iou
from remot.rewards.parsing.boxes import one_box
from remot.rewards.parsing.tags import first_element
from remot.structures import Reference


class BoxReward(ReferenceReward):
    """IoU of the one box in an element with the reference's first box, 0 if there is none.

    VideoChat-R1.5's detection and, weighted 0.2, its image grounded question answering (arXiv 2509.21100). As released,
    a completion without the element is read as a whole: a bare box scores.

    Args:
        tag: The element; ``glue`` for grounded question answering.
        success_at: Overlap from which a completion succeeds.
        name: Metric key.
    """

    def __init__(self, tag: str = "answer", success_at: float = 0.5, name: str = "box_iou") -> None:
        self.tag = tag
        self.success_at = success_at
        self.name = name

    def score(self, completion: str, reference: Reference) -> float | None:
        """In [0, 1]; not applicable without boxes."""
        if not reference.boxes:
            return None
        content = first_element(completion, self.tag)
        box = one_box(completion if content is None else content)
        return 0.0 if box is None else box_iou(box, reference.boxes[0])
