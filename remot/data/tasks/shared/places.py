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
    """Width and height of a clip's images in pixels; decodes its first one."""
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
    """[N] bool, frames in which an object has a box of at least the size of a square with sides of ``min_pixels``.

    Those in which the data set states that it is largely hidden or cut off do not count.
    """
    large = np.nan_to_num(box_sizes(clip.objects[name].boxes_xyxy), nan=-1.0) >= min_pixels
    return np.asarray(large & not_hidden(clip, name))


def not_hidden(clip: Clip, name: str) -> np.ndarray:
    """[N] bool, frames in which an object is not stated to be largely hidden or cut off."""
    hidden = clip.objects[name].hidden
    return np.ones(clip.num_frames, dtype=np.bool_) if hidden is None else ~hidden


def shares_its_box(clip: Clip, name: str, frame: int) -> bool:
    """Whether another object of the same kind overlaps it (IoU) by more than :data:`MAX_SHARED`."""
    alike = [other for other in clip.objects if other != name and kind_of(other) == kind_of(name)]
    if not alike:
        return False
    boxes = np.stack([clip.objects[one].boxes_xyxy[frame] for one in (name, *alike)])
    return bool(np.any(box_overlaps(boxes)[0, 1:] > MAX_SHARED))


def share_box(box_xyxy: FloatArray, size: tuple[int, int]) -> Box:
    """A box [4] in pixels as shares of an image of ``size`` pixels, cut at its border and rounded as it is written."""
    width, height = size
    shares = np.clip(box_xyxy / np.array([width, height, width, height]), 0, 1)
    left, top, right, bottom = (round(float(edge), DECIMALS) for edge in shares)
    return left, top, right, bottom


def box_in_words(box: Box) -> str:
    """``[0.125, 0.25, 0.5, 0.75]``."""
    return f"[{', '.join(f'{edge:g}' for edge in box)}]"


def large_box(clip: Clip, name: str, frame: int, min_side: float, min_pixels: float) -> Box | None:
    """The box of an object in a frame, in shares of the image; None unless its part inside the image is large enough.

    Args:
        clip: The clip; its first image is decoded for its size.
        name: The object.
        frame: Annotated frame in which it has a box.
        min_side: Smallest side as a share of the image's.
        min_pixels: Shorter side in pixels.
    """
    box_xyxy, size = clip.objects[name].boxes_xyxy[frame], image_size(clip)
    bounds = np.array(size, dtype=np.float64)
    sides = np.clip(box_xyxy[2:], 0, bounds) - np.clip(box_xyxy[:2], 0, bounds)
    return share_box(box_xyxy, size) if np.all(sides >= np.maximum(min_side * bounds, min_pixels) - 1e-9) else None
