"""Writes ``tf.train.Example`` messages and TFRecord files, to read them back."""

import struct

from remot.data.annotations.parsing.tfrecord import masked_crc32c


def varint(value):
    value %= 2**64
    result = bytearray()
    while value >= 0x80:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*result, value])


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def feature(values):
    if isinstance(values[0], bytes):
        return field(1, b"".join(field(1, value) for value in values))
    if isinstance(values[0], float):
        return field(2, field(1, struct.pack(f"<{len(values)}f", *values)))
    return field(3, field(1, b"".join(varint(value) for value in values)))


def example(features):
    return field(1, b"".join(field(1, field(1, k.encode()) + field(2, feature(v))) for k, v in features.items()))


def frame(payload):
    header = struct.pack("<Q", len(payload))
    checks = [struct.pack("<I", masked_crc32c(part)) for part in (header, payload)]
    return header + checks[0] + payload + checks[1]
