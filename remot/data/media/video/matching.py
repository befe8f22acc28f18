"""Which of a video's frames belongs to which wanted time."""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from remot.errors import DecodeError

#: Most frames by which a codec may reorder; H.264 and H.265 allow 16.
MAX_REORDER_FRAMES = 16


class Frame(Protocol):
    """A decoded frame."""

    @property
    def is_corrupt(self) -> bool:
        """True if parts of it were missing and have been made up."""


FrameT = TypeVar("FrameT", bound=Frame)


@dataclass
class FrameMatcher(Generic[FrameT]):
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
    _nearest: dict[int, tuple[float, FrameT]] = field(default_factory=dict)
    _latest: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_REORDER_FRAMES))

    @property
    def next_wanted(self) -> float:
        """The first time that has no frame yet."""
        return self.wanted[self.num_settled]

    def is_near(self, time: float) -> bool:
        """Whether a frame shown at ``time`` could be that of a wanted time."""
        place = bisect_left(self.wanted, time - self.tolerance)
        return place < len(self.wanted) and self.wanted[place] <= time + self.tolerance

    def push(self, time: float, frame: FrameT) -> Iterator[tuple[float, FrameT]]:
        """Take the frame shown at ``time``; gives the wanted times that are decided now, with their frames."""
        self._latest.append(time)
        first = bisect_left(self.wanted, time - self.tolerance, self.num_settled)
        for place in range(first, bisect_right(self.wanted, time + self.tolerance, first)):
            if place not in self._nearest or self._distance(place, time) < self._distance(place):
                self._nearest[place] = time, frame
        while self.num_settled < len(self.wanted) and self._is_decided(self.num_settled):
            yield self._settle()

    def finish(self) -> Iterator[tuple[float, FrameT]]:
        """What is left after the last frame."""
        while self.num_settled < len(self.wanted):
            yield self._settle()

    def _distance(self, place: int, time: float | None = None) -> float:
        return abs(self.wanted[place] - (self._nearest[place][0] if time is None else time))

    def _is_decided(self, place: int) -> bool:
        num_later = sum(time >= self.wanted[place] for time in self._latest)
        if place not in self._nearest:
            return num_later == MAX_REORDER_FRAMES
        return num_later > 0 or self._distance(place) <= self.exact

    def _settle(self) -> tuple[float, FrameT]:
        target = self.next_wanted
        if self.num_settled not in self._nearest:
            raise no_image(self.media, target, max(self._latest, default=0.0))
        time, frame = self._nearest.pop(self.num_settled)
        if frame.is_corrupt:
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
