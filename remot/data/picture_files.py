"""Picture files as tensors, their stored pixels and nothing made of them."""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from remot.errors import DecodeError

#: Larger pictures are refused, so that a small file cannot fill the memory. 8192 x 8192.
MAX_PICTURE_PIXELS = 2**26
PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
#: What the picture library raises for broken files.
PICTURE_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    OverflowError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def require_size(media: Path, width: int, height: int) -> None:
    """Refuse pictures of absurd size.

    Raises:
        DecodeError: If they have more than :data:`MAX_PICTURE_PIXELS` or none.
    """
    if not 0 < width * height <= MAX_PICTURE_PIXELS:
        known = f"{width} x {height}" if width and height else "too many or no"
        msg = f"{media}: its pictures have {known} pixels, {MAX_PICTURE_PIXELS} are allowed, scale them down"
        raise DecodeError(msg, reason="too large")


def pictures_of(folder: Path, num_frames: int) -> list[Path]:
    """The pictures of ``folder`` in name order.

    Raises:
        DecodeError: If there are fewer than ``num_frames``.
    """
    pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    if len(pictures) < num_frames:
        msg = f"{folder}: the folder holds {len(pictures)} pictures, {num_frames} are needed"
        raise DecodeError(msg)
    return pictures


def require_files(pictures: Sequence[Path]) -> None:
    """Verify that all ``pictures`` exist.

    Raises:
        DecodeError: Naming the first that does not.
    """
    for picture in pictures:
        if not picture.is_file():
            msg = f"{picture}: the picture is missing"
            raise DecodeError(msg)


def read_folder(folder: Path, frame_indices: Sequence[int]) -> list[Tensor]:
    """Pictures of a folder by their number in name order, see :func:`read_picture`."""
    pictures = pictures_of(folder, max(frame_indices, default=-1) + 1)
    return [read_picture(pictures[index]) for index in frame_indices]


def read_picture(path: Path) -> Tensor:
    """The stored pixels of one picture file as uint8 [3, H, W] RGB.

    Grey is repeated, palettes are looked up, transparency is dropped, 16 bits are cut to the upper 8. A note on how to
    turn the picture (EXIF orientation) is not obeyed, since boxes are given in stored pixels.

    Raises:
        DecodeError: If it is missing, broken or larger than :data:`MAX_PICTURE_PIXELS`.
    """
    try:
        with Image.open(path) as picture:
            require_size(path, picture.width, picture.height)
            if picture.mode == "F":
                msg = f"{path}: holds floating-point numbers, of which none is known to be white, save it with 8 bits"
                raise DecodeError(msg)
            return to_tensor(
                _eight_bits(picture) if picture.mode.startswith("I") else np.asarray(picture.convert("RGB"))
            )
    except PICTURE_ERRORS as error:
        msg = f"{path}: the picture cannot be decoded ({error})"
        raise DecodeError(msg) from error


def _eight_bits(picture: Image.Image) -> NDArray[np.uint8]:
    """[H, W, 3] from 16 bits of grey, the upper 8 of them as for other pictures with 16 bits."""
    grey = (np.asarray(picture).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def to_tensor(rgb: NDArray[np.uint8]) -> Tensor:
    """[H, W, 3] array to [3, H, W] tensor."""
    return torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))
