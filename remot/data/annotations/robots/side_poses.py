"""Poses of effectors from a NumPy archive beside an episode, such as those of forward kinematics."""

import io
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from remot.data.annotations.cameras.poses import is_rigid
from remot.errors import AnnotationError
from remot.files import cause_of, open_regular
from remot.structures import FloatArray

#: Longest array that is read, in bytes unpacked.
MAX_ARRAY_BYTES = 256 * 2**20
#: What broken archives raise; a RuntimeError is one that asks for a password.
ZIP_ERRORS = (
    *(zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError),
    *(zlib.error, lzma.LZMAError, struct.error),
)


def read_positions(file: Path, names: Mapping[str, str], num_frames: int) -> dict[str, FloatArray]:
    """Positions of effectors from an ``.npz`` archive.

    Args:
        file: The archive; its arrays are numbers, never pickled objects.
        names: Array of each effector, by the effector's name. An array holds positions [N, 3] or rigid poses
            [N, 4, 4], in metres.
        num_frames: N that is expected.

    Returns:
        [N, 3] for each effector.

    Raises:
        AnnotationError: If the archive or an array is missing, broken, too large, not finite, not rigid, or does not
            have N rows.
    """
    if not file.is_file():
        msg = f"{file}: the file of poses is missing, put it there or leave poses_file out"
        raise AnnotationError(msg, reason="missing")
    with opened_archive(file) as archive:
        return {
            name: _positions(file, array, read_array(file, archive, array), num_frames) for name, array in names.items()
        }


@contextmanager
def opened_archive(file: Path) -> Iterator[zipfile.ZipFile]:
    """A NumPy archive, open for reading.

    Raises:
        AnnotationError: If it cannot be read, which may show only when its arrays are.
    """
    try:
        with open_regular(file) as stream, zipfile.ZipFile(stream) as archive:
            yield archive
    except ZIP_ERRORS as error:
        msg = f"{file}: cannot be read as a NumPy archive ({cause_of(error)})"
        raise AnnotationError(msg) from error


def read_array(file: Path, archive: zipfile.ZipFile, name: str) -> FloatArray:
    """One array, whose header must agree with the bytes that follow, so that none claims the whole memory."""
    if f"{name}.npy" not in archive.namelist():
        held = ", ".join(sorted(entry.removesuffix(".npy") for entry in archive.namelist()))
        msg = f"{file}: array {name!r:.60} is missing, found {held:.200}"
        raise AnnotationError(msg)
    with archive.open(f"{name}.npy") as member:
        content = member.read(MAX_ARRAY_BYTES + 1)
    if len(content) > MAX_ARRAY_BYTES:
        msg = f"{file}: array {name} is longer than {MAX_ARRAY_BYTES} bytes"
        raise AnnotationError(msg, reason="too large")
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(stream)
        if (
            dtype.kind not in "fiu"
            or int(np.prod(shape, dtype=object)) * dtype.itemsize != len(content) - stream.tell()
        ):
            msg = f"{file}: array {name} must hold plain numbers, as many as its header says"
            raise AnnotationError(msg)
        stream.seek(0)
        return np.asarray(np.lib.format.read_array(stream, allow_pickle=False), dtype=np.float64)
    except (ValueError, TypeError, RecursionError, MemoryError) as error:  # the header is a literal of Python
        msg = f"{file}: array {name} is no NumPy array of numbers ({str(error)[:120]})"
        raise AnnotationError(msg) from error


def _positions(file: Path, name: str, array: FloatArray, num_frames: int) -> FloatArray:
    if array.shape[1:] not in {(3,), (4, 4)}:
        msg = f"{file}: array {name} has shape {'x'.join(map(str, array.shape))}, expected Nx3 or Nx4x4"
        raise AnnotationError(msg, reason="shape")
    if len(array) != num_frames:
        msg = f"{file}: array {name} has {len(array)} rows for {num_frames} frames"
        raise AnnotationError(msg, reason="unsynchronised")
    if not np.isfinite(array).all():
        msg = f"{file}: array {name} holds NaN or infinity"
        raise AnnotationError(msg, reason="not finite")
    if array.ndim == 2:
        return array
    if not is_rigid(array).all():
        msg = f"{file}: array {name} holds a pose that is not a rigid motion, give rotations without scale or flip"
        raise AnnotationError(msg, reason="pose")
    return array[:, :3, 3]
