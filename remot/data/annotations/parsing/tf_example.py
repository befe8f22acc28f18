"""``tf.train.Example`` messages without TensorFlow and without protocol buffers' compiled code.

An Example holds Features (field 1), a map (field 1) from a text (field 1) to a Feature (field 2), which is a list of
byte strings (field 1), of floats (field 2) or of whole numbers (field 3). See
``tensorflow/core/example/feature.proto``.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from remot.structures import FloatArray

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = 1, 2, 3
_MAX_VARINT_BYTES = 10


@dataclass(frozen=True, eq=False)
class Feature:
    """The list of a feature.

    Args:
        spans: Offset and length in the message of each byte string; None if it holds numbers.
        values: [K] the numbers; None if it holds byte strings.
    """

    spans: tuple[tuple[int, int], ...] | None
    values: FloatArray | None


def parse_example(message: bytes, wanted: Collection[str]) -> tuple[dict[str, Feature], list[str]]:
    """Features of an Example.

    Args:
        message: The serialised Example.
        wanted: Features to read; others are only named.

    Returns:
        The wanted features that are there, and the names of all.
    """
    view = memoryview(message)
    found: dict[str, Feature] = {}
    names: list[str] = []
    for number, wire, start, stop in _fields(view, 0, len(view)):
        if number != 1 or wire != _BYTES:
            continue
        for entry_number, entry_wire, entry_start, entry_stop in _fields(view, start, stop):
            if entry_number == 1 and entry_wire == _BYTES:
                name, where = _entry(view, entry_start, entry_stop)
                names.append(name)
                if name in wanted:
                    found[name] = _feature(view, *where)
    return found, sorted(names)


def _entry(view: memoryview, start: int, stop: int) -> tuple[str, tuple[int, int]]:
    """Name of a feature and where its message lies."""
    name, where = "", (start, start)
    for number, wire, field_start, field_stop in _fields(view, start, stop):
        if number == 1 and wire == _BYTES:
            name = bytes(view[field_start:field_stop]).decode("utf-8", errors="replace")
        elif number == 2 and wire == _BYTES:
            where = field_start, field_stop
    return name, where


def _feature(view: memoryview, start: int, stop: int) -> Feature:
    for number, wire, list_start, list_stop in _fields(view, start, stop):
        if wire != _BYTES:
            continue
        parts = [field for field in _fields(view, list_start, list_stop) if field[0] == 1]
        if number == _BYTES_LIST:
            return Feature(tuple((a, b - a) for _, part_wire, a, b in parts if part_wire == _BYTES), None)
        if number == _FLOAT_LIST:
            # packed into one part, or one part for each
            content = b"".join(bytes(view[a:b]) for _, part_wire, a, b in parts if part_wire in {_BYTES, _FIXED32})
            if len(content) % 4:
                msg = f"a list of floats has {len(content)} bytes"
                raise ValueError(msg)
            return Feature(None, np.frombuffer(content, dtype="<f4").astype(np.float64))
        if number == _INT64_LIST:
            return Feature(None, _whole_numbers(view, parts))
    return Feature((), None)


def _whole_numbers(view: memoryview, parts: list[tuple[int, int, int, int]]) -> FloatArray:
    numbers: list[int] = []
    for _, wire, start, stop in parts:
        at = start
        while wire in {_BYTES, _VARINT} and at < stop:
            value, at = _varint(view, at, stop)
            numbers.append(value - 2**64 if value >= 2**63 else value)
    return np.array(numbers, dtype=np.float64)


def _fields(view: memoryview, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """Number, wire type, and first and last-plus-one byte of the value, of each field in a message."""
    while at < end:
        key, at = _varint(view, at, end)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            _, stop = _varint(view, at, end)
        elif wire == _BYTES:
            length, at = _varint(view, at, end)
            stop = at + length
        elif wire in {_FIXED64, _FIXED32}:
            stop = at + (8 if wire == _FIXED64 else 4)
        else:
            msg = f"byte {at}: wire type {wire} is not used in an Example"
            raise ValueError(msg)
        if stop > end:
            msg = f"byte {at}: a field reaches beyond its message"
            raise ValueError(msg)
        yield number, wire, at, stop
        at = stop


def _varint(view: memoryview, at: int, end: int) -> tuple[int, int]:
    """A whole number in groups of seven bits, and the byte after it."""
    value = 0
    for position in range(_MAX_VARINT_BYTES):
        if at + position >= end:
            break
        byte = view[at + position]
        value |= (byte & 0x7F) << (7 * position)
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, at + position + 1
    msg = f"byte {at}: a number has no end"
    raise ValueError(msg)
