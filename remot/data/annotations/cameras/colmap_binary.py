"""COLMAP's binary spelling of cameras and images, read without trusting what it says about its own size.

Little-endian, no padding, as COLMAP's ``reconstruction_io`` writes it. ``cameras.bin``: a count (uint64), then for
each camera id (uint32), model (int32), width and height (uint64) and the model's parameters (double). ``images.bin``:
a count, then for each image id (uint32), quaternion w x y z and translation (7 doubles), camera (uint32), name
ending in a zero byte, number of points (uint64), and for each point x, y (double) and an id (uint64).
"""

import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from remot.data.annotations.cameras.colmap_model import (
    CAMERA_MODELS,
    ModelImage,
    pinhole_of,
)
from remot.errors import AnnotationError
from remot.files import cause_of, open_regular
from remot.structures import FloatArray

#: Longest file that is read; the points are skipped, so that only cameras and poses take memory.
MAX_BINARY_BYTES = 4 * 2**30
MAX_NAME_BYTES = 4096
BYTES_PER_POINT = 24
#: Fewest bytes of a camera (three parameters) and of an image (an empty name, no point).
MIN_CAMERA_BYTES = 4 + 4 + 8 + 8 + 3 * 8
MIN_IMAGE_BYTES = 4 + 7 * 8 + 4 + 1 + 8


@dataclass(eq=False)
class _Cursor:
    """Reads numbers one after the other and refuses to leave the file.

    Args:
        file: Named in errors.
        data: Its bytes.
        place: Number of the next byte.
    """

    file: Path
    data: mmap.mmap | bytes
    place: int = 0

    def take(self, layout: str) -> tuple[int | float, ...]:
        """The next numbers in the ``struct`` layout ``layout``, little-endian."""
        begin = self.place
        self.skip(struct.calcsize("<" + layout))
        return struct.unpack_from("<" + layout, self.data, begin)

    def skip(self, num_bytes: int) -> None:
        """Move on by ``num_bytes``."""
        if self.place + num_bytes > len(self.data):
            msg = (
                f"{self.file}: ends at byte {len(self.data)}, {num_bytes} more were expected at {self.place}; it is cut"
            )
            raise AnnotationError(msg, reason="malformed")
        self.place += num_bytes

    def records(self, min_bytes: int, what: str) -> Iterator[int]:
        """The numbers of the file's records from 0; refuses a file that goes on after as many as it declares."""
        yield from range(self.count(min_bytes, what))
        num_left = len(self.data) - self.place
        if num_left:
            msg = f"{self.file}: goes on for {num_left} bytes after the {what} that it declares; export it again"
            raise AnnotationError(msg, reason="unsynchronised")

    def count(self, min_bytes: int, what: str) -> int:
        """A number of records of at least ``min_bytes`` each, which must fit into what is left."""
        number = int(self.take("Q")[0])
        if number * min_bytes > len(self.data) - self.place:
            msg = f"{self.file}: claims {number} {what} but is {len(self.data)} bytes long; it is cut or damaged"
            raise AnnotationError(msg, reason="too large")
        return number

    def text(self) -> str:
        """Text up to the next zero byte."""
        end = self.data.find(b"\0", self.place, self.place + MAX_NAME_BYTES)
        if end < 0:
            msg = f"{self.file}: the name at byte {self.place} does not end, the file is cut or damaged"
            raise AnnotationError(msg)
        name = bytes(self.data[self.place : end])
        self.place = end + 1
        try:
            return name.decode("utf-8")
        except UnicodeDecodeError as error:
            msg = f"{self.file}: the name {name[:40]!r} is not UTF-8"
            raise AnnotationError(msg) from error


@contextmanager
def _opened(file: Path) -> Iterator[_Cursor]:
    try:
        size = file.stat().st_size
        if size > MAX_BINARY_BYTES:
            msg = f"{file}: longer than {MAX_BINARY_BYTES} bytes, split the model"
            raise AnnotationError(msg, reason="too large")
        if size == 0:
            yield _Cursor(file, b"")
            return
        with open_regular(file) as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield _Cursor(file, data)
    except OSError as error:
        msg = f"{file}: cannot be read ({cause_of(error)})"
        raise AnnotationError(msg) from error


def read_cameras_binary(file: Path) -> dict[int, FloatArray]:
    """Pinhole matrices [3, 3] by camera number.

    Raises:
        AnnotationError: If the file is cut, claims more than it holds, or has a model that is not known.
    """
    found = {}
    with _opened(file) as cursor:
        for _ in cursor.records(MIN_CAMERA_BYTES, "cameras"):
            camera_id, model, _width, _height = (int(number) for number in cursor.take("IiQQ"))
            num_params = CAMERA_MODELS[model][1] if model in CAMERA_MODELS else 0
            params = np.array(cursor.take(f"{num_params}d"))
            found[camera_id] = pinhole_of(f"{file}: camera {camera_id}", model, params)
    return found


def read_images_binary(file: Path) -> list[ModelImage]:
    """Registered images.

    Raises:
        AnnotationError: If the file is cut or claims more than it holds.
    """
    found = []
    with _opened(file) as cursor:
        for _ in cursor.records(MIN_IMAGE_BYTES, "images"):
            _image_id, *numbers, camera_id = cursor.take("I7dI")
            found.append(ModelImage(cursor.text(), int(camera_id), np.array(numbers)))
            cursor.skip(cursor.count(BYTES_PER_POINT, "points") * BYTES_PER_POINT)
    return found
