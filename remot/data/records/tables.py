"""Rows of files that others made: JSON lines, JSON, CSV, TSV and Parquet. The files are untrusted."""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remot.data.annotations.base import require_object
from remot.data.records.jsonl import MAX_LINE_CHARS, listed_rows, read_json, read_lines
from remot.data.records.reading import find_media, names_of_media
from remot.errors import AnnotationError, ConfigError, DecodeError
from remot.files import cause_of, open_text, require_regular

#: Rows of a Parquet file that are in memory at a time; rows may hold images.
PARQUET_ROWS = 64
#: Most bytes that a column of a row group says it unpacks to.
MAX_COLUMN_BYTES = 2**30

Row = dict[str, Any]
#: Name of a part of a table on the Hugging Face hub.
_PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.parquet")


def rows_in(file: Path) -> Iterator[tuple[str, Row]]:
    """Where each row stands, for messages, and the row; an object of objects gives rows with their name as ``key``.

    Raises:
        AnnotationError: If the file cannot be read, or a row is no object.
        ConfigError: If the file is of another kind.
    """
    readers = {
        ".jsonl": lambda file: ((f"{file}: line {number}", row) for number, row in read_lines(file)),
        ".json": _json_file,
        ".csv": _separated,
        ".tsv": _separated,
        ".parquet": _parquet_file,
    }
    if file.suffix.lower() not in readers:
        msg = f"{file}: rows are read from {', '.join(readers)}; give such a file"
        raise ConfigError(msg)
    try:
        yield from readers[file.suffix.lower()](file)
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        msg = f"{file}: cannot be read ({cause_of(error)[:200]})"
        raise AnnotationError(msg) from error


def _json_file(file: Path) -> Iterator[tuple[str, Row]]:
    value = read_json(file)
    if isinstance(value, dict):
        for key, row in value.items():
            yield f"{file}: {key!r:.80}", {"key": key, **require_object(f"{file}: {key!r:.80}", row)}
    else:
        yield from listed_rows(file, value)


def _separated(file: Path) -> Iterator[tuple[str, Row]]:
    csv.field_size_limit(MAX_LINE_CHARS)
    with open_text(file) as stream:
        lines = iter(lambda: stream.readline(MAX_LINE_CHARS + 1), "")  # of a longer one a part, which is no field
        table = csv.DictReader(lines, delimiter="\t" if file.suffix.lower() == ".tsv" else ",")
        for number, row in enumerate(table, 1):
            yield f"{file}: row {number}", {key: value for key, value in row.items() if key is not None}


def _parquet_file(file: Path) -> Iterator[tuple[str, Row]]:
    import pyarrow.parquet

    require_regular(file)
    with pyarrow.parquet.ParquetFile(file) as table:
        number = 0
        for batch in table.iter_batches(batch_size=_rows_at_once(file, table.metadata)):
            for row in batch.to_pylist():
                number += 1
                yield f"{file}: row {number}", row


def _rows_at_once(file: Path, metadata: Any) -> int:  # noqa: ANN401 (pyarrow has no types)
    """Rows that fit into memory even if each is as long as a whole column of its group: a text can be stored once.

    Raises:
        AnnotationError: If a column of a group is too large by itself.
    """
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    columns = (group.column(index).total_uncompressed_size for group in groups for index in range(group.num_columns))
    longest = max(columns, default=0)
    if longest > MAX_COLUMN_BYTES:
        msg = f"{file}: a row group has a column of {longest} bytes, {MAX_COLUMN_BYTES} are read; write smaller groups"
        raise AnnotationError(msg, reason="too large")
    return max(1, min(PARQUET_ROWS, MAX_COLUMN_BYTES // max(1, longest)))


@dataclass(frozen=True)
class RowFiles:
    """The rows of one file, or of all parts of one table.

    Args:
        files: In order.
    """

    files: tuple[Path, ...]

    @property
    def folder(self) -> Path:
        """Where the files lie."""
        return self.files[0].parent

    def __iter__(self) -> Iterator[tuple[str, Row]]:
        """As :func:`rows_in`, file after file."""
        for file in self.files:
            yield from rows_in(file)


def rows_file(data: Path, *patterns: str) -> Path:
    """The one file of the rows: ``data`` itself, or that of a folder, see :func:`rows_of`.

    Raises:
        ConfigError: If there is none, or more than one.
    """
    files = rows_of(data, *patterns).files
    if len(files) > 1:
        msg = f"--data {data}: {len(files)} files hold the rows, such as {files[0].name}; name one of them"
        raise ConfigError(msg)
    return files[0]


def rows_of(data: Path, *patterns: str) -> RowFiles:
    """The rows of a file ``data``, or of the file of a folder that matches the first pattern that any file does.

    Parts of one table, such as ``test-00000-of-00004.parquet``, are read one after another.

    Raises:
        ConfigError: If there is none, or several files that are no such parts, or a part is missing.
    """
    if data.is_file():
        return RowFiles((data,))
    for pattern in patterns:
        found = sorted(data.glob(pattern)) if data.is_dir() else []
        parts = [match for file in found if (match := _PART.fullmatch(file.name))]
        is_whole = len({(part[1], part[3]) for part in parts}) == 1 and len(parts) == len(found) == int(parts[0][3])
        if len(found) == 1 or is_whole:
            return RowFiles(tuple(found))
        if found:
            msg = f"--data {data}: {len(found)} files match {pattern}, such as {found[0].name}; name one of them"
            raise ConfigError(msg)
    msg = f"--data {data}: there is no such file, nor a folder with {' or '.join(patterns)}"
    raise ConfigError(msg)


def media_file(where: str, name: str, root: Path) -> Path:
    """The file that :func:`find_media` finds; the whole path below ``root`` if there is none.

    What is missing is reported for all prompts together.

    Raises:
        AnnotationError: If the path leads outside ``root``.
    """
    try:
        return find_media(where, name, root)
    except DecodeError:
        return root / names_of_media(name)[-1 if Path(name).suffix else 1].lstrip("/")


def string_in(where: str, row: Mapping[str, Any], *keys: str) -> str:
    """The text or number under the first of ``keys`` that the row has, as text.

    Raises:
        AnnotationError: If it has none, or it is something else.
    """
    for key in keys:
        value = row.get(key)
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return str(value)
    msg = f"{where}: has no text under {' or '.join(keys)}"
    raise AnnotationError(msg, reason="missing")


def number_of(where: str, row: Mapping[str, Any], key: str) -> float:
    """The finite number under a key; texts that are numbers count, as tables write them.

    Raises:
        AnnotationError: If there is none.
    """
    try:
        number = float(row[key])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        msg = f"{where}: {key} must be a number, found {row.get(key)!r:.60}"
        raise AnnotationError(msg) from error
    if number - number != 0:
        msg = f"{where}: {key} is not finite"
        raise AnnotationError(msg, reason="not finite")
    return number
