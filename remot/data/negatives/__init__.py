"""Negatives: how the third image of a triplet is found or made."""

from remot.data.negatives.base import Case, Negative, View
from remot.data.negatives.retrieval import Retrieval, SimilarFrame, TimeReversal
from remot.data.negatives.synthesis import Mirror, RotatedView, ShiftedCrop

__all__ = [
    "Case",
    "Mirror",
    "Negative",
    "Retrieval",
    "RotatedView",
    "ShiftedCrop",
    "SimilarFrame",
    "TimeReversal",
    "View",
]
