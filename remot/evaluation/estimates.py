"""Means with intervals over scenes; needs numpy alone."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from remot.seeding import numpy_generator

#: Scores that are better when they are lower.
LESS_IS_BETTER = ("cut_off", "num_tokens")


@dataclass(frozen=True)
class Estimate:
    """A mean and its 95 % interval.

    Args:
        mean: Mean over completions, NaN if there are none.
        low: Lower end, NaN if fewer than two scenes contribute: one scene shows no variance.
        high: Upper end, NaN likewise.
        replicates: [R] bootstrap means behind the interval; those of tables over the same scenes are paired.
        num_scenes: Scenes that contribute; see :func:`remot.structures.interval_note` for how many it takes.
    """

    mean: float
    low: float
    high: float
    replicates: NDArray[np.float64] = field(default_factory=lambda: np.empty(0), repr=False, compare=False)
    num_scenes: int = 0


def scene_draws(num_scenes: int, seed: int, num_resamples: int) -> NDArray[np.float64]:
    """How often each scene comes up in each of R resamples of S of S scenes: [R, S]."""
    generator = numpy_generator(seed, "scene_bootstrap", num_scenes)
    times = generator.multinomial(num_scenes, np.full(num_scenes, 1 / num_scenes), size=num_resamples)
    return times.astype(float)


def interval(mean: float, replicates: NDArray[np.float64], num_scenes: int) -> Estimate:
    """The 95 % percentile interval of ``replicates`` around ``mean``; NaN ends if there are none."""
    finite = replicates[~np.isnan(replicates)]
    low, high = np.percentile(finite, [2.5, 97.5]) if finite.size else (np.nan, np.nan)
    return Estimate(mean, float(low), float(high), replicates, num_scenes)


def format_estimate(estimate: Estimate, *, signed: bool = False) -> str:
    """``0.412 [0.38, 0.45]``; without the brackets if there is no interval, a dash if there is no value."""
    if math.isnan(estimate.mean):
        return "–"
    sign = "+" if signed else ""
    mean = f"{estimate.mean:{sign}.3f}"
    return mean if math.isnan(estimate.low) else f"{mean} [{estimate.low:{sign}.2f}, {estimate.high:{sign}.2f}]"
