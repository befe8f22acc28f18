"""Frames with the times they were shown at."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import torch
from torch import Tensor
from torch.nn.functional import interpolate

#: Times of the two frames of a pair: those of the clip would say which is the later one.
PAIR_SECONDS = (0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Video:
    """Frames of a clip as a model is shown them.

    Args:
        frames: uint8 [T, 3, H, W] on the CPU, T ≥ 1.
        pts_seconds: T strictly increasing presentation times, counted from the clip's first image.

    Raises:
        ValueError: If the frames are no such tensor, or the times do not fit them.
    """

    frames: Tensor
    pts_seconds: tuple[float, ...]

    def __post_init__(self) -> None:
        shape = tuple(self.frames.shape)
        if self.frames.dtype != torch.uint8 or len(shape) != 4 or shape[1] != 3 or not all(shape):
            msg = f"frames of a video must be uint8 [T, 3, H, W] with T at least 1, got {self.frames.dtype} {shape}"
            raise ValueError(msg)
        times = self.pts_seconds
        if len(times) != shape[0] or not all(map(math.isfinite, times)):
            msg = f"a video of {shape[0]} frames needs as many finite times, got {times!r:.200}"
            raise ValueError(msg)
        if any(after <= before for before, after in pairwise(times)):
            msg = f"the times of a video must increase, got {times!r:.200}"
            raise ValueError(msg)

    def __len__(self) -> int:
        return len(self.pts_seconds)

    def __repr__(self) -> str:
        return f"Video(frames={tuple(self.frames.shape)}, pts_seconds={self.pts_seconds[0]}..{self.pts_seconds[-1]})"


def pair_videos(images: Sequence[Tensor]) -> list[Video]:
    """Two or three images [3, H, W] in pairs, each a video of two frames: 1 and 2, then 1 and 3, then 2 and 3.

    A vision tower that joins two frames in a patch, as those of Qwen-VL, sees both images of a pair at once. The second
    gets the size of the first, if it has another.
    """
    return [Video(torch.stack([one, _resized(other, one)]), PAIR_SECONDS) for one, other in combinations(images, 2)]


def _resized(image: Tensor, like: Tensor) -> Tensor:
    """``image`` [3, H, W] in the size of another."""
    if image.shape == like.shape:
        return image
    resized = interpolate(image[None].float(), size=like.shape[1:], mode="bilinear", antialias=True)[0]
    return resized.round().clamp(0, 255).to(torch.uint8)
