"""Do the boxes follow the object?"""

from remot.rewards.base import ReferenceReward
from remot.rewards.functional.boxes import mean_overlap
from remot.rewards.parsing.boxes import box_list
from remot.rewards.parsing.tags import first_element
from remot.structures import Reference


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

    def __init__(self, num_boxes: int | None = None, success_at: float = 0.5, name: str = "tracking_iou") -> None:
        self.num_boxes = num_boxes
        self.success_at = success_at
        self.name = name

    def score(self, completion: str, reference: Reference) -> float | None:
        """In [0, 1]; not applicable without boxes."""
        if not reference.boxes:
            return None
        num_boxes = len(reference.boxes) if self.num_boxes is None else self.num_boxes
        boxes = box_list(first_element(completion, "answer") or "", num_boxes)
        return 0.0 if boxes is None else mean_overlap(boxes, reference.boxes)
