"""Columns of numbers and texts from Parquet files of bounded size.

Only numbers, lists of numbers and texts are read. Nothing is unpickled: columns of any other type are refused.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from remot.errors import AnnotationError
from remot.files import cause_of, require_regular
from remot.structures import FloatArray

#: Most rows of a file that is read.
MAX_ROWS = 4_000_000
#: Most numbers in the columns that are read; a list counts its entries.
MAX_VALUES = 100_000_000
#: Most bytes that these columns unpack to, as the file states.
MAX_BYTES = 2 * 2**30
#: The same for columns of texts.
MAX_TEXT_BYTES = 256 * 2**20

READ_ERRORS = (pa.ArrowException, OSError, ValueError)


def read_columns(file: Path, columns: Sequence[str]) -> pa.Table:
    """The named columns of a file.

    Raises:
        AnnotationError: If the file is missing, broken or too large, or a column is not there.
    """
    if not file.is_file():
        msg = f"{file}: the file is missing, fetch the data set again"
        raise AnnotationError(msg, reason="missing")
    try:
        require_regular(file)
        schema = pq.read_schema(file, memory_map=False)
        # Texts stay numbers of a dictionary: a few kilobytes can stand for one long text in millions of rows.
        texts = [name for name in columns if name in schema.names and pa.types.is_string(schema.field(name).type)]
        with pq.ParquetFile(file, memory_map=False, read_dictionary=texts) as parquet:
            _check_size(file, parquet.metadata, columns)
            found = parquet.schema_arrow.names
            if missing := [name for name in columns if name not in found]:
                shown = ", ".join(found[:12]) + (f", … ({len(found)} columns)" if len(found) > 12 else "")
                msg = f"{file}: column {missing[0]!r:.80} is missing, found {shown}"
                raise AnnotationError(msg)
            return parquet.read(columns=list(columns), use_threads=False)
    except READ_ERRORS as error:
        msg = f"{file}: cannot be read as Parquet, it may be cut short ({cause_of(error):.120})"
        raise AnnotationError(msg) from error


def column_names(file: Path) -> list[str]:
    """Names of a file's columns."""
    try:
        require_regular(file)
        return [str(name) for name in pq.read_schema(file, memory_map=False).names]
    except READ_ERRORS as error:
        msg = f"{file}: cannot be read as Parquet, it may be cut short ({cause_of(error):.120})"
        raise AnnotationError(msg) from error


def numbers(file: Path, table: pa.Table, column: str) -> FloatArray:
    """One column as numbers.

    Args:
        file: Named in errors.
        table: What :func:`read_columns` returned.
        column: Of numbers, or of lists of one length.

    Returns:
        [N, width]; width is 1 for a column of plain numbers.

    Raises:
        AnnotationError: If it holds something else, nulls, or lists of different lengths.
    """
    array = table.column(column).combine_chunks()
    num_rows = len(array)
    if num_rows == 0:
        return np.zeros((0, 1))
    while pa.types.is_list(array.type) or pa.types.is_large_list(array.type) or pa.types.is_fixed_size_list(array.type):
        _require_even(file, column, array)
        array = array.flatten()
    if array.null_count or not (pa.types.is_floating(array.type) or pa.types.is_integer(array.type)):
        msg = f"{file}: column {column!r} must hold numbers without gaps, found {array.type}"
        raise AnnotationError(msg)
    values: FloatArray = array.to_numpy(zero_copy_only=False).astype(np.float64)
    return values.reshape(num_rows, -1)


def integers(file: Path, table: pa.Table, column: str) -> list[int]:
    """One column of whole numbers."""
    values = numbers(file, table, column)
    if values.shape[1] != 1 or not np.all(values == np.floor(values)):
        msg = f"{file}: column {column!r} must hold whole numbers"
        raise AnnotationError(msg)
    return [int(value) for value in values[:, 0]]


def texts(file: Path, table: pa.Table, column: str) -> list[str]:
    """One column of texts."""
    values: list[Any] = []
    for chunk in table.column(column).chunks:
        is_coded = pa.types.is_dictionary(chunk.type)
        held = (chunk.dictionary if is_coded else chunk).to_pylist()
        values += [None if k is None else held[k] for k in chunk.indices.to_pylist()] if is_coded else held
    if not all(isinstance(value, str) for value in values):
        msg = f"{file}: column {column!r} must hold texts"
        raise AnnotationError(msg)
    return values


def _require_even(file: Path, column: str, array: pa.Array) -> None:
    if array.null_count:
        msg = f"{file}: column {column!r} has rows without a value"
        raise AnnotationError(msg)
    if not pa.types.is_fixed_size_list(array.type):
        lengths = np.diff(array.offsets.to_numpy(zero_copy_only=False))
        if not np.all(lengths == lengths[0]):
            msg = f"{file}: column {column!r} holds lists of {lengths.min()} to {lengths.max()}, not of one length"
            raise AnnotationError(msg, reason="shape")


def _check_size(file: Path, metadata: pq.FileMetaData, columns: Sequence[str]) -> None:
    """Refuse what would not fit into memory, judged by the file's own account before anything is read."""
    num_values = num_bytes = num_text_bytes = 0
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for index in range(row_group.num_columns):
            chunk = row_group.column(index)
            name = chunk.path_in_schema
            if any(name == column or name.startswith(f"{column}.") for column in columns):
                num_values += chunk.num_values
                num_bytes += chunk.total_uncompressed_size
                num_text_bytes += chunk.total_uncompressed_size if chunk.physical_type == "BYTE_ARRAY" else 0
    if (
        metadata.num_rows > MAX_ROWS
        or num_values > MAX_VALUES
        or num_bytes > MAX_BYTES
        or num_text_bytes > MAX_TEXT_BYTES
    ):
        counted = f"{metadata.num_rows} rows with {num_values} values of {num_bytes} bytes"
        msg = f"{file}: {counted} are too many, split the file"
        raise AnnotationError(msg, reason="too large")
