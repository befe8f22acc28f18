"""Images as PNG files: what a server is shown is, byte for byte, what the policy is shown."""

import struct
import zlib

from torch import Tensor

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_TRUECOLOUR = 2


def encode_png(image: Tensor) -> bytes:
    """An image [3, H, W] uint8 as a PNG file without filters."""
    _, height, width = image.shape
    rows = image.cpu().permute(1, 2, 0).reshape(height, 3 * width).contiguous().numpy().tobytes()
    stride = 3 * width
    lines = b"".join(b"\0" + rows[start : start + stride] for start in range(0, len(rows), stride))
    header = struct.pack(">IIBBBBB", width, height, 8, _TRUECOLOUR, 0, 0, 0)
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(lines, 1)) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
