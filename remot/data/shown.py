"""The pictures of a triplet as they are shown: decoded once, then seen through windows or turned into masks."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from remot.data.picture_files import pictures_of
from remot.data.video import read_frames
from remot.data.warping import warp_picture
from remot.errors import DecodeError
from remot.structures import Clip, MaskOf, ObjectTrack, PictureTransform, Triplet, Warp


@dataclass(frozen=True, eq=False)
class ShownPictures:
    """Pictures of a prompt.

    Args:
        shown: uint8 [3, H, W] each.
        decoded_size: Width and height of the clip's own pictures in pixels.
    """

    shown: Sequence[Tensor]
    decoded_size: tuple[int, int]


def read_pictures(triplet: Triplet, num_pictures: int = 3) -> ShownPictures:
    """Decode the frames of a triplet in one go and do to them what it says.

    Raises:
        DecodeError: If one cannot be decoded.
    """
    decoded = read_frames(triplet.clip, triplet.frame_indices[:num_pictures])
    shown = [
        show(picture, transform, triplet.clip, frame)
        for picture, transform, frame in zip(decoded, triplet.transforms, triplet.frame_indices, strict=False)
    ]
    return ShownPictures(shown, (decoded[0].shape[2], decoded[0].shape[1]))


def show(picture: Tensor, transform: PictureTransform | None, clip: Clip, frame: int) -> Tensor:
    """What a picture shows after its transform.

    Args:
        picture: uint8 [3, H, W], decoded.
        transform: What is done to it, None for nothing.
        clip: Where it comes from.
        frame: Its annotated frame.
    """
    if isinstance(transform, Warp):
        return warp_picture(picture, transform)
    if isinstance(transform, MaskOf):
        return draw_mask(clip.objects[transform.subject], frame, picture)
    return picture


def draw_mask(track: ObjectTrack, frame: int, picture: Tensor) -> Tensor:
    """White where an object is, black elsewhere, uint8 [3, H, W] like ``picture``.

    Its annotated mask if it has one, else its box.

    Raises:
        DecodeError: If the mask cannot be read or has another size than the picture.
    """
    height, width = picture.shape[-2:]
    if track.masks is not None:
        inside = _read_mask(track, frame, (height, width))
    else:
        left, top, right, bottom = (round(float(edge)) for edge in track.boxes_xyxy[frame])
        inside = torch.zeros(height, width, dtype=torch.bool)
        inside[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)] = True
    return (inside.to(torch.uint8) * 255).expand(3, height, width).contiguous()


def _read_mask(track: ObjectTrack, frame: int, shape: tuple[int, int]) -> Tensor:
    assert track.masks is not None
    file = track.masks[frame] if isinstance(track.masks, tuple) else _mask_file(track.masks, frame)
    try:
        with Image.open(file) as mask:
            values = np.asarray(mask if mask.mode in {"L", "P", "1", "I;16", "I"} else mask.convert("L"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        msg = f"{file}: the mask cannot be decoded ({error})"
        raise DecodeError(msg) from error
    if values.shape != shape:
        msg = f"{file}: the mask has {values.shape[1]}x{values.shape[0]} pixels, its picture {shape[1]}x{shape[0]}"
        raise DecodeError(msg)
    return torch.from_numpy(values.astype(np.int64) == track.mask_value)


def _mask_file(folder: Path, frame: int) -> Path:
    return pictures_of(folder, frame + 1)[frame]
