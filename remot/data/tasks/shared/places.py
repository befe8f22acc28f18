"""Objects of a clip and their boxes as shares of the image."""

import re
from functools import lru_cache

import numpy as np

from remot.data.experts.mask import box_overlaps
from remot.data.experts.visibility import MIN_SIZE_PIXELS, box_sizes
from remot.data.media import read_frames
from remot.data.questions.text import called
from remot.structures import Box, Clip, FloatArray

#: Decimals of a box as it is asked for and compared.
DECIMALS = 3
#: Largest overlap of two boxes that still points out one of two things of a kind.
MAX_SHARED = 0.7
_NUMBER = re.compile(r" \d+$")


@lru_cache(maxsize=4096)
def image_size(clip: Clip) -> tuple[int, int]:
    """Width and height of a clip's images in pixels; decodes its first one.

    Raises:
        DecodeError: If that cannot be decoded.
    """
    (image,) = read_frames(clip, [0])
    return int(image.shape[2]), int(image.shape[1])


def kind_of(name: str) -> str:
    """What an object is an example of: its words without the number at their end."""
    return _NUMBER.sub("", called(name))


def lone_names(clip: Clip) -> list[str]:
    """Objects whose words fit no other object of the clip, such as ``red crate`` but not ``blue crate 2``."""
    kinds = [kind_of(name).lower() for name in clip.objects]
    return [name for name, kind in zip(clip.objects, kinds, strict=True) if kind and kinds.count(kind) == 1]


def visible(clip: Clip, name: str) -> np.ndarray:
    """[N] bool, frames in which an object has a box."""
    return np.asarray(np.isfinite(clip.objects[name].boxes_xyxy).all(axis=1))


def clearly_visible(clip: Clip, name: str, min_pixels: float = MIN_SIZE_PIXELS) -> np.ndarray:
    """[N] bool, frames in which an object has a box of at least the size of a square with sides of ``min_pixels``."""
    return np.asarray(np.nan_to_num(box_sizes(clip.objects[name].boxes_xyxy), nan=-1.0) >= min_pixels)


def shares_its_box(clip: Clip, name: str, frame: int) -> bool:
    """Whether another object of the same kind overlaps it so much that a box does not distinguish them.

    It does if their boxes overlap by more than :data:`MAX_SHARED` (intersection over union).
    """
    alike = [other for other in clip.objects if other != name and kind_of(other) == kind_of(name)]
    if not alike:
        return False
    boxes = np.stack([clip.objects[one].boxes_xyxy[frame] for one in (name, *alike)])
    return bool(np.any(box_overlaps(boxes)[0, 1:] > MAX_SHARED))


def share_box(box_xyxy: FloatArray, size: tuple[int, int]) -> Box:
    """A box in shares of the image, cut at its border and rounded as it is written.

    Args:
        box_xyxy: [4] pixels.
        size: Width and height of the image in pixels.
    """
    width, height = size
    shares = np.clip(box_xyxy / np.array([width, height, width, height]), 0, 1)
    left, top, right, bottom = (round(float(edge), DECIMALS) for edge in shares)
    return left, top, right, bottom


def box_in_words(box: Box) -> str:
    """``[0.125, 0.25, 0.5, 0.75]``."""
    return f"[{', '.join(f'{edge:g}' for edge in box)}]"


def is_large(box: Box, min_side: float) -> bool:
    """Whether both sides are at least this share of the image's."""
    left, top, right, bottom = box
    return right - left >= min_side and bottom - top >= min_side
