"""Arrays of numbers from HDF5 files, which may not lead to other files."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from remot.errors import AnnotationError, ConfigError, RemotError
from remot.files import cause_of, require_regular

if TYPE_CHECKING:
    import h5py

#: Most numbers of an array that is read.
MAX_VALUES = 50_000_000
#: Most bytes that are unpacked for a value: compressed arrays are unpacked a whole chunk at a time.
MAX_CHUNK_BYTES = 256 * 2**20
READ_ERRORS = (OSError, KeyError, ValueError, RuntimeError, TypeError)


@contextmanager
def opened_hdf5(file: Path, error_type: type[RemotError] = AnnotationError) -> Iterator["h5py.File"]:
    """An HDF5 file, open for reading.

    Args:
        file: The file.
        error_type: What to raise if it cannot be opened.

    Raises:
        ConfigError: If the package that reads HDF5 is not installed.
        RemotError: Of ``error_type``.
    """
    try:
        import h5py
    except ImportError as error:
        msg = f"{file} is an HDF5 file, which needs a package that is not installed: pip install remot[robots]"
        raise ConfigError(msg) from error
    try:
        require_regular(file)  # the library would wait for a pipe
        content = h5py.File(file, "r")
    except OSError as error:
        msg = f"{file}: cannot be read as HDF5, it may be missing or cut short ({cause_of(error)})"
        raise error_type(msg) from error
    with content:
        yield content


def plain_dataset(
    content: "h5py.File", name: str, error_type: type[RemotError] = AnnotationError, *, where: str | None = None
) -> "h5py.Dataset":
    """A data set whose bytes lie in this very file.

    HDF5 has links, raw storage and virtual data sets that read any other file of the machine; none is followed.

    Args:
        content: The open file.
        name: Path of the data set.
        error_type: What to raise.
        where: Name of the file for errors.

    Raises:
        RemotError: Of ``error_type``, if there is no such data set or its bytes lie elsewhere.
    """
    import h5py

    where, node = where or str(content.filename), content
    for part in name.strip("/").split("/"):
        link = node.get(part, getlink=True) if isinstance(node, h5py.Group) else None
        if link is None:
            held = ", ".join(sorted(node)) if isinstance(node, h5py.Group) else "an array"
            msg = f"{where}: there is no {name!r:.80}, found {held:.200}"
            raise error_type(msg)
        if not isinstance(link, h5py.HardLink):
            msg = f"{where}: {name} is a link, which is not followed; copy the array into the file"
            raise error_type(msg, reason="outside root")
        node = node[part]
    if not isinstance(node, h5py.Dataset) or not node.shape:
        msg = f"{where}: {name} is no array"
        raise error_type(msg)
    if node.external or node.is_virtual:
        msg = f"{where}: {name} keeps its bytes in another file, which is not read; copy the array into the file"
        raise error_type(msg, reason="outside root")
    chunk_bytes = math.prod(node.chunks or ()) * node.dtype.itemsize
    if node.chunks is not None and chunk_bytes > MAX_CHUNK_BYTES:
        msg = f"{where}: {name} has chunks of {chunk_bytes} bytes, more than {MAX_CHUNK_BYTES}; store smaller ones"
        raise error_type(msg, reason="too large")
    return node


def read_array(content: "h5py.File", name: str) -> NDArray[Any]:
    """An array of finite numbers, in the type it is stored in."""
    dataset, where = plain_dataset(content, name), f"{content.filename}: {name}"
    if dataset.dtype.kind not in "iuf":
        msg = f"{where} must hold numbers, found {dataset.dtype}"
        raise AnnotationError(msg)
    if dataset.size > MAX_VALUES:
        msg = f"{where} holds {dataset.size} numbers, more than {MAX_VALUES}"
        raise AnnotationError(msg, reason="too large")
    try:
        values = np.asarray(dataset[()])
    except READ_ERRORS as error:
        msg = f"{where} cannot be read, the file may be cut short ({cause_of(error)})"
        raise AnnotationError(msg) from error
    if not np.isfinite(values).all():
        msg = f"{where} holds NaN or infinity, leave the episode out"
        raise AnnotationError(msg, reason="not finite")
    return values


def members(content: "h5py.File", name: str) -> list[str]:
    """Names in a group, in order; empty if there is no such group."""
    import h5py

    node = content
    for part in name.strip("/").split("/"):
        if not isinstance(node, h5py.Group) or not isinstance(node.get(part, getlink=True), h5py.HardLink):
            return []
        node = node[part]
    return sorted(node) if isinstance(node, h5py.Group) else []
