"""Going through a video's frames: from keyframe to keyframe, leaving out what is neither wanted nor needed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, islice
from typing import Any

from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from remot.data.media.video.containers import interval_seconds
from remot.data.media.video.matching import MAX_REORDER_FRAMES, FrameMatcher

#: Where a file does not list its keyframes, wanted frames that lie further apart are reached by seeking.
MAX_SEQUENTIAL_FRAMES = 300
#: Where it does list them, a keyframe this many frames ahead is jumped to.
MIN_JUMP_FRAMES = 3
#: Containers that store the time of every frame, so that it is the same wherever the file is entered.
ENTERABLE_FORMATS = frozenset({"mov", "matroska", "avi"})
#: Codecs that mark the frames which no other frame is predicted from.
CODECS_WITH_UNUSED_IMAGES = frozenset({"h264"})


@dataclass
class Walk:
    """Goes through a video's frames, leaving out what is neither wanted nor needed by what is.

    Args:
        container: The open file.
        stream: Its frame stream.
        matcher: Holds the wanted times.
        may_skip: False to decode everything from the start.
    """

    container: InputContainer
    stream: VideoStream
    matcher: FrameMatcher
    may_skip: bool

    def __post_init__(self) -> None:
        self._unit = float(self.stream.time_base or Fraction(1, 90_000))
        self._interval = interval_seconds(self.stream) / self._unit
        self._index: Any = self.stream.index_entries
        self.may_skip = self.may_skip and not ENTERABLE_FORMATS.isdisjoint(self.container.format.name.split(","))
        self._skips_unused = self.may_skip and self.stream.codec_context.name in CODECS_WITH_UNUSED_IMAGES
        self._first: int | None = None
        self._tried = -1

    def images(self) -> Iterator[tuple[float, VideoFrame]]:
        """Frames with their times in seconds, among them all that the matcher has to see."""
        packets = self.container.demux(self.stream)
        opening = list(islice(packets, MAX_REORDER_FRAMES + 1))
        self._first = pts = shown_first(opening)
        decoded = self._timed(chain(opening, packets))
        while True:
            target = None if pts is None else self._jump_from(pts)
            if target is not None:
                decoded = self._entered(target)
            timed = next(decoded, None)
            if timed is None:
                return
            pts, frame = timed
            self._first = pts if self._first is None else self._first
            yield (pts - self._first) * self._unit, frame

    def _timed(self, packets: "Iterator[Packet[VideoStream]]") -> Iterator[tuple[int, VideoFrame]]:
        """Frames with their times on the stream's clock; of those that no other frame needs only the wanted."""
        context = self.stream.codec_context
        for packet in packets:
            if self._skips_unused:
                context.skip_frame = "DEFAULT"
                if packet.pts is not None and self._first is not None:
                    is_near = self.matcher.is_near((packet.pts - self._first) * self._unit)
                    context.skip_frame = "DEFAULT" if is_near else "NONREF"
            for frame in packet.decode():
                if frame.pts is not None:
                    yield frame.pts, frame

    def _jump_from(self, pts: int) -> int | None:
        """Time of the next wanted frame if it is better reached from a keyframe, which is tried once for each."""
        number = self.matcher.num_settled
        if not self.may_skip or self._tried == number:
            return None
        target = (self._first or 0) + round(self.matcher.wanted[number] / self._unit)
        if len(self._index) < 2:
            is_worth_it = target - pts > MAX_SEQUENTIAL_FRAMES * self._interval
        else:
            place = self._index.search_timestamp(target)
            is_worth_it = place >= 0 and self._index[place].timestamp - pts >= MIN_JUMP_FRAMES * self._interval
        if not is_worth_it:
            return None
        self._tried = number
        return target

    def _entered(self, target: int) -> Iterator[tuple[int, VideoFrame]]:
        """Frames from a keyframe at or before ``target`` on, as close to it as the file allows.

        The file's list of keyframes is not trusted: it may name one that is shown later than ``target``, or a frame
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


def shown_first(packets: "Sequence[Packet[VideoStream]]") -> int | None:
    """Time of the first frame if the first of ``packets`` is sure to hold it, None if it must be decoded first."""
    if not packets or packets[0].pts is None or packets[0].is_discard or not packets[0].is_keyframe:
        return None
    return None if any(packet.pts is not None and packet.pts < packets[0].pts for packet in packets) else packets[0].pts
