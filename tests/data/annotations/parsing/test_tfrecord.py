"""TFRecord framing, checksums and Examples, against numbers published elsewhere and messages written by hand."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remot.data.annotations.parsing import tfrecord
from remot.data.annotations.parsing.tf_example import parse_example
from remot.data.annotations.parsing.tfrecord import crc32c, index_records, masked_crc32c, read_record
from remot.errors import AnnotationError
from tests.data.annotations.example_bytes import example, field, frame, varint
from tests.helpers import assert_close


def slow_crc32c(content):
    """Bit by bit, as the polynomial division is defined."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", 0),
        (b"123456789", 0xE3069283),  # the check value of CRC-32C
        (bytes(32), 0x8A9136AA),  # RFC 3720, appendix B.4
        (bytes([0xFF] * 32), 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
    ],
)
def test_published_checksums(content, expected):
    assert crc32c(content) == expected


@pytest.mark.parametrize("length", [4095, 4096, 4097, 3 * 4096 + 5])
def test_checksums_of_long_contents(length):
    content = np.random.default_rng(length).integers(0, 256, length, dtype=np.uint8).tobytes()
    assert crc32c(content) == slow_crc32c(content)


def test_the_mask():
    """Rotated right by 15 bits, plus a constant."""
    crc = 0xE3069283
    assert masked_crc32c(b"123456789") == (((crc >> 15) | (crc << 17) & 0xFFFFFFFF) + 0xA282EAD8) % 2**32


def test_records_are_found_and_read(tmp_path):
    payloads = [b"first", b"", bytes(5000)]
    (tmp_path / "f").write_bytes(b"".join(frame(payload) for payload in payloads))
    spans, fault = index_records(tmp_path / "f")
    assert (fault, [span.offset for span in spans]) == (None, [12, 33, 49])
    assert [read_record(tmp_path / "f", span) for span in spans] == payloads


def test_a_damaged_payload_is_named(tmp_path):
    content = bytearray(frame(b"first") + frame(b"second"))
    content[14] ^= 1
    (tmp_path / "f").write_bytes(content)
    spans, fault = index_records(tmp_path / "f")
    assert fault is None
    with pytest.raises(AnnotationError, match=r"byte 12 is damaged.*checksum"):
        read_record(tmp_path / "f", spans[0])
    assert read_record(tmp_path / "f", spans[1]) == b"second"


@pytest.mark.parametrize(
    ("content", "num_records", "message"),
    [
        (frame(b"first") + frame(b"second")[:-1], 1, "byte 21: a record of 6 bytes is cut short"),
        (frame(b"first") + b"\x05\x00", 1, "byte 21: the file is cut short"),
        (b"\x1f\x8b" + bytes(20), 0, "byte 0: this is no TFRecord"),
    ],
)
def test_what_follows_a_fault_is_left_alone(tmp_path, content, num_records, message):
    (tmp_path / "f").write_bytes(content)
    spans, fault = index_records(tmp_path / "f")
    assert len(spans) == num_records
    assert fault.startswith(message)


def test_a_record_that_claims_the_whole_memory_is_not_read(tmp_path, monkeypatch):
    header = struct.pack("<Q", 2**60)
    (tmp_path / "f").write_bytes(header + struct.pack("<I", masked_crc32c(header)) + bytes(100))
    assert "cut short" in index_records(tmp_path / "f")[1]
    monkeypatch.setattr(tfrecord, "MAX_RECORD_BYTES", 3)
    (tmp_path / "f").write_bytes(frame(b"first"))
    with pytest.raises(AnnotationError, match="5 bytes, more than 3") as caught:
        read_record(tmp_path / "f", index_records(tmp_path / "f")[0][0])
    assert caught.value.reason == "too large"


def test_features_of_an_example():
    message = example({"a": [1.5, -2.0], "b": [b"xy", b"z"], "c": [3, -4, 300]})
    found, names = parse_example(message, {"a", "b", "c", "d"})
    assert names == ["a", "b", "c"]
    assert_close(found["a"].values, [1.5, -2.0])
    assert_close(found["c"].values, [3, -4, 300])
    assert [message[at : at + length] for at, length in found["b"].spans] == [b"xy", b"z"]


def test_lists_that_are_not_packed():
    """Each number as a field of its own, as protocol buffers also allow."""
    floats = b"".join(varint(1 << 3 | 5) + struct.pack("<f", value) for value in (1.5, -2.0))
    whole = b"".join(varint(1 << 3) + varint(value) for value in (3, 300))
    entries = field(1, field(1, b"a") + field(2, field(2, floats))) + field(
        1, field(1, b"c") + field(2, field(3, whole))
    )
    found, _ = parse_example(field(1, entries), {"a", "c"})
    assert_close(found["a"].values, [1.5, -2.0])
    assert_close(found["c"].values, [3, 300])


def test_only_what_is_wanted_is_read():
    found, names = parse_example(example({"a": [1.0], "b": [2.0]}), {"b"})
    assert (list(found), names) == (["b"], ["a", "b"])


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (b"\x0a\x7f", "beyond its message"),
        (b"\x80" * 30, "no end"),
        (b"\x0b", "wire type 3"),
        (field(1, field(1, field(1, b"a") + field(2, field(2, field(1, b"xyz"))))), "3 bytes"),
    ],
)
def test_malformed_messages_are_refused(message, complaint):
    with pytest.raises(ValueError, match=complaint):
        parse_example(message, {"a"})


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(message):
    try:
        found, names = parse_example(message, {"", "a"})
    except ValueError:
        return
    assert set(found) <= set(names)
