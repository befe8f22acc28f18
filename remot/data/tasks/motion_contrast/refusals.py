"""Why pairs of frames are not asked about, in numbers."""

from collections.abc import Iterable, Sequence

import numpy as np

from remot.data.experts import AMBIGUOUS, Expert
from remot.structures import Clip

#: Frames of a clip whose pairs are counted, spread over it.
MAX_FRAMES = 32
#: What becomes of a pair.
VERDICTS = ("none", "moved", "unclear", "not_measurable")


def pairs_by_verdict(clips: Iterable[Clip], experts: Sequence[Expert]) -> dict[str, dict[str, int]]:
    """For each attribute how many pairs of frames are asked about, and why others are not.

    Pairs of up to :data:`MAX_FRAMES` frames of each clip: ``none`` and ``moved`` are asked about; ``unclear`` lie
    between the thresholds or beyond the largest motion; ``not_measurable`` are not annotated, or something else moved.
    """
    counts = {expert.attribute.name: dict.fromkeys(VERDICTS, 0) for expert in experts}
    for clip in clips:
        frames = np.unique(np.linspace(0, clip.num_frames - 1, MAX_FRAMES).astype(np.int64))
        earlier = np.triu_indices(len(frames), k=1)
        for expert in experts:
            for verdicts in expert.judge(clip, frames).values():
                codes, unknown = verdicts.codes[earlier], np.isnan(verdicts.magnitudes[earlier])
                of_kind = (
                    codes == 0,
                    (codes != 0) & (codes != AMBIGUOUS),
                    (codes == AMBIGUOUS) & ~unknown,
                    unknown,
                )
                for name, pairs in zip(VERDICTS, of_kind, strict=True):
                    counts[expert.attribute.name][name] += int(pairs.sum())
    return counts
