"""Exact pictures of annotated frames, and videos that hold them. The only module that knows the codec library.

Times are presentation times counted from a video's first picture, so that time 0 is always that picture. What is read,
and what "exact" means for each kind of file, is told in ``docs/media.md``.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray
from torch import Tensor

from remot.data.matching import MAX_REORDER_FRAMES, Matcher, no_picture
from remot.data.picture_files import (
    MAX_PICTURE_PIXELS,
    pictures_of,
    read_folder,
    read_picture,
    require_files,
    require_size,
    to_tensor,
)
from remot.errors import DecodeError
from remot.structures import Clip, FloatArray, PictureStore

#: Where a file does not list its keyframes, wanted pictures that lie further apart are reached by seeking.
MAX_SEQUENTIAL_FRAMES = 300
#: Where it does list them, a keyframe this many pictures ahead is jumped to.
MIN_JUMP_FRAMES = 3
#: Before 17.1 PyAV crashes on options for containers that do not list their streams at the beginning.
TAKES_OPTIONS_ALWAYS = tuple(int(part) for part in av.__version__.split(".")[:2]) >= (17, 1)
#: Containers that store the time of every picture, so that it is the same wherever the file is entered.
ENTERABLE_FORMATS = frozenset({"mov", "matroska", "avi"})
#: Containers that hold their pictures themselves. The codec library also knows play lists, which name other files.
SELF_CONTAINED_FORMATS = (
    "mov", "matroska", "avi", "mpegts", "mpeg", "flv", "asf", "ogg", "gif", "apng", "mxf", "nut", "ivf", "dv",
    "m4v", "h264", "hevc", "mpegvideo", "mjpeg", "obu", "yuv4mpegpipe",
)  # fmt: skip
#: What the codec library may open: a container from the list above, in a file.
OPENABLE = {"format_whitelist": ",".join(SELF_CONTAINED_FORMATS), "protocol_whitelist": "file"}
#: Codecs that mark the pictures which no other picture is predicted from.
CODECS_WITH_UNUSED_PICTURES = frozenset({"h264"})
#: Pictures of a folder or archive held in memory while it is checked.
CHECKED_AT_ONCE = 128


@dataclass(frozen=True, eq=False)
class VideoInfo:
    """What a video says about itself, found without decoding it.

    Args:
        num_frames: Number of pictures.
        width: Pixels, as stored.
        height: Pixels, as stored.
        duration_seconds: From the first picture to the end of the last one.
        pts_seconds: [num_frames] presentation times, the first of them 0.
        tolerance_seconds: How far from a picture's time it is still found, half of the usual interval.
    """

    num_frames: int
    width: int
    height: int
    duration_seconds: float
    pts_seconds: FloatArray
    tolerance_seconds: float


def read_frames(clip: Clip, frame_indices: Sequence[int]) -> list[Tensor]:
    """Pictures of annotated frames, in the order asked for, duplicates included.

    A video is opened once, whatever the number of frames.

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
        return [read_picture(clip.media[index]) for index in frame_indices]
    if clip.media is None:
        msg = f"clip {clip.clip_id} is annotated without pictures, so none can be shown; give the folder that has them"
        raise DecodeError(msg)
    if clip.media.is_dir():
        return read_folder(clip.media, frame_indices)
    times = [float(clip.frame_times_in_media[index]) for index in frame_indices]
    to_rgb = VideoReformatter()  # one for all pictures, since setting it up takes longer than using it
    pictures = {
        time: to_tensor(np.asarray(to_rgb.reformat(frame, format="rgb24").to_ndarray(), dtype=np.uint8))
        for time, frame in _frames_at(clip.media, sorted(set(times)))
    }
    return [pictures[time] for time in times]


def probe(media: Path) -> VideoInfo:
    """Length, size and picture times of a video, from its packets.

    Raises:
        DecodeError: If ``media`` is no readable video.
    """
    with _opened(media) as (container, stream):
        packets = [packet for packet in container.demux(stream) if packet.pts is not None and packet.size]
        shown = sorted((packet.pts or 0, packet.duration or 0) for packet in packets if not packet.is_discard)
        unit, tolerance = float(stream.time_base or 0), _tolerance_seconds(stream)
        width, height = stream.width, stream.height
    if shown and _shown_first(packets) != shown[0][0]:
        shown = _from_first_picture(media, shown)
    if not shown or not unit:
        msg = f"{media}: the video holds no timed picture, re-encode it"
        raise DecodeError(msg)
    pts_seconds = np.array([(pts - shown[0][0]) * unit for pts, _ in shown])
    end_seconds = (shown[-1][0] + shown[-1][1] - shown[0][0]) * unit
    return VideoInfo(len(shown), width, height, float(end_seconds), pts_seconds, tolerance)


def check_media(clip: Clip, *, decode: bool = True) -> None:
    """Verify that a clip's media can deliver every annotated frame; a clip without media is left alone.

    Args:
        clip: The clip to check.
        decode: Decode every picture; False only compares the times that the file lists.

    Raises:
        DecodeError: Naming the file and what it lacks.
    """
    media, times = clip.media, clip.frame_times_in_media
    if media is None:
        return
    if isinstance(media, Path) and not media.is_dir():
        if decode:
            for _ in _frames_at(media, sorted(set(times.tolist()))):
                pass
        else:
            _require_times(media, times)
    elif decode:
        for start in range(0, clip.num_frames, CHECKED_AT_ONCE):
            read_frames(clip, range(start, min(start + CHECKED_AT_ONCE, clip.num_frames)))
    elif isinstance(media, PictureStore):
        media.check(clip.num_frames)
    elif isinstance(media, tuple):
        require_files(media)
    else:
        pictures_of(media, clip.num_frames)


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
    limit = {"max_pixels": str(MAX_PICTURE_PIXELS)}
    try:
        container_format = _format_of(media)
        early = limit | OPENABLE if container_format or TAKES_OPTIONS_ALWAYS else {}
        with av.open(str(media), format=container_format, options=early) as container:
            _require_self_contained(media, container)
            stream = _picture_stream(media, container)
            require_size(media, stream.width, stream.height)
            stream.codec_context.options = limit
            stream.thread_type = "NONE"
            yield container, stream
    except (av.FFmpegError, OSError, ValueError, OverflowError) as error:
        msg = f"{media}: the video cannot be decoded, it may be missing or cut short ({error})"
        raise DecodeError(msg) from error


def _format_of(media: Path) -> str | None:
    """The container where its first bytes leave no doubt, which spares the codec library asking all it knows."""
    with media.open("rb") as file:
        return "mov" if file.read(8)[4:] == b"ftyp" else None


def _require_self_contained(media: Path, container: InputContainer) -> None:
    """Refuse play lists, whose pictures lie in files that nobody named; for where options come too late."""
    if not set(container.format.name.split(",")) & set(SELF_CONTAINED_FORMATS):
        msg = f"{media}: is {container.format.name}, which is no container of video; give the video itself"
        raise DecodeError(msg)


def _picture_stream(media: Path, container: InputContainer) -> VideoStream:
    """The first video stream that is not a cover picture."""
    for stream in container.streams.video:
        disposition = getattr(stream, "disposition", None)  # older codec libraries do not tell
        if disposition is None or not disposition & type(disposition).attached_pic:
            return stream
    msg = f"{media}: the file holds no video stream"
    raise DecodeError(msg)


@dataclass
class _Walk:
    """Goes through a video's pictures, leaving out what is neither wanted nor needed by what is.

    Args:
        container: The open file.
        stream: Its picture stream.
        matcher: Knows what is wanted.
        may_skip: False to decode everything from the start.
    """

    container: InputContainer
    stream: VideoStream
    matcher: Matcher[VideoFrame]
    may_skip: bool

    def __post_init__(self) -> None:
        self._unit = float(self.stream.time_base or Fraction(1, 90_000))
        self._interval = _interval_seconds(self.stream) / self._unit
        self._index: Any = getattr(self.stream, "index_entries", ())  # older codec libraries do not tell
        self.may_skip = self.may_skip and not ENTERABLE_FORMATS.isdisjoint(self.container.format.name.split(","))
        self._skips_unused = self.may_skip and self.stream.codec_context.name in CODECS_WITH_UNUSED_PICTURES
        self._first: int | None = None
        self._tried = -1

    def pictures(self) -> Iterator[tuple[float, VideoFrame]]:
        """Pictures with their times in seconds, among them all that the matcher has to see."""
        packets = self.container.demux(self.stream)
        opening = list(islice(packets, MAX_REORDER_FRAMES + 1))
        self._first = pts = _shown_first(opening)
        decoded = self._timed(chain(opening, packets))
        while True:
            if pts is not None and self._should_jump(pts):
                decoded = self._entered(self._target())
            timed = next(decoded, None)
            if timed is None:
                return
            pts, frame = timed
            self._first = pts if self._first is None else self._first
            yield (pts - self._first) * self._unit, frame

    def _timed(self, packets: "Iterator[Packet[VideoStream]]") -> Iterator[tuple[int, VideoFrame]]:
        """Pictures with their times on the stream's clock; of those that no other picture needs only the wanted."""
        context = self.stream.codec_context
        for packet in packets:
            if self._skips_unused:
                is_unused = packet.pts is not None and self._first is not None and not self._is_wanted(packet.pts)
                context.skip_frame = "NONREF" if is_unused else "DEFAULT"
            for frame in packet.decode():
                if frame.pts is not None:
                    yield frame.pts, frame

    def _is_wanted(self, pts: int) -> bool:
        return self.matcher.is_near((pts - (self._first or 0)) * self._unit)

    def _target(self) -> int:
        return (self._first or 0) + round(self.matcher.next_wanted / self._unit)

    def _should_jump(self, pts: int) -> bool:
        """Whether the next wanted picture is better reached from a keyframe; asked for once for each of them."""
        if not self.may_skip or self._tried == self.matcher.num_settled or not self._is_worth_it(pts, self._target()):
            return False
        self._tried = self.matcher.num_settled
        return True

    def _is_worth_it(self, pts: int, target: int) -> bool:
        if len(self._index) < 2:
            return target - pts > MAX_SEQUENTIAL_FRAMES * self._interval
        place = self._index.search_timestamp(target)
        return bool(place >= 0 and self._index[place].timestamp - pts >= MIN_JUMP_FRAMES * self._interval)

    def _entered(self, target: int) -> Iterator[tuple[int, VideoFrame]]:
        """Pictures from a keyframe at or before ``target`` on, as close to it as the file allows.

        The file's list of keyframes is not trusted: it may name one that is shown later than ``target``, or a picture
        from which a decoder recovers only gradually. Then the one before it is tried, in the end the file's first.
        """
        start = target
        while True:
            self.container.seek(start, stream=self.stream, backward=True)
            decoded = self._timed(self.container.demux(self.stream))
            entry = next(decoded, None)
            place = self._index.search_timestamp(start) if len(self._index) else 0
            if entry is not None and (place <= 0 or (entry[1].key_frame and entry[0] <= target)):
                return chain([entry], decoded)
            if place <= 0:
                return decoded
            start = self._index[place].timestamp - 1


def _frames_at(media: Path, wanted: Sequence[float]) -> Iterator[tuple[float, VideoFrame]]:
    """Each of the increasing times ``wanted`` with the picture shown then.

    What is not found by leaving out pictures is looked for once more without.
    """
    if not np.isfinite(wanted).all():
        msg = f"{media}: a picture is wanted at a time that is not finite, repair the annotated times"
        raise DecodeError(msg)
    num_found = 0
    try:
        for found in _decoded(media, wanted, may_skip=True):
            num_found += 1
            yield found
    except DecodeError:
        yield from _decoded(media, wanted[num_found:], may_skip=False)


def _decoded(media: Path, wanted: Sequence[float], *, may_skip: bool) -> Iterator[tuple[float, VideoFrame]]:
    if not wanted:
        return
    with _opened(media) as (container, stream):
        exact = 0.501 * float(stream.time_base or 0)
        matcher: Matcher[VideoFrame] = Matcher(media, wanted, _tolerance_seconds(stream), exact)
        for time, frame in _Walk(container, stream, matcher, may_skip).pictures():
            yield from matcher.offer(time, frame)
            if matcher.num_settled == len(wanted):
                return
        yield from matcher.finish()


def _shown_first(packets: "Sequence[Packet[VideoStream]]") -> int | None:
    """Time of the first picture if the first of ``packets`` is sure to hold it, None if only decoding can tell."""
    if not packets or packets[0].pts is None or packets[0].is_discard or not packets[0].is_keyframe:
        return None
    return None if any(packet.pts is not None and packet.pts < packets[0].pts for packet in packets) else packets[0].pts


def _from_first_picture(media: Path, shown: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Leaves out what precedes the first picture that can be decoded, such as the rest of a group that was cut off."""
    with _opened(media) as (container, stream):
        first = next((frame.pts for frame in container.decode(stream) if frame.pts is not None), None)
    return [] if first is None else [packet for packet in shown if packet[0] >= first]


def _interval_seconds(stream: VideoStream) -> float:
    return 1.0 / float(stream.average_rate) if stream.average_rate else 0.04


def _tolerance_seconds(stream: VideoStream) -> float:
    return 0.501 * max(_interval_seconds(stream), float(stream.time_base or 0))


def _require_times(media: Path, times: FloatArray) -> None:
    listed = probe(media)
    after = np.searchsorted(listed.pts_seconds, times).clip(1, max(listed.num_frames - 1, 1))
    neighbours = listed.pts_seconds[np.stack([after - 1, after.clip(max=listed.num_frames - 1)])]
    far = ~(np.abs(neighbours - times).min(axis=0) <= listed.tolerance_seconds)
    if far.any():
        raise no_picture(media, float(times[far][0]), float(listed.pts_seconds[-1]))
