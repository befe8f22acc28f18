"""Exact pictures of annotated frames, and videos that hold them. The only module that knows the codec library.

Times are presentation times counted from a video's first picture, so that time 0 is always that picture.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from remot.errors import DecodeError
from remot.structures import Clip, FloatArray, PictureStore

#: Videos up to this length are decoded from the start; longer ones are entered at a keyframe.
MAX_SEQUENTIAL_FRAMES = 300
#: Distance of the keyframe search from the first time wanted, in frame intervals.
SEEK_MARGIN_FRAMES = 2
#: Pictures held in memory while a clip is checked.
CHECKED_AT_ONCE = 128
PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})


@dataclass(frozen=True, eq=False)
class VideoInfo:
    """What a video says about itself, found without decoding it.

    Args:
        num_frames: Number of pictures.
        width: Pixels.
        height: Pixels.
        duration_seconds: From the first picture to the end of the last one.
        pts_seconds: [num_frames] presentation times, the first of them 0.
    """

    num_frames: int
    width: int
    height: int
    duration_seconds: float
    pts_seconds: FloatArray


def read_frames(clip: Clip, frame_indices: Sequence[int]) -> list[Tensor]:
    """Pictures of annotated frames, in the order asked for, duplicates included.

    Args:
        clip: Where to look, see :data:`remot.structures.Media`.
        frame_indices: Indices into the clip's annotated frames, each in [0, N).

    Returns:
        uint8 tensors [3, H, W], RGB.

    Raises:
        DecodeError: If the media cannot be decoded or holds no picture at one of the times.
    """
    for index in frame_indices:
        if not 0 <= index < clip.num_frames:
            msg = (
                f"{clip.media}: clip {clip.clip_id} has frames 0 to {clip.num_frames - 1}, frame {index} was asked for"
            )
            raise DecodeError(msg)
    if isinstance(clip.media, PictureStore):
        return clip.media.read(frame_indices)
    if isinstance(clip.media, tuple):
        return [_read_picture(clip.media[index]) for index in frame_indices]
    if clip.media is None:
        msg = f"clip {clip.clip_id} is annotated without pictures, so none can be shown; give the folder that has them"
        raise DecodeError(msg)
    if clip.media.is_dir():
        return _read_pictures(clip.media, frame_indices)
    times = [float(clip.frame_times_in_media[index]) for index in frame_indices]
    pictures = _read_times(clip.media, sorted(set(times)))
    return [pictures[time] for time in times]


def probe(media: Path) -> VideoInfo:
    """Length, size and picture times of a video, from its packets.

    Raises:
        DecodeError: If ``media`` is no readable video.
    """
    with _opened(media) as (container, stream):
        packets = [(packet.pts, packet.duration or 0) for packet in container.demux(stream) if packet.pts is not None]
        if not packets or stream.time_base is None:
            msg = f"{media}: the video holds no timed picture, re-encode it"
            raise DecodeError(msg)
        packets.sort()
        unit, first = float(stream.time_base), packets[0][0]
        pts_seconds = np.array([(pts - first) * unit for pts, _ in packets])
        end_seconds = (packets[-1][0] + packets[-1][1] - first) * unit
        return VideoInfo(len(packets), stream.width, stream.height, float(end_seconds), pts_seconds)


def check_media(clip: Clip, *, decode: bool = True) -> None:
    """Verify that a clip's media can deliver every annotated frame; a clip without media is left alone.

    Args:
        clip: The clip to check.
        decode: Decode every picture; False only compares the times that the file lists.

    Raises:
        DecodeError: Naming the file and what it lacks.
    """
    if decode and clip.media is not None:
        for start in range(0, clip.num_frames, CHECKED_AT_ONCE):
            read_frames(clip, range(start, min(start + CHECKED_AT_ONCE, clip.num_frames)))
    elif isinstance(clip.media, PictureStore):
        clip.media.check(clip.num_frames)
    elif isinstance(clip.media, tuple):
        _require_files(clip.media)
    elif clip.media is not None and clip.media.is_dir():
        list_pictures(clip.media, clip.num_frames)
    elif clip.media is not None:
        listed = probe(clip.media)
        tolerance = _half_interval(listed.pts_seconds)
        for time in clip.frame_times_in_media:
            if np.abs(listed.pts_seconds - time).min() > tolerance:
                raise _no_picture(clip.media, float(time), float(listed.pts_seconds[-1]))


def write_video(path: Path, frames: NDArray[np.uint8], fps: float, *, crf: int = 23) -> None:
    """Write an H.264 video that is the same, byte for byte, for the same pictures.

    Args:
        path: The mp4 to write.
        frames: [N, H, W, 3] RGB, H and W even.
        fps: Pictures per second.
        crf: Constant rate factor; smaller is better and larger.

    Raises:
        DecodeError: If the pictures cannot be encoded.
    """
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.shape[1] % 2 or frames.shape[2] % 2:
        msg = f"{path}: expected RGB pictures [N, H, W, 3] with even height and width, got shape {frames.shape}"
        raise DecodeError(msg)
    options = {"crf": str(crf), "preset": "slow", "g": "8", "bf": "0", "threads": "1"}
    try:
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options=options)
            stream.height, stream.width, stream.pix_fmt = frames.shape[1], frames.shape[2], "yuv420p"
            stream.thread_count = 1
            for picture in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
            container.mux(stream.encode())
    except (av.FFmpegError, OSError) as error:
        msg = f"{path}: the video cannot be written ({error})"
        raise DecodeError(msg) from error


@contextmanager
def _opened(media: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """An open video and its picture stream; whatever the codec library raises inside becomes a DecodeError."""
    try:
        with av.open(str(media)) as container:
            if not container.streams.video:
                msg = f"{media}: the file holds no video stream"
                raise DecodeError(msg)
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            yield container, stream
    except (av.FFmpegError, OSError, ValueError) as error:
        msg = f"{media}: the video cannot be decoded, it may be missing or cut short ({error})"
        raise DecodeError(msg) from error


@dataclass
class _Matcher:
    """Gives each wanted time the nearest of the pictures that come by in presentation order.

    Args:
        media: Named in errors.
        wanted: Times in seconds, increasing.
        tolerance: Largest distance between a wanted time and its picture.
    """

    media: Path
    wanted: Sequence[float]
    tolerance: float
    found: dict[float, Tensor] = field(default_factory=dict)
    _previous: tuple[float, VideoFrame] | None = None

    def offer(self, time: float, frame: VideoFrame) -> bool:
        """Take the picture shown at ``time``; returns True once every wanted time has its picture."""
        before = len(self.found)
        for target in self.wanted[before:]:
            if target > time:
                break
            nearer = self._previous is not None and target - self._previous[0] < time - target
            self._assign(target, *(self._previous if nearer and self._previous else (time, frame)))
        self._previous = (time, frame)
        return len(self.found) == len(self.wanted)

    def finish(self) -> None:
        """Give what is left the last picture, if that is near enough."""
        for target in self.wanted[len(self.found) :]:
            if self._previous is None:
                raise _no_picture(self.media, target, 0.0)
            self._assign(target, *self._previous)

    def _assign(self, target: float, time: float, frame: VideoFrame) -> None:
        if abs(target - time) > self.tolerance:
            raise _no_picture(self.media, target, time)
        if frame.is_corrupt:
            msg = f"{self.media}: the picture at {time:.3f} s is damaged, the file may be cut short"
            raise DecodeError(msg)
        self.found[target] = _to_tensor(np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8))


def _read_times(media: Path, wanted: Sequence[float]) -> dict[float, Tensor]:
    if not wanted:
        return {}
    with _opened(media) as (container, stream):
        interval = 1.0 / float(stream.average_rate) if stream.average_rate else 0.04
        matcher = _Matcher(media, wanted, interval * 0.501)
        num_frames = stream.frames or round(float(container.duration or 0) / av.time_base / interval)
        if num_frames > MAX_SEQUENTIAL_FRAMES:
            pictures = _from_keyframe(container, stream, wanted[0] - SEEK_MARGIN_FRAMES * interval)
        else:
            pictures = _from_start(container, stream)
        if not any(matcher.offer(time, frame) for time, frame in pictures):
            matcher.finish()
        return matcher.found


def _from_start(container: InputContainer, stream: VideoStream) -> Iterator[tuple[float, VideoFrame]]:
    """Every picture with its time in seconds."""
    first: float | None = None
    for frame in container.decode(stream):
        if frame.time is not None:
            first = frame.time if first is None else first
            yield frame.time - first, frame


def _from_keyframe(
    container: InputContainer, stream: VideoStream, start_seconds: float
) -> Iterator[tuple[float, VideoFrame]]:
    """Pictures from the last keyframe before ``start_seconds`` on, or from the start if the file cannot be entered."""
    opening = next(container.decode(stream), None)
    first = (opening.time if opening else None) or 0.0
    _seek(container, stream, max(start_seconds, 0.0) + first)
    pictures = ((frame.time - first, frame) for frame in container.decode(stream) if frame.time is not None)
    entry = next(pictures, None)
    if entry is not None and entry[0] <= max(start_seconds, 0.0):
        yield entry
        yield from pictures
    else:
        _seek(container, stream, 0.0)
        yield from _from_start(container, stream)


def _seek(container: InputContainer, stream: VideoStream, seconds: float) -> None:
    container.seek(int(seconds / float(stream.time_base or Fraction(1, 90_000))), stream=stream, backward=True)


def _half_interval(pts_seconds: FloatArray) -> float:
    return float(np.median(np.diff(pts_seconds))) * 0.501 if len(pts_seconds) > 1 else 0.02


def _no_picture(media: Path, time: float, nearest: float) -> DecodeError:
    return DecodeError(
        f"{media}: there is no picture at {time:.3f} s (nearest or last at {nearest:.3f} s), "
        "the file may be cut short or the annotated times belong to another video"
    )


def list_pictures(folder: Path, num_frames: int) -> list[Path]:
    """The pictures of ``folder`` in name order, of which at least ``num_frames`` must exist."""
    pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES)
    if len(pictures) < num_frames:
        msg = f"{folder}: the folder holds {len(pictures)} pictures, {num_frames} are needed"
        raise DecodeError(msg)
    return pictures


def _require_files(pictures: Sequence[Path]) -> None:
    for picture in pictures:
        if not picture.is_file():
            msg = f"{picture}: the picture is missing"
            raise DecodeError(msg)


def _read_pictures(folder: Path, frame_indices: Sequence[int]) -> list[Tensor]:
    pictures = list_pictures(folder, max(frame_indices, default=-1) + 1)
    return [_read_picture(pictures[index]) for index in frame_indices]


def _read_picture(path: Path) -> Tensor:
    try:
        with Image.open(path) as picture:
            return _to_tensor(np.asarray(picture.convert("RGB")))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        msg = f"{path}: the picture cannot be decoded ({error})"
        raise DecodeError(msg) from error


def _to_tensor(rgb: NDArray[np.uint8]) -> Tensor:
    """[H, W, 3] array to [3, H, W] tensor."""
    return torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1)))
