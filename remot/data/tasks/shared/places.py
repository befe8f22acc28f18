"""Objects of a clip: their names, boxes as shares of the image, and places in the axes of a camera.

Ground places are as seen by the camera: x metres to its right, y metres along its view. They are annotated; boxes and
distances alone do not determine them well enough: the middle of a box that the border of the image cuts is off by half
a metre.
"""

import re
from functools import lru_cache

import numpy as np

from remot.data.experts.mask import box_overlaps
from remot.data.experts.visibility import MIN_SIZE_PIXELS, box_sizes
from remot.data.media import read_frames
from remot.data.questions.text import called
from remot.structures import Box, Clip, FloatArray, Point

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


def shares_its_box(clip: Clip, name: str, frame: int, by_kind: bool = True) -> bool:  # noqa: FBT001, FBT002
    """Whether another object, of the same kind if ``by_kind``, overlaps it (IoU) by more than :data:`MAX_SHARED`."""
    others = (other for other in clip.objects if other != name)
    alike = [other for other in others if not by_kind or kind_of(other) == kind_of(name)]
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

    Its sides must be at least ``min_side`` shares of the image's, and ``min_pixels``.
    """
    box_xyxy, size = clip.objects[name].boxes_xyxy[frame], image_size(clip)
    bounds = np.array(size, dtype=np.float64)
    sides = np.clip(box_xyxy[2:], 0, bounds) - np.clip(box_xyxy[:2], 0, bounds)
    return share_box(box_xyxy, size) if np.all(sides >= np.maximum(min_side * bounds, min_pixels) - 1e-9) else None


def places_seen_from(clip: Clip, name: str, frame: int) -> FloatArray | None:
    """[N, 3] metres of a thing in the axes of the camera of ``frame``, NaN where unknown; None without known motion."""
    local = clip.objects[name].centres_metres
    if local is None or clip.camera_moves:
        return None
    if clip.camera is None:
        return local
    if not clip.camera.is_metric:
        return None
    poses = clip.camera.camera_to_world
    world = np.einsum("nij,nj->ni", poses[:, :3, :3], local) + poses[:, :3, 3]
    return np.asarray((world - poses[frame, :3, 3]) @ poses[frame, :3, :3])


def ground_place(place: FloatArray) -> Point:
    """To the right and along the view: x and z of a place [3] in camera axes."""
    return float(place[0]), float(place[2])


def camera_places(clip: Clip, frame: int) -> dict[str, FloatArray]:
    """Known places [3] of things in annotated frame ``frame``, in the axes of its camera, in metres; by name."""
    known = {name: track.centres_metres for name, track in clip.objects.items()}
    found = {name: centres[frame] for name, centres in known.items() if centres is not None}
    return {name: place for name, place in found.items() if np.isfinite(place).all()}
