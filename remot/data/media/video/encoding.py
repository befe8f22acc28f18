"""Videos written for tests, examples and clips from simulators."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from remot.errors import DecodeError
from remot.files import cause_of


def write_video(path: Path, frames: NDArray[np.uint8], fps: float, *, crf: int = 23) -> None:
    """Write an H.264 video that is the same, byte for byte, for the same frames.

    Args:
        path: The mp4 to write.
        frames: [N, H, W, 3] RGB, H and W even.
        fps: Frames per second.
        crf: Constant rate factor; smaller is better and larger.

    Raises:
        DecodeError: If the frames cannot be encoded.
    """
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.shape[1] % 2 or frames.shape[2] % 2:
        msg = f"{path}: expected RGB frames [N, H, W, 3] with even height and width, got shape {frames.shape}"
        raise DecodeError(msg)
    options = {"crf": str(crf), "preset": "slow", "g": "8", "bf": "0", "threads": "1"}
    try:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options=options)
            stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
            stream.thread_count = 1
            for image in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
            container.mux(stream.encode())
    except (av.FFmpegError, OSError) as error:
        msg = f"{path}: the video cannot be written ({cause_of(error)})"
        raise DecodeError(msg) from error
