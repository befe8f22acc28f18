"""TFRecord files without TensorFlow (https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details).

A record is its length (8 bytes, little-endian), a masked CRC-32C of those bytes (4), the payload, and a masked CRC-32C
of the payload (4).
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from remot.errors import AnnotationError
from remot.files import cause_of, open_regular

#: Longest record that is read, in bytes.
MAX_RECORD_BYTES = 2**30
MAX_RECORDS = 1_000_000
HEADER_BYTES, FOOTER_BYTES = 12, 4

_MASK_DELTA = 0xA282EAD8
_POLYNOMIAL = 0x82F63B78  # CRC-32C (Castagnoli), bits in reflected order
_NUM_LANES = 4096
#: What becomes of each byte of the state, the polynomial applied bit by bit.
_TABLE: NDArray[np.uint32] = np.arange(256, dtype=np.uint32)
for _ in range(8):
    _TABLE = (_TABLE >> np.uint32(1)) ^ np.where(_TABLE & np.uint32(1), np.uint32(_POLYNOMIAL), np.uint32(0))


@dataclass(frozen=True)
class RecordSpan:
    """Where a record's payload lies.

    Args:
        offset: First byte of the payload.
        length: Bytes.
    """

    offset: int
    length: int


def index_records(file: Path) -> tuple[list[RecordSpan], str | None]:
    """Where the records of a file lie, found from their lengths without reading them.

    Returns:
        The records before the first fault, and what that fault is, or None.
    """
    spans: list[RecordSpan] = []
    try:
        size = file.stat().st_size
        with open_regular(file) as stream:
            at = 0
            while at < size:
                stream.seek(at)
                header = stream.read(HEADER_BYTES)
                fault = _fault(header, at, size, len(spans))
                if fault is not None:
                    return spans, fault
                (length,) = struct.unpack("<Q", header[:8])
                spans.append(RecordSpan(at + HEADER_BYTES, length))
                at += HEADER_BYTES + length + FOOTER_BYTES
    except OSError as error:
        return spans, f"cannot be read ({cause_of(error)})"
    return spans, None


def read_record(file: Path, span: RecordSpan) -> bytes:
    """The payload of a record.

    Raises:
        AnnotationError: If it is too long, cut short, or its checksum does not fit.
    """
    where = f"{file}: record at byte {span.offset}"
    if span.length > MAX_RECORD_BYTES:
        msg = f"{where} has {span.length} bytes, more than {MAX_RECORD_BYTES}"
        raise AnnotationError(msg, reason="too large")
    try:
        with open_regular(file) as stream:
            stream.seek(span.offset)
            content = stream.read(span.length + FOOTER_BYTES)
    except OSError as error:
        msg = f"{where} cannot be read ({cause_of(error)})"
        raise AnnotationError(msg) from error
    payload = content[: span.length]
    # a footer that is cut short does not equal the four bytes of a checksum
    if masked_crc32c(payload).to_bytes(FOOTER_BYTES, "little") != content[span.length :]:
        msg = f"{where} is damaged, its checksum does not fit; fetch the file again"
        raise AnnotationError(msg)
    return payload


def masked_crc32c(content: bytes) -> int:
    """The checksum that TFRecord files store."""
    crc = crc32c(content)
    return (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF


def crc32c(content: bytes) -> int:
    """CRC-32C of ``content``.

    A CRC is linear: parts of the content are worked out side by side, then shifted past what follows them and added.
    """
    values = np.frombuffer(content, dtype=np.uint8)
    lane_length = len(values) // _NUM_LANES
    state = 0xFFFFFFFF
    if lane_length > 0:
        state = _crc_of_lanes(values[: _NUM_LANES * lane_length].reshape(_NUM_LANES, lane_length), state)
    table: list[int] = _TABLE.tolist()
    for value in values[_NUM_LANES * lane_length :].tolist():
        state = table[(state ^ value) & 0xFF] ^ (state >> 8)
    return state ^ 0xFFFFFFFF


def _crc_of_lanes(lanes: NDArray[np.uint8], state: int) -> int:
    """State after all lanes [L, M], of which L is a power of two."""
    num_lanes = len(lanes)
    # After the lanes come the 32 single bits, each followed by M zeros: together they are the shift by M bytes.
    states = np.concatenate([np.zeros(num_lanes, np.uint32), np.uint32(1) << np.arange(32, dtype=np.uint32)])
    states[0] = state
    bits = np.zeros(32, dtype=np.uint8)
    for column in lanes.T:
        low = (states & np.uint32(0xFF)).astype(np.uint8) ^ np.concatenate([column, bits])
        states = _TABLE[low] ^ (states >> np.uint32(8))
    shift, states = states[num_lanes:], states[:num_lanes]
    while len(states) > 1:
        states = _shifted(states[0::2], shift) ^ states[1::2]
        shift = _shifted(shift, shift)
    return int(states[0])


def _shifted(states: NDArray[np.uint32], shift: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """The linear map ``shift`` [32], given by what becomes of each bit, of ``states`` [K]."""
    result = np.zeros_like(states)
    for bit in range(32):
        result ^= np.where((states >> np.uint32(bit)) & np.uint32(1), shift[bit], np.uint32(0))
    return result


def _fault(header: bytes, at: int, size: int, num_records: int) -> str | None:
    """What is wrong with the record whose header this is."""
    if len(header) < HEADER_BYTES:
        return f"byte {at}: the file is cut short"
    if masked_crc32c(header[:8]).to_bytes(4, "little") != header[8:]:
        return f"byte {at}: this is no TFRecord, or it is damaged or compressed"
    (length,) = struct.unpack("<Q", header[:8])
    if at + HEADER_BYTES + length + FOOTER_BYTES > size:
        return f"byte {at}: a record of {length} bytes is cut short"
    return "more records than are read" if num_records >= MAX_RECORDS else None
