"""To which of two images a mask belongs."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from remot.data.experts.base import AMBIGUOUS, Expert, Frames, IntArray, Verdicts
from remot.data.experts.visibility import MIN_SIZE_PIXELS, large_pairs, require_size
from remot.errors import ConfigError
from remot.motion import ATTRIBUTES
from remot.structures import Clip, FloatArray, MaskOf, MotionLabel

#: Smallest width and height of a box that holds a pixel of a mask.
_MIN_SIDE_PIXELS = 1.0


@dataclass(eq=False)
class MaskFrame(Expert):
    """The third image is the mask of an object at the moment of the first image, of the second, or of neither.

    These are the "masked frame" questions of ReMoT (arXiv 2603.00461; ``Grounding`` in its tables).
    Two moments are distinguished by the boxes of the object, which must overlap little enough to see the difference. An
    object less than a pixel wide or high has no mask to show and counts as not visible.

    Args:
        max_overlap: Largest intersection over union of two boxes that counts as different.
        min_size_pixels: Smallest size of the box that is asked about: the side of a square of its area.
    """

    attribute = ATTRIBUTES["mask_frame"]
    compares_images = False

    max_overlap: float = 0.5
    min_size_pixels: float = MIN_SIZE_PIXELS

    def __post_init__(self) -> None:
        if not 0 <= self.max_overlap < 1:
            msg = f"MaskFrame: max_overlap is {self.max_overlap}; choose a share from 0 to below 1"
            raise ConfigError(msg)
        require_size("MaskFrame", self.min_size_pixels)

    def judge(self, clip: Clip, frame_indices: IntArray) -> Mapping[str, Verdicts]:
        """Codes 0 for a frame and itself, 1 for clearly different places; the magnitude is the overlap."""
        found = {}
        for name, track in clip.objects.items():
            if track.is_landmark:
                continue
            boxes_xyxy = track.boxes_xyxy[frame_indices]
            overlaps = np.where(large_pairs(boxes_xyxy, self.min_size_pixels), box_overlaps(boxes_xyxy), np.nan)
            codes = np.full(overlaps.shape, AMBIGUOUS, dtype=np.int8)
            codes[overlaps <= self.max_overlap] = 1
            same = frame_indices[:, None] == frame_indices[None, :]
            codes[same & ~np.isnan(overlaps)] = 0
            found[name] = Verdicts(codes, overlaps)
        return found

    def third_transform(self, subject: str) -> MaskOf:
        """The mask of the subject."""
        return MaskOf(subject)

    def labels(self, clip: Clip, frames: Frames, subject: str) -> tuple[MotionLabel, ...] | None:
        """One label, about the first two images; its magnitude is their overlap."""
        verdicts = self.judge(clip, np.array(frames, dtype=np.int64)).get(subject)
        if verdicts is None:
            return None
        pattern = int(verdicts.codes[0, 1]), int(verdicts.codes[0, 2]), int(verdicts.codes[1, 2])
        if pattern not in self.attribute.patterns:
            return None
        (answer,), overlap = self.attribute.answers(pattern), float(verdicts.magnitudes[0, 1])
        return (MotionLabel((1, 2), self.attribute.name, answer, overlap, self.attribute.unit, subject),)


def box_overlaps(boxes_xyxy: FloatArray) -> FloatArray:
    """Intersection over union [K, K] of boxes [K, 4]; NaN where one is not visible or smaller than a pixel."""
    sides = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    boxes_xyxy = np.where((sides >= _MIN_SIDE_PIXELS).all(1, keepdims=True), boxes_xyxy, np.nan)
    low = np.maximum(boxes_xyxy[:, None, :2], boxes_xyxy[None, :, :2])
    high = np.minimum(boxes_xyxy[:, None, 2:], boxes_xyxy[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(-1)
    areas = sides.prod(-1)
    overlaps: FloatArray = shared / (areas[:, None] + areas[None, :] - shared)
    return overlaps
