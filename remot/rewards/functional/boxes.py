"""Overlap of boxes, in [0, 1]."""

from collections.abc import Sequence

from remot.structures import Box


def box_iou(predicted: Box, gold: Box) -> float:
    """Area of the intersection over the area of the union, 0 if both are empty.

    A box whose right is left of its left, or bottom above its top, is empty. VideoChat-R1's own code takes the product
    of its negative sides for an area.
    """
    width = min(predicted[2], gold[2]) - max(predicted[0], gold[0])
    height = min(predicted[3], gold[3]) - max(predicted[1], gold[1])
    shared = max(0.0, width) * max(0.0, height)
    union = _area(predicted) + _area(gold) - shared
    return min(1.0, shared / union) if 0 < union < float("inf") else 0.0


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])


def mean_overlap(predicted: Sequence[Box], gold: Sequence[Box]) -> float:
    """Mean of :func:`box_iou` over the frames, 0 if the numbers of boxes differ or are 0 (VideoChat-R1, tracking)."""
    if len(predicted) != len(gold) or not gold:
        return 0.0
    return sum(map(box_iou, predicted, gold)) / len(gold)
