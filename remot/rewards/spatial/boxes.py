"""Rewards of boxes: one in an image, or one in each frame."""

from dataclasses import dataclass

from remot.rewards.base import ReferenceReward
from remot.rewards.functional.boxes import box_iou, mean_overlap
from remot.rewards.parsing.literals import box_list, one_box
from remot.rewards.parsing.tags import first_element
from remot.structures import Reference


@dataclass(eq=False)
class BoxReward(ReferenceReward):
    """IoU of the one box in an element with the reference's first box, 0 if there is none.

    VideoChat-R1.5's detection and, weighted 0.2, its image grounded question answering (arXiv 2509.21100). As released,
    a completion without the element is read as a whole: a bare box scores.

    Args:
        tag: The element; ``glue`` for grounded question answering.
        success_at: Overlap from which a completion succeeds.
        name: Metric key.
    """

    tag: str = "answer"
    success_at: float = 0.5
    name: str = "box_iou"

    def score(self, completion: str, reference: Reference) -> float | None:
        """In [0, 1]; not applicable without boxes."""
        if not reference.boxes:
            return None
        content = first_element(completion, self.tag)
        box = one_box(completion if content is None else content)
        return 0.0 if box is None else box_iou(box, reference.boxes[0])


@dataclass(eq=False)
class TrackingReward(ReferenceReward):
    """Mean IoU of the answered boxes with the reference's, frame by frame; 0 unless there are exactly as many.

    VideoChat-R1 (arXiv 2504.06958): 8 boxes [x0, y0, x1, y1] in shares of the image, in the first answer element. The
    eighth is the seventh again, since the frame count is rounded up to an even number there; give such a reference 8
    boxes, too.

    Args:
        num_boxes: How many have to be answered; as many as the reference has if None.
        success_at: Mean overlap from which a completion succeeds.
        name: Metric key.
    """

    num_boxes: int | None = None
    success_at: float = 0.5
    name: str = "tracking_iou"

    def score(self, completion: str, reference: Reference) -> float | None:
        """In [0, 1]; not applicable without boxes."""
        if not reference.boxes:
            return None
        num_boxes = len(reference.boxes) if self.num_boxes is None else self.num_boxes
        boxes = box_list(first_element(completion, "answer") or "", num_boxes)
        return 0.0 if boxes is None else mean_overlap(boxes, reference.boxes)
