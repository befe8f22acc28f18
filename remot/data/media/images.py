"""Image files as tensors, their stored pixels and nothing made of them."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor

from remot.errors import DecodeError
from remot.files import cause_of, files_in, gap_in_numbers, in_number_order, open_regular

#: Larger images are refused, so that a small file cannot fill the memory. 8192 x 8192.
MAX_IMAGE_PIXELS = 2**26
#: Longest side of an image by its shortest. The image processors of the Qwen-VL models refuse more, in the middle of a
#: run (``smart_resize`` of transformers; a test compares).
MAX_ASPECT_RATIO = 200
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
#: Formats that are decoded, by content. The image library supports others too, and starts Ghostscript for one of them.
IMAGE_FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "PPM")
#: What the image library raises for broken files.
IMAGE_ERRORS = (
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


def require_size(media: Path | str, width: int, height: int) -> None:
    """Refuse images of a size that cannot be used."""
    if not 0 < width * height <= MAX_IMAGE_PIXELS:
        known = f"{width} x {height}" if width and height else "too many or no"
        msg = f"{media}: its images have {known} pixels, {MAX_IMAGE_PIXELS} are allowed, scale them down"
        raise DecodeError(msg, reason="too large")
    if max(width, height) > MAX_ASPECT_RATIO * min(width, height):
        msg = f"{media}: {width} x {height} pixels are thinner than {MAX_ASPECT_RATIO}:1, which models refuse; crop it"
        raise DecodeError(msg, reason="too thin")


def images_of(folder: Path, num_frames: int) -> list[Path]:
    """The images of ``folder`` in the order of their numbers.

    Raises:
        DecodeError: If there are fewer than ``num_frames``, or the order of two of them is not clear.
    """
    names = in_number_order(str(folder), (path.name for path in files_in(folder, IMAGE_SUFFIXES)), DecodeError)
    if len(names) < num_frames:
        gap = gap_in_numbers(names)
        msg = f"{folder}: the folder holds {len(names)} images{gap and f' ({gap})'}, {num_frames} are needed"
        raise DecodeError(msg)
    return [folder / name for name in names]


@contextmanager
def opened_image(
    path: Path | str, content: bytes | None = None, formats: tuple[str, ...] = IMAGE_FORMATS
) -> Iterator[Image.Image]:
    """An image whose header has been read. Every image of this library is opened here.

    Args:
        path: The file; only a name for messages if there is ``content``.
        content: The bytes of an image that is no file of its own, such as one in a table.
        formats: Those that are decoded, of :data:`IMAGE_FORMATS`.

    Raises:
        DecodeError: If it is missing, no regular file, in none of the formats or broken, which may show only when its
            pixels are used; or if its size cannot be used, see :func:`require_size`.
    """
    try:
        opened = open_regular(Path(path)) if content is None else BytesIO(content)
        with opened as stream, Image.open(stream, formats=formats) as image:
            require_size(path, image.width, image.height)
            yield image
    except IMAGE_ERRORS as error:
        is_unknown = isinstance(error, UnidentifiedImageError)
        fault = f"is no {', '.join(formats)}, or cut short" if is_unknown else cause_of(error)
        msg = f"{path}: the image cannot be decoded ({fault})"
        raise DecodeError(msg) from error


def size_of_image(path: Path) -> tuple[int, int]:
    """Width and height of an image file from its header."""
    with opened_image(path) as image:
        return image.size


def is_turned(path: Path) -> bool:
    """Whether an image file asks viewers to turn or mirror it (EXIF orientation); it is read as it is stored."""
    with opened_image(path) as image:
        return bool(image.getexif().get(ExifTags.Base.Orientation, 1) != 1)


def read_image(path: Path, content: bytes | None = None) -> Tensor:
    """The stored pixels of one image file, or of ``content``, as uint8 [3, H, W] RGB.

    Grey is repeated, palettes are looked up, transparency is dropped, 16 bits are cut to the upper 8. A note on how to
    turn the image (EXIF orientation) is not followed, since boxes are given in stored pixels.

    Raises:
        DecodeError: If it is missing, broken or of a size that :func:`require_size` refuses.
    """
    with opened_image(path, content) as image:
        if image.mode == "F":
            msg = f"{path}: holds floating-point numbers, of which none is known to be white, save it with 8 bits"
            raise DecodeError(msg)
        if not image.mode.startswith("I"):
            return to_tensor(np.asarray(image.convert("RGB")))
        # of 16 bits of grey the upper 8, as for other images with 16 bits
        grey = (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)
        return to_tensor(np.repeat(grey[:, :, None], 3, axis=2))


def to_tensor(rgb: NDArray[np.uint8]) -> Tensor:
    """[H, W, 3] array to [3, H, W] tensor."""
    return torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))
