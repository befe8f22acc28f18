"""What a server is shown: the one message of a prompt, with images and frames of videos as lossless PNG."""

import base64
import struct
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from remot.models.inputs.timestamps import whole_patches
from remot.structures import Video

PNG_SIGNATURE, PNG_TRUECOLOUR = b"\x89PNG\r\n\x1a\n", 2

Json = dict[str, Any]


@dataclass(frozen=True)
class SentVideo:
    """A video as it is sent, frame by frame."""

    frames: tuple[str, ...]  # PNG files in base64
    pts_seconds: tuple[float, ...]  # as many

    @classmethod
    def of(cls, video: Video, temporal_patch: int) -> "SentVideo":
        """``video`` with its last frame repeated if it has fewer than one patch takes, as the trainer does it."""
        frames, times = whole_patches(video, temporal_patch)
        return cls(tuple(base64_png(frame) for frame in frames), times)


def user_message(shown: Iterable[Tensor | str | Json], text: str) -> list[Json]:
    """The one message of a prompt for ``/v1/chat/completions``: images, losslessly as PNG, then the text.

    Args:
        shown: Images, uint8 [3, H, W] each, words between them, and parts that are written already.
        text: What is asked.
    """
    content: list[Json] = []
    for one in (*shown, text):
        if isinstance(one, Tensor):
            url = f"data:image/png;base64,{base64_png(one)}"
            content.append({"type": "image_url", "image_url": {"url": url}})
        else:
            content.append({"type": "text", "text": one} if isinstance(one, str) else one)
    return [{"role": "user", "content": content}]


def base64_png(image: Tensor) -> str:
    """An image [3, H, W] uint8 as a PNG file in base64."""
    return base64.b64encode(encode_png(image)).decode("ascii")


def encode_png(image: Tensor) -> bytes:
    """An image [3, H, W] uint8 as a PNG file without filters: the server gets the policy's pixels, byte for byte."""
    _, height, width = image.shape
    rows = image.cpu().permute(1, 2, 0).reshape(height, 3 * width).contiguous().numpy().tobytes()
    stride = 3 * width
    lines = b"".join(b"\0" + rows[start : start + stride] for start in range(0, len(rows), stride))
    header = struct.pack(">IIBBBBB", width, height, 8, PNG_TRUECOLOUR, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 1)), (b"IEND", b""))
    return PNG_SIGNATURE + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
