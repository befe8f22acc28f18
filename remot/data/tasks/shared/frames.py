"""Which frames of a clip a prompt shows."""

from dataclasses import dataclass

import numpy as np

from remot.errors import ConfigError
from remot.structures import Clip


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

    def __post_init__(self) -> None:
        if self.max_frames < 1 or (self.fps is not None and not 0 < self.fps < float("inf")):
            msg = f"max_frames is {self.max_frames} and fps {self.fps}; show at least one frame, at a rate above 0"
            raise ConfigError(msg)

    @property
    def tells_times(self) -> bool:
        """Whether the prompt states the times in words."""
        return not self.as_video

    @property
    def time_decimals(self) -> int:
        """Decimals of these times."""
        return 1

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
