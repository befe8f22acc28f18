"""What a video says about itself, from its packets."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from remot.data.media.video.containers import opened, tolerance_seconds
from remot.data.media.video.matching import no_image
from remot.data.media.video.seeking import shown_first
from remot.errors import DecodeError
from remot.structures import FloatArray


@dataclass(frozen=True, eq=False)
class VideoInfo:
    """What a video says about itself, found without decoding it.

    Args:
        num_frames: Number of frames.
        width: Pixels, as stored.
        height: Pixels, as stored.
        duration_seconds: From the first frame to the end of the last one.
        pts_seconds: [num_frames] presentation times, the first of them 0.
        tolerance_seconds: How far from a frame's time it is still found, half of the usual interval.
    """

    num_frames: int
    width: int
    height: int
    duration_seconds: float
    pts_seconds: FloatArray
    tolerance_seconds: float


def probe(media: Path) -> VideoInfo:
    """Length, size and frame times of a video, from its packets.

    Raises:
        DecodeError: If ``media`` is no readable video.
    """
    with opened(media) as (container, stream):
        packets = [packet for packet in container.demux(stream) if packet.pts is not None and packet.size]
        shown = sorted((packet.pts or 0, packet.duration or 0) for packet in packets if not packet.is_discard)
        unit, tolerance = float(stream.time_base or 0), tolerance_seconds(stream)
        width, height = stream.width, stream.height
    if shown and shown_first(packets) != shown[0][0]:
        # what precedes the first frame that can be decoded is left out, such as the rest of a group that was cut off
        with opened(media) as (container, stream):
            first = next((frame.pts for frame in container.decode(stream) if frame.pts is not None), None)
        shown = [] if first is None else [packet for packet in shown if packet[0] >= first]
    if not shown or not unit:
        msg = f"{media}: the video holds no timed frame, re-encode it"
        raise DecodeError(msg)
    pts_seconds = np.array([(pts - shown[0][0]) * unit for pts, _ in shown])
    end_seconds = (shown[-1][0] + shown[-1][1] - shown[0][0]) * unit
    return VideoInfo(len(shown), width, height, float(end_seconds), pts_seconds, tolerance)


def turn_degrees(media: Path) -> int:
    """By how many degrees the file asks viewers to turn its frames, counter-clockwise; 0 if it does not ask.

    Raises:
        DecodeError: If ``media`` is no readable video.
    """
    with opened(media) as (container, stream):
        frame = next(container.decode(stream), None)
        return 0 if frame is None else int(frame.rotation)


def size_of_video(media: Path) -> tuple[int, int]:
    """Width and height of a video's stored frames.

    Raises:
        DecodeError: If ``media`` is no readable video, or its size cannot be used.
    """
    with opened(media) as (_, stream):
        return stream.width, stream.height


def require_times(media: Path, times: FloatArray) -> None:
    """A frame of its own is listed for each of the times.

    The nearest frame is within half an interval of every time, however far two clocks have drifted apart; what shows
    the drift is that two times get the same frame.

    Raises:
        DecodeError: If one has none, or two have the same.
    """
    listed = probe(media)
    after = np.searchsorted(listed.pts_seconds, times).clip(1, max(listed.num_frames - 1, 1))
    candidates = np.stack([after - 1, after.clip(max=listed.num_frames - 1)])  # [2, N]
    distances = np.abs(listed.pts_seconds[candidates] - times)
    far = ~(distances.min(axis=0) <= listed.tolerance_seconds)
    if far.any():
        raise no_image(media, float(times[far][0]), float(listed.pts_seconds[-1]))
    nearest = np.where(distances[0] <= distances[1], *candidates)
    shared = np.flatnonzero(np.diff(nearest) == 0)
    if len(shared):
        k = int(shared[0])
        msg = (
            f"{media}: annotated frames {k} and {k + 1}, at {times[k]:.3f} and {times[k + 1]:.3f} s, get the same "
            f"frame, at {listed.pts_seconds[nearest[k]]:.3f} s; {len(shared)} of {len(times)} frames have none of "
            "their own, so the annotated times are not the video's: give those as media_pts_seconds"
        )
        raise DecodeError(msg)
