"""Images that lie inside other files: encoded ones at known places, and data sets of HDF5 files."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from remot.data.media.images import MAX_IMAGE_PIXELS, opened_image, to_tensor
from remot.errors import DecodeError
from remot.files import cause_of, open_regular
from remot.structures import ImageStore

if TYPE_CHECKING:
    import h5py

#: Longest encoded image that is decoded, in bytes.
MAX_ENCODED_BYTES = 64 * 2**20
FORMATS = ("JPEG", "PNG")

ChannelOrder = Literal["rgb", "bgr"]


@dataclass(frozen=True)
class EncodedImages(ImageStore):
    """JPEG or PNG images at known places of a file, such as a TFRecord.

    Args:
        file: The file.
        spans: Offset and length in bytes of each frame's image.
        name: What they are, for messages.
    """

    file: Path
    spans: tuple[tuple[int, int], ...]
    name: str = "images"

    def read(self, frame_indices: Sequence[int]) -> list[Tensor]:
        """Images of annotated frames in the order asked for, uint8 [3, H, W] RGB.

        Raises:
            DecodeError: If one is not there or cannot be decoded.
        """
        return list(self.each(frame_indices))

    def each(self, frame_indices: Sequence[int]) -> Iterator[Tensor]:
        """As :meth:`read`, one after another."""
        self.check(max(frame_indices, default=-1) + 1)
        try:
            with open_regular(self.file) as stream:
                for index in frame_indices:
                    offset, length = self.spans[index]
                    stream.seek(offset)
                    yield to_tensor(decode_image(stream.read(length), f"{self}: image {index}"))
        except OSError as error:
            msg = f"{self}: the file cannot be read ({cause_of(error)})"
            raise DecodeError(msg) from error

    def check(self, num_frames: int) -> None:
        """Verify that the file is long enough to hold ``num_frames`` images.

        Raises:
            DecodeError: If it is missing, too short or names too few images.
        """
        size = self.file.stat().st_size if self.file.is_file() else -1
        if size < 0 or len(self.spans) < num_frames:
            msg = f"{self}: {len(self.spans)} images, {num_frames} are needed; fetch the file again"
            raise DecodeError(msg)
        if any(not 0 < length <= MAX_ENCODED_BYTES or offset + length > size for offset, length in self.spans):
            msg = f"{self}: an image lies beyond the end of the file or is too large, the file may be cut short"
            raise DecodeError(msg)

    def __str__(self) -> str:
        return f"{self.file}: {self.name}"


@dataclass(frozen=True)
class Hdf5Images(ImageStore):
    """Images in a data set of an HDF5 file: [N, H, W, 3] bytes, or one row of JPEG bytes for each frame.

    Rows of JPEG bytes may be padded with zeros to one length; whatever follows an image's end is not looked at.

    Args:
        file: The HDF5 file.
        dataset: Path of the data set in it.
        channel_order: Order of the colours in the file. ``bgr`` is what a program leaves behind that hands RGB images
            to an encoder which expects BGR.
    """

    file: Path
    dataset: str
    channel_order: ChannelOrder = "rgb"

    def read(self, frame_indices: Sequence[int]) -> list[Tensor]:
        """Images of annotated frames in the order asked for, uint8 [3, H, W] RGB.

        Raises:
            DecodeError: If one is not there or cannot be decoded.
        """
        return list(self.each(frame_indices))

    def each(self, frame_indices: Sequence[int]) -> Iterator[Tensor]:
        """As :meth:`read`, one after another."""
        # imported here because the readers of this package import this module
        from remot.data.media.hdf5 import READ_ERRORS, opened_hdf5, plain_dataset

        try:
            with opened_hdf5(self.file, DecodeError) as content:
                dataset = plain_dataset(content, self.dataset, DecodeError)
                self._check(dataset, max(frame_indices, default=-1) + 1)
                for index in frame_indices:
                    row = np.asarray(dataset[index])
                    if row.dtype != np.uint8 or row.ndim not in {1, 3}:
                        msg = f"{self}: image {index} must hold bytes, found {row.dtype}"
                        raise DecodeError(msg)
                    rgb = row if row.ndim == 3 else decode_image(row.tobytes(), f"{self}: image {index}")
                    yield to_tensor(rgb[:, :, ::-1] if self.channel_order == "bgr" else rgb)
        except READ_ERRORS as error:
            msg = f"{self}: cannot be read, the file may be cut short ({cause_of(error)})"
            raise DecodeError(msg) from error

    def check(self, num_frames: int) -> None:
        """Verify that the data set has a row of images for ``num_frames`` frames."""
        from remot.data.media.hdf5 import opened_hdf5, plain_dataset

        with opened_hdf5(self.file, DecodeError) as content:
            dataset = plain_dataset(content, self.dataset, DecodeError)
            self._check(dataset, num_frames)

    def _check(self, dataset: "h5py.Dataset", num_frames: int) -> None:
        shape: tuple[int, ...] = dataset.shape
        if len(dataset) < num_frames:
            msg = f"{self}: {len(dataset)} images, {num_frames} are needed"
            raise DecodeError(msg)
        if math.prod(shape[1:]) * dataset.dtype.itemsize > 3 * MAX_IMAGE_PIXELS or not (
            len(shape) <= 2 or (len(shape) == 4 and shape[3] == 3)
        ):
            msg = f"{self}: shape {'x'.join(map(str, shape))} is neither NxHxWx3 nor rows of encoded images"
            raise DecodeError(msg)

    def __str__(self) -> str:
        return f"{self.file}: {self.dataset}"


def decode_image(encoded: bytes, where: str) -> NDArray[np.uint8]:
    """A JPEG or PNG image as [H, W, 3] RGB.

    Raises:
        DecodeError: If it is something else, broken or too large.
    """
    with opened_image(where, encoded, FORMATS) as image:
        return np.asarray(image.convert("RGB"))
