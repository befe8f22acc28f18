"""What a second look at a clip is after."""

import math
from dataclasses import dataclass

from remot.structures.references import Interval


@dataclass(frozen=True)
class CloserLook:
    """Times of a clip that are to be shown densely.

    Args:
        stretches: Stretches of time in seconds, counted as the times of a video's frames are.
        dense_share: Share of the frames shown that lie in them, above 0 and at most 1.
        tell_times: Tell the times of the frames in words, also of a video.

    Raises:
        ValueError: If a number is none of these.
    """

    stretches: tuple[Interval, ...]
    dense_share: float = 0.75
    tell_times: bool = True

    def __post_init__(self) -> None:
        numbers = [number for stretch in self.stretches for number in stretch]
        ordered = all(start <= end for start, end in self.stretches)
        if not (ordered and all(map(math.isfinite, numbers)) and 0 < self.dense_share <= 1):
            msg = f"a closer look needs finite stretches and a share in (0, 1], got {self!r:.200}"
            raise ValueError(msg)
