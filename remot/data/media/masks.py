"""Masks of objects: from their annotated images, else from their boxes."""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from remot.data.media import read_frames
from remot.data.media.images import images_of, opened_image
from remot.errors import DecodeError
from remot.structures import Clip, ObjectTrack

#: Modes of images whose values are what is stored: grey levels of 8 and 16 bits and places in a palette.
_NUMBERED = frozenset({"L", "P", "I", "I;16", "I;16L", "I;16B"})


def draw_mask(track: ObjectTrack, frame: int, image: Tensor) -> Tensor:
    """White where an object is, black elsewhere, uint8 [3, H, W] like ``image``.

    Its annotated mask if it has one, else the pixels whose middles lie in its box.

    Raises:
        DecodeError: If the mask cannot be read, has another size than the image, or would be black throughout.
    """
    height, width = image.shape[-2:]
    if track.masks is not None:
        inside = _read_mask(track, frame, (height, width))
    else:
        inside = _fill_box(track, frame, (height, width))
    return (inside.to(torch.uint8) * 255).expand(3, height, width).contiguous()


def check_masks(clip: Clip) -> None:
    """Verify that every mask of a visible object can be drawn.

    Raises:
        DecodeError: Naming the first that cannot.
    """
    masked = {name: track for name, track in clip.objects.items() if track.masks is not None}
    if clip.media is None or not masked:
        return
    height, width = read_frames(clip, [0])[0].shape[-2:]
    for name, track in masked.items():
        for frame in np.flatnonzero(np.isfinite(track.boxes_xyxy).all(axis=1)).tolist():
            try:
                _read_mask(track, frame, (height, width))
            except DecodeError as error:
                msg = f"clip {clip.clip_id}, object {name}, frame {frame}: {error}"
                raise DecodeError(msg) from error


def _fill_box(track: ObjectTrack, frame: int, shape: tuple[int, int]) -> Tensor:
    edges = track.boxes_xyxy[frame]
    if not np.isfinite(edges).all():
        msg = f"the object is not visible in frame {frame}, so no mask of it can be drawn"
        raise DecodeError(msg)
    left, top, right, bottom = (max(math.ceil(edge - 0.5), 0) for edge in edges.tolist())
    inside = torch.zeros(shape, dtype=torch.bool)
    inside[top:bottom, left:right] = True
    if not inside.any():
        msg = f"the box {edges.tolist()} of frame {frame} covers no pixel of its image of {shape[1]}x{shape[0]}"
        raise DecodeError(msg)
    return inside


def _read_mask(track: ObjectTrack, frame: int, shape: tuple[int, int]) -> Tensor:
    file = _mask_file(track, frame)
    with opened_image(file) as mask:
        if mask.size != shape[::-1]:
            msg = f"{file}: the mask has {mask.width}x{mask.height} pixels, its image {shape[1]}x{shape[0]}"
            raise DecodeError(msg)
        values = np.asarray(mask if mask.mode in _NUMBERED else mask.convert("L"))
    inside = torch.from_numpy(values == track.mask_value)
    if not inside.any():
        msg = f"{file}: no pixel has the value {track.mask_value}, which is said to mark the object"
        raise DecodeError(msg)
    return inside


def _mask_file(track: ObjectTrack, frame: int) -> Path:
    assert track.masks is not None
    if isinstance(track.masks, Path):
        try:
            return images_of(track.masks, frame + 1)[frame]
        except OSError as error:
            msg = f"{track.masks}: the folder of masks cannot be listed ({error.strerror})"
            raise DecodeError(msg) from error
    if frame >= len(track.masks):
        msg = f"there are {len(track.masks)} masks, frame {frame} has none"
        raise DecodeError(msg)
    return track.masks[frame]
