"""Rows of tracking data sets as whole tracks."""

from collections.abc import Sequence

import numpy as np

from remot.data.annotations.objects.nearest import IntArray
from remot.errors import AnnotationError
from remot.structures import FloatArray


def track_names(nouns: Sequence[str], tracks: IntArray) -> dict[str, IntArray]:
    """Rows of each track by name, such as ``car 2``; numbers count the tracks of a noun in order of their first rows.

    Args:
        nouns: What each of R rows is about, "" for what is left out.
        tracks: [R] track numbers.
    """
    rows: dict[tuple[str, int], list[int]] = {}
    for row, (noun, track) in enumerate(zip(nouns, tracks.tolist(), strict=True)):
        if noun:
            rows.setdefault((noun, track), []).append(row)
    found, counts = {}, dict.fromkeys((noun for noun, _ in rows), 0)
    for (noun, _), listed in rows.items():
        counts[noun] += 1
        found[f"{noun} {counts[noun]}"] = np.array(listed, dtype=np.int64)
    return found


def rows_by_frame(where: str, name: str, frames: IntArray, values: FloatArray, num_frames: int) -> FloatArray:
    """[N, C] values of a track, a row of NaN for each frame without one.

    Raises:
        AnnotationError: If a frame has two.
    """
    if len(np.unique(frames)) < len(frames):
        msg = f"{where}: the track of {name} has two rows in one frame, keep one of them"
        raise AnnotationError(msg, reason="duplicate id")
    found = np.full((num_frames, values.shape[1]), np.nan)
    found[frames] = values
    return found
