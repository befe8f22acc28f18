"""Frames of a second look at a clip: dense where a first answer points, sparse elsewhere (VideoChat-R1.5)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from remot.data.tasks.shared.frames import FrameSampling
from remot.structures import Clip, FloatArray, Interval, ResampleRequest

#: Answers give times to two decimals, so a frame is inside a stretch up to half of the last one.
ROUNDING_SECONDS = 0.005


@dataclass(frozen=True)
class KeyFrames(FrameSampling):
    """As many frames as the :class:`FrameSampling` of the first look shows, most of them inside stretches of time.

    Iterative perception of VideoChat-R1.5 (arXiv 2509.21100), where frames are dense in the predicted stretches. How
    many and which ones is not published: reconstruction. Here ``dense_share`` of the frames lie inside, fewer if there
    are fewer, and the rest outside; both evenly among the annotated frames there, first and last included.
    """

    first: FrameSampling = field(kw_only=True)
    look: ResampleRequest = field(kw_only=True)

    @classmethod
    def after(cls, first: FrameSampling, look: ResampleRequest) -> Self:
        """What follows a look at the frames of ``first``."""
        return cls(first.max_frames, first.fps, first.as_video, first=first, look=look)

    @property
    def tells_times(self) -> bool:
        """Whether the prompt states the times."""
        return not self.as_video or self.look.tell_times

    @property
    def time_decimals(self) -> int:
        """Frames of a stretch can be nearer than a tenth of a second."""
        return 2

    def frames_of(self, clip: Clip) -> tuple[int, ...]:
        """Annotated frames, strictly increasing; those of the first look if no stretch touches the clip."""
        first_look = self.first.frames_of(clip)
        is_inside = inside(clip.pts_seconds, self.look.stretches)
        if not is_inside.any():
            return first_look
        return dense_and_sparse(is_inside, len(first_look), self.look.dense_share)


def inside(pts_seconds: FloatArray, stretches: Sequence[Interval]) -> NDArray[np.bool_]:
    """[N] bool, which frames at ``pts_seconds`` [N] lie in one of the stretches.

    A stretch between two frames has the frame nearest to its middle; one outside of the clip has none.
    """
    found = np.zeros(len(pts_seconds), dtype=bool)
    for start, end in stretches:
        hit = (pts_seconds >= start - ROUNDING_SECONDS) & (pts_seconds <= end + ROUNDING_SECONDS)
        if not hit.any() and pts_seconds[0] <= end and start <= pts_seconds[-1]:
            hit[np.abs(pts_seconds - (start + end) / 2).argmin()] = True
        found |= hit
    return found


def dense_and_sparse(is_inside: NDArray[np.bool_], count: int, dense_share: float) -> tuple[int, ...]:
    """``count`` of N frames in order: ``dense_share`` of them inside if there are so many, the rest outside."""
    within, without = np.flatnonzero(is_inside), np.flatnonzero(~is_inside)
    wanted = max(1, round(dense_share * count))
    num_within = max(min(wanted, len(within)), count - len(without))
    picked = [*evenly(within, num_within), *evenly(without, count - num_within)]
    return tuple(sorted(int(frame) for frame in picked))


def evenly(frames: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """``count`` different ones of ``frames``, first and last included; the middle one of a count of 1."""
    last = len(frames) - 1
    if count <= 1:
        return frames[last // 2 : last // 2 + count]
    steps = np.arange(count)
    return frames[(2 * steps * last + count - 1) // (2 * (count - 1))]  # halves are rounded up
