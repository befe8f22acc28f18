"""Folders of recordings: their names, their images in number order, and their tables of numbers."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from remot.data.annotations.base import media_inside, read_text
from remot.data.media.images import IMAGE_ERRORS, IMAGE_SUFFIXES, opened_image
from remot.errors import AnnotationError, ConfigError, DecodeError
from remot.files import files_in, in_number_order, lines_of
from remot.structures import FloatArray

#: How programs built for Windows may write NaN and infinity: ``-1.#IND``, ``1.#QNAN``, ``1.#INF``.
NOT_FINITE = re.compile(r"^[+-]?1\.#[A-Z0-9]+$")
#: A line that is a comment starts with this.
COMMENT = "#"


def sequence_id(folder: Path, root: Path) -> str:
    """Name of a recording: its path below ``root`` with ``-`` between the folders, safe as a file name."""
    folder, root = folder.resolve(), root.resolve()
    parts = folder.relative_to(root).parts if folder.is_relative_to(root) else ()
    name = re.sub(r"[^A-Za-z0-9._-]", "_", "-".join(parts or (folder.name,)))
    return name.lstrip("._-") or "sequence"


def image_names(folder: Path) -> list[str]:
    """Names of the images in ``folder`` in number order; empty if there is no such folder.

    Raises:
        AnnotationError: If the order of two of them is not clear.
    """
    if not folder.is_dir():
        return []
    names = (path.name for path in files_in(folder, IMAGE_SUFFIXES))
    return in_number_order(str(folder), names, AnnotationError)


def images_at(folder: Path, root: Path, names: Iterable[str]) -> tuple[Path, ...]:
    """The images ``names``, which are paths relative to ``folder``.

    Raises:
        AnnotationError: If one leads outside ``root`` or does not exist.
    """
    beside = folder / "pictures"  # media are looked up beside a file
    return tuple(media_inside(beside, root, name) for name in names)


def is_file(path: Path) -> bool:
    """Whether ``path``, which may come out of a hostile file, is a file."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def image_size(image: Path) -> tuple[int, int] | None:
    """Width and height in pixels, None if the image cannot be read."""
    try:
        with opened_image(image) as opened:
            return opened.size
    except (DecodeError, *IMAGE_ERRORS):
        return None


def table_rows(file: Path, delimiter: str | None = None) -> Iterator[tuple[int, list[str]]]:
    """Line number and words of every line of a text table that is neither empty nor a comment.

    Args:
        file: The table.
        delimiter: Between the words; None for white space.

    Raises:
        AnnotationError: If the file cannot be read.
    """
    for number, line in enumerate(lines_of(read_text(file)), start=1):
        stripped = line.strip()
        if stripped and not stripped.startswith(COMMENT):
            yield number, [word.strip() for word in stripped.split(delimiter)]


def numbers_in(where: str, words: list[str], num_columns: int, *, finite: bool = True) -> FloatArray:
    """``words`` as [num_columns] numbers.

    Raises:
        AnnotationError: If there are more or fewer, one is no number, or one is not finite.
    """
    try:
        numbers = np.array([float(NOT_FINITE.sub("nan", word)) for word in words])
    except ValueError:
        numbers = np.array([])
    if len(numbers) != num_columns:
        msg = f"{where} must hold {num_columns} numbers, found {' '.join(words)[:60]!r}"
        raise AnnotationError(msg)
    if finite and not np.isfinite(numbers).all():
        msg = f"{where} holds NaN or infinity, give finite numbers"
        raise AnnotationError(msg, reason="not finite")
    return numbers


def number_table(file: Path, num_columns: int, *, finite: bool = True) -> FloatArray:
    """A text table of numbers, [N, num_columns].

    Raises:
        AnnotationError: Naming the line that does not fit; or if there is no line.
    """
    rows = [numbers_in(f"{file}: line {k}", words, num_columns, finite=finite) for k, words in table_rows(file)]
    if not rows:
        msg = f"{file}: holds no row of numbers, remove the file or add rows"
        raise AnnotationError(msg, reason="zero length")
    return np.stack(rows)


def number_matrix(file: Path, shape: tuple[int, int], *, finite: bool = True) -> FloatArray:
    """One matrix [shape] in a text file.

    Raises:
        AnnotationError: If it holds something else.
    """
    matrix = number_table(file, shape[1], finite=finite)
    if len(matrix) != shape[0]:
        msg = f"{file}: holds {len(matrix)} rows of {shape[1]} numbers, expected {shape[0]}"
        raise AnnotationError(msg, reason="shape")
    return matrix


def check_fps(fps: float) -> float:
    """``fps`` if images can follow each other at that rate.

    Raises:
        ConfigError: If it is not above 0.
    """
    if not 0 < fps < float("inf"):
        msg = f"fps is {fps}; give the number of images per second"
        raise ConfigError(msg)
    return fps
