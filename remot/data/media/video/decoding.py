"""The frames that are shown at given times."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame

from remot.data.media.video.containers import opened, tolerance_seconds
from remot.data.media.video.matching import FrameMatcher
from remot.data.media.video.seeking import Walk
from remot.errors import DecodeError


def frames_at(media: Path, wanted: Sequence[float]) -> Iterator[tuple[float, VideoFrame]]:
    """Each of the increasing times ``wanted`` with the frame shown then.

    What is not found by leaving out frames is looked for once more without.
    """
    if not np.isfinite(wanted).all():
        msg = f"{media}: a frame is wanted at a time that is not finite, repair the annotated times"
        raise DecodeError(msg)
    num_found = 0
    try:
        for found in decoded(media, wanted, may_skip=True):
            num_found += 1
            yield found
    except DecodeError:
        yield from decoded(media, wanted[num_found:], may_skip=False)


def decoded(media: Path, wanted: Sequence[float], *, may_skip: bool) -> Iterator[tuple[float, VideoFrame]]:
    """As :func:`frames_at`, once.

    Args:
        media: The video.
        wanted: Increasing times in seconds.
        may_skip: Leave out frames that are not needed for those that are wanted.
    """
    if not wanted:
        return
    with opened(media) as (container, stream):
        exact = 0.501 * float(stream.time_base or 0)
        matcher = FrameMatcher(media, wanted, tolerance_seconds(stream), exact)
        for time, frame in Walk(container, stream, matcher, may_skip).images():
            yield from matcher.push(time, frame)
            if matcher.num_settled == len(wanted):
                return
        yield from matcher.finish()
