"""Text files with one row of numbers for each box, pose or frame."""

import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from remot.data.annotations.base import numbered_lines, read_text
from remot.errors import AnnotationError
from remot.files import lines_of
from remot.structures import FloatArray

#: Boxes further out than this many pixels are a mistake in the file, not a large image.
MAX_PIXELS = 100_000.0
#: How programs built for Windows may write NaN and infinity: ``-1.#IND``, ``1.#QNAN``, ``1.#INF``.
NOT_FINITE = re.compile(r"^[+-]?1\.#[A-Z0-9]+$")
#: A line that is a comment starts with this.
COMMENT = "#"


def table_rows(file: Path, delimiter: str | None = None) -> Iterator[tuple[str, list[str]]]:
    """Name for messages and words of every line of a text table that is neither empty nor a comment.

    Args:
        file: The table.
        delimiter: Between the words; None for white space.
    """
    for where, line in numbered_lines(file):
        if not line.strip().startswith(COMMENT):
            yield where, [word.strip() for word in line.strip().split(delimiter)]


def numbers_in(
    where: str, words: Sequence[str], widths: int | Collection[int], *, finite: bool = True, line: str = ""
) -> FloatArray:
    """``words`` as numbers, as many as ``widths`` says or allows.

    Args:
        where: File and line, for errors.
        words: One for each number.
        widths: Allowed numbers of words.
        finite: Refuse NaN and infinity.
        line: How the words stand in the file, for errors; separated by spaces by default.

    Raises:
        AnnotationError: If there are more or fewer, one is no number, or one is not finite.
    """
    allowed = {widths} if isinstance(widths, int) else set(widths)
    try:
        numbers = np.array([float(NOT_FINITE.sub("nan", word)) for word in words], dtype=np.float64)
    except ValueError:
        numbers = None
    if numbers is None or len(numbers) not in allowed:
        wanted = " or ".join(str(width) for width in sorted(allowed))
        msg = f"{where} must hold {wanted} numbers, found {(line or ' '.join(words))[:60]!r}"
        raise AnnotationError(msg)
    if finite and not np.isfinite(numbers).all():
        msg = f"{where} holds NaN or infinity, give finite numbers"
        raise AnnotationError(msg, reason="not finite")
    return numbers


def number_table(file: Path, num_columns: int, *, num_rows: int | None = None, finite: bool = True) -> FloatArray:
    """A text table of numbers, [N, num_columns], with comments and blank lines left out.

    Args:
        file: The text file.
        num_columns: Numbers in each row.
        num_rows: N that is expected; None allows any number above 0.
        finite: Refuse NaN and infinity.

    Raises:
        AnnotationError: Naming the line that does not fit; or if there is no line, or another number of lines.
    """
    rows = [numbers_in(where, words, num_columns, finite=finite) for where, words in table_rows(file)]
    _require_rows(file, rows)
    if num_rows is not None and len(rows) != num_rows:
        msg = f"{file}: holds {len(rows)} rows of {num_columns} numbers, expected {num_rows}"
        raise AnnotationError(msg, reason="shape")
    return np.stack(rows)


def read_number_rows(file: Path, widths: Collection[int], *, finite: bool = True) -> FloatArray:
    """The rows [R, C] of a file whose numbers are separated by commas, tabs or spaces.

    Empty lines at the end are left out; one in the middle is refused, because a row's place often says which image it
    belongs to.

    Args:
        file: The text file.
        widths: Allowed numbers of columns C, the same one in all rows.
        finite: Refuse NaN and infinity.
    """
    lines = lines_of(read_text(file).rstrip())
    _require_rows(file, lines)
    rows: list[FloatArray] = []
    for number, line in enumerate(lines, start=1):
        allowed = len(rows[0]) if rows else widths
        words = line.replace(",", " ").split()
        rows.append(numbers_in(f"{file}: line {number}", words, allowed, finite=finite, line=line))
    return np.stack(rows)


def _require_rows(file: Path, rows: Sequence[object]) -> None:
    if not rows:
        msg = f"{file}: holds no row of numbers, remove the file or fetch it again"
        raise AnnotationError(msg, reason="zero length")


def xyxy_from_xywh(where: str, boxes_xywh: FloatArray, first_pixel: int) -> FloatArray:
    """Boxes [R, 4] left, top, right, bottom, the origin at the top left corner of the image.

    Args:
        where: File, for errors; rows are counted from 1.
        boxes_xywh: [R, 4] left, top, width, height in pixels; rows of NaN stay NaN.
        first_pixel: Coordinate of the first pixel in the source, 1 in Matlab's counting, else 0.

    Raises:
        AnnotationError: Naming the row of a box that is partly NaN, infinite, empty or absurdly large.
    """
    hidden = np.isnan(boxes_xywh).sum(axis=1, keepdims=True) == 4
    given = np.where(hidden, 1.0, boxes_xywh)
    _refuse(where, ~np.isfinite(given), "is partly NaN or infinite", "not finite")
    _refuse(where, given[:, 2:] <= 0, "has no width or no height", "zero length")
    _refuse(where, np.abs(given) > MAX_PIXELS, f"reaches beyond {MAX_PIXELS:.0f} pixels", "too large")
    corner = boxes_xywh[:, :2] - first_pixel
    return np.concatenate([corner, corner + boxes_xywh[:, 2:]], axis=1)


def require_xyxy(where: str, boxes_xyxy: FloatArray) -> FloatArray:
    """``boxes_xyxy`` [R, 4] if all are left, top, right, bottom of something that has an area.

    Raises:
        AnnotationError: Naming the row of a box that is empty or absurdly large.
    """
    _refuse(where, boxes_xyxy[:, 2:] <= boxes_xyxy[:, :2], "has no width or no height", "zero length")
    _refuse(where, np.abs(boxes_xyxy) > MAX_PIXELS, f"reaches beyond {MAX_PIXELS:.0f} pixels", "too large")
    return boxes_xyxy


def whole_numbers(where: str, name: str, values: FloatArray, smallest: int, largest: int) -> NDArray[np.int64]:
    """Values [R] as integers in [smallest, largest].

    Raises:
        AnnotationError: Naming the row and the value that is none.
    """
    bad = (values != np.round(values)) | (values < smallest) | (values > largest)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        msg = f"{where}: row {row + 1} has {name} {values[row]:g}, expected a whole number from {smallest} to {largest}"
        raise AnnotationError(msg)
    return values.astype(np.int64)


def _refuse(where: str, bad: NDArray[np.bool_], fault: str, reason: str) -> None:
    """Name the first row of ``bad`` [R, C] that holds a True."""
    if bad.any():
        msg = f"{where}: the box of row {int(np.argwhere(bad)[0, 0]) + 1} {fault}, correct or remove it"
        raise AnnotationError(msg, reason=reason)
