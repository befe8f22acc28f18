"""Clips that are drawn more often than others."""

from collections.abc import Sequence

import numpy as np

from remot.structures import Clip


def weights_of(clips: Sequence[Clip]) -> list[float]:
    """The weight of each clip; no clip is read of which an entry is known."""
    return [one.weight for one in getattr(clips, "entries", clips)]


class WeightedDraw:
    """Draws the number of one of several things by their weights.

    Args:
        weights: Of each; their unit does not matter.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        self.num_things = len(weights)
        self._ends = None
        if len(set(weights)) > 1:
            ends = np.cumsum(weights)
            self._ends = ends / ends[-1]

    def __call__(self, generator: np.random.Generator) -> int:
        """A number from 0; with equal weights a whole number is drawn, else one from 0 to 1."""
        if self._ends is None:
            return int(generator.integers(self.num_things))
        return int(np.searchsorted(self._ends, generator.random(), side="right"))
