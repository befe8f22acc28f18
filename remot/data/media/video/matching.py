"""Which of a video's frames belongs to which wanted time."""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from av.video.frame import VideoFrame

from remot.errors import DecodeError

#: Most frames by which a codec may reorder; H.264 and H.265 allow 16.
MAX_REORDER_FRAMES = 16


@dataclass
class FrameMatcher:
    """Gives each wanted time the nearest of the frames that come by.

    Args:
        media: Named in errors.
        wanted: Times in seconds, increasing.
        tolerance: Largest distance between a wanted time and its frame.
        exact: Distance within which no other frame can be nearer, half a tick of the video's clock.
    """

    media: Path
    wanted: Sequence[float]
    tolerance: float
    exact: float
    num_settled: int = 0
    _nearest: dict[int, tuple[float, VideoFrame]] = field(default_factory=dict)
    _latest: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_REORDER_FRAMES))

    def is_near(self, time: float) -> bool:
        """Whether a frame shown at ``time`` could be that of a wanted time."""
        place = bisect_left(self.wanted, time - self.tolerance)
        return place < len(self.wanted) and self.wanted[place] <= time + self.tolerance

    def push(self, time: float, frame: VideoFrame) -> Iterator[tuple[float, VideoFrame]]:
        """Take the frame shown at ``time``; gives the wanted times that are decided now, with their frames."""
        self._latest.append(time)
        first = bisect_left(self.wanted, time - self.tolerance, self.num_settled)
        for place in range(first, bisect_right(self.wanted, time + self.tolerance, first)):
            held = self._nearest.get(place)
            if held is None or abs(self.wanted[place] - time) < abs(self.wanted[place] - held[0]):
                self._nearest[place] = time, frame
        while self.num_settled < len(self.wanted):
            target, held = self.wanted[self.num_settled], self._nearest.get(self.num_settled)
            num_later = sum(time >= target for time in self._latest)
            if held is None:
                is_decided = num_later == MAX_REORDER_FRAMES
            else:
                is_decided = num_later > 0 or abs(target - held[0]) <= self.exact
            if not is_decided:
                return
            yield self._settle()

    def finish(self) -> Iterator[tuple[float, VideoFrame]]:
        """What is left after the last frame."""
        while self.num_settled < len(self.wanted):
            yield self._settle()

    def _settle(self) -> tuple[float, VideoFrame]:
        target = self.wanted[self.num_settled]
        if self.num_settled not in self._nearest:
            raise no_image(self.media, target, max(self._latest, default=0.0))
        time, frame = self._nearest.pop(self.num_settled)
        if frame.is_corrupt:  # parts of it were missing and were concealed
            msg = f"{self.media}: the frame at {time:.3f} s is damaged, the file may be cut short"
            raise DecodeError(msg)
        self.num_settled += 1
        return target, frame


def no_image(media: Path, time: float, nearest: float) -> DecodeError:
    """The error for a wanted time at which nothing is shown."""
    return DecodeError(
        f"{media}: there is no frame at {time:.3f} s (nearest or last at {nearest:.3f} s), "
        "the file may be cut short or the annotated times belong to another video"
    )
