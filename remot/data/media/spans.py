"""Parts of a video file, shown by frames spread evenly over them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from remot.data.media.frames import read_video
from remot.data.media.video.probe import probe
from remot.errors import DecodeError
from remot.structures import Video


@dataclass(frozen=True)
class VideoSpan:
    """What a prompt shows of a video file.

    Args:
        file: The video.
        num_frames: Frames shown at most, spread evenly over the span, its first and last frame included.
        start_seconds: Start of the span; the start of the video if None.
        end_seconds: End of the span; the end of the video if None.
    """

    file: Path
    num_frames: int
    start_seconds: float | None = None
    end_seconds: float | None = None


def frame_times(span: VideoSpan) -> list[float]:
    """Times of the frames shown: at the places of ``numpy.linspace(0, n - 1, k, dtype=int)`` of the span's n frames.

    They are counted from the first image of the video. Nothing is decoded.

    Raises:
        DecodeError: If the video cannot be read, or has no frame within the span.
    """
    times = probe(span.file).pts_seconds
    start = 0.0 if span.start_seconds is None else span.start_seconds
    end = float(times[-1]) if span.end_seconds is None else span.end_seconds
    inside = times[(times >= start) & (times <= end)]
    if not len(inside):
        msg = f"{span.file}: has no frame between {start:g} and {end:g} s; it ends at {times[-1]:g} s"
        raise DecodeError(msg)
    places = np.unique(np.linspace(0, len(inside) - 1, min(span.num_frames, len(inside)), dtype=int))
    return [float(time) for time in inside[places]]


def read_span(span: VideoSpan) -> Video:
    """The frames of a span, see :func:`frame_times`.

    Raises:
        DecodeError: If the video cannot be decoded, or has no frame within the span.
    """
    wanted = frame_times(span)
    return Video(torch.stack(read_video(span.file, wanted)), tuple(wanted))
