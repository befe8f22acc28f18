"""Images that stand in the rows of a benchmark's files. The files are untrusted."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from remot.data.records.tables import media_file
from remot.errors import AnnotationError
from remot.evaluation.benchmarks.base import EmbeddedImage


def images_of_row(where: str, value: object, root: Path) -> tuple[Path | EmbeddedImage, ...]:
    """Images of a row: paths, or the bytes of image files as tables of the Hugging Face hub hold them.

    Raises:
        AnnotationError: If it is no list of these.
    """
    if isinstance(value, str | bytes | Mapping):
        value = [value]
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        msg = f"{where}: images must be a list of paths"
        raise AnnotationError(msg, reason="shape")
    return tuple(_image(f"{where}: image {number}", one, root) for number, one in enumerate(value, 1))


def _image(where: str, value: object, root: Path) -> Path | EmbeddedImage:
    if isinstance(value, Mapping):
        content = value.get("bytes")
        value = content if isinstance(content, bytes) else value.get("path")
    if isinstance(value, bytes):
        return EmbeddedImage(where, value)
    if not isinstance(value, str) or not value:
        msg = f"{where} is neither a path nor the bytes of an image file"
        raise AnnotationError(msg, reason="shape")
    return media_file(where, value, root)
