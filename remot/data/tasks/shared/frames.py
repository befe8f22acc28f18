"""Which frames of a clip a prompt shows; of a second perception, those that are dense where a first answer points."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from remot.errors import ConfigError
from remot.structures import Clip, FloatArray, Interval, ResampleRequest

#: Answers give times to two decimals, so a frame is inside a stretch up to half of the last one.
ROUNDING_SECONDS = 0.005


@dataclass(frozen=True)
class FrameSampling:
    """Frames at even times over a clip, first and last annotated frame included.

    Args:
        max_frames: Most frames; exactly so many, if the clip has them, unless ``fps`` says otherwise.
        fps: Frames for each second of the clip, so that short clips show fewer; None for ``max_frames`` whatever the
            length. Published: 2 in VideoChat-R1 (arXiv 2504.06958) and SpaceR (arXiv 2504.01805).
        as_video: Show them as a video with their times; False shows them as images and states the times in words.
    """

    max_frames: int = 8
    fps: float | None = None
    as_video: bool = True
    #: Decimals of the times that the prompt states.
    time_decimals: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.max_frames < 1 or (self.fps is not None and not 0 < self.fps < float("inf")):
            msg = f"max_frames is {self.max_frames} and fps {self.fps}; show at least one frame, at a rate above 0"
            raise ConfigError(msg)

    @property
    def states_times(self) -> bool:
        """Whether the prompt states the times in words."""
        return not self.as_video

    def frames_of(self, clip: Clip) -> tuple[int, ...]:
        """Annotated frames nearest to even times, strictly increasing."""
        first, last = float(clip.pts_seconds[0]), float(clip.pts_seconds[-1])
        count = self.max_frames
        if self.fps is not None:
            count = min(count, max(2, round((last - first) * self.fps) + 1))
        return nearest_frames(clip, np.linspace(first, last, count) if count > 1 else np.array([(first + last) / 2]))


def nearest_frames(clip: Clip, times_seconds: np.ndarray) -> tuple[int, ...]:
    """The annotated frames nearest to increasing times, each once; the earlier one of two that are as near."""
    times = clip.pts_seconds
    after = np.clip(np.searchsorted(times, times_seconds), 0, len(times) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.where(times_seconds - times[before] <= times[after] - times_seconds, before, after)
    return tuple(int(frame) for frame in np.unique(nearer))


def times_in_words(clip: Clip, frames: tuple[int, ...], decimals: int = 1) -> str:
    """The times of frames for prompts that state them, such as ``0.0, 0.5, 1.0``, in seconds."""
    return ", ".join(f"{float(clip.pts_seconds[frame]):.{decimals}f}" for frame in frames)


@dataclass(frozen=True)
class KeyFrames(FrameSampling):
    """As many frames as the first perception's :class:`FrameSampling` shows, most of them inside stretches of time.

    Iterative perception of VideoChat-R1.5 (arXiv 2509.21100), where frames are dense in the predicted stretches. How
    many and which ones is not published: reconstruction. Here ``dense_share`` of the frames lie inside, fewer if there
    are fewer, and the rest outside; both evenly among the annotated frames there, first and last included.
    """

    first: FrameSampling = field(kw_only=True)
    request: ResampleRequest = field(kw_only=True)
    time_decimals: ClassVar[int] = 2  # frames of a stretch can be nearer than a tenth of a second

    @classmethod
    def after(cls, first: FrameSampling, request: ResampleRequest) -> Self:
        """What follows the frames of ``first``."""
        return cls(first.max_frames, first.fps, first.as_video, first=first, request=request)

    @property
    def states_times(self) -> bool:
        """Whether the prompt states the times."""
        return not self.as_video or self.request.tell_times

    def frames_of(self, clip: Clip) -> tuple[int, ...]:
        """Annotated frames, strictly increasing; those of the first perception if no stretch touches the clip."""
        first_perception = self.first.frames_of(clip)
        is_inside = inside(clip.pts_seconds, self.request.stretches)
        if not is_inside.any():
            return first_perception
        return dense_and_sparse(is_inside, len(first_perception), self.request.dense_share)


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
