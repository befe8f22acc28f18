"""Whether two policies differ on the same questions: paired bootstrap over scenes, McNemar, tests over seeds, Holm.

Notation: Q questions, S scenes, R resamples.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

import numpy as np
from numpy.typing import NDArray

from remot.evaluation.estimates import Estimate, interval, scene_draws
from remot.structures.held_out import MIN_SCENES_FOR_95

#: More than for a table's intervals: Holm's correction multiplies small p-values.
NUM_RESAMPLES = 9999
#: Discordant pairs up to which McNemar's test adds up the binomial distribution.
MAX_EXACT_PAIRS = 1000
UNKNOWN = float("nan")


@dataclass(frozen=True)
class McNemar:
    """McNemar's test on right and wrong answers to the same questions.

    Args:
        lost: Questions that only the first policy answers right.
        won: Questions that only the second policy answers right.
        p_value: Two-sided.
    """

    lost: int
    won: int
    p_value: float


@dataclass(frozen=True)
class Difference:
    """The second policy, or group of runs, minus the first.

    Args:
        estimate: Mean difference and its 95 % interval, over scenes or over seeds.
        p_value: Two-sided p-value of no difference; NaN where it cannot be computed.
        unit: ``scenes`` or ``seeds``: what other draws of would give another difference.
        num_questions: Questions that are compared.
        mcnemar: McNemar's test, None where the scores are not 0 and 1.
    """

    estimate: Estimate
    p_value: float
    unit: str
    num_questions: int
    mcnemar: McNemar | None = None


def paired_difference(
    before: NDArray[np.float64], after: NDArray[np.float64], scenes: Sequence[str], *, seed: int = 0
) -> Difference:
    """Compare two policies question by question; whole scenes are resampled, as their questions are alike.

    The p-value is that of the studentised bootstrap: how often a resample's deviation from the difference found, in
    units of its own standard error, is as large as that of the difference from 0 (Davison and Hinkley 1997, section
    4.4). It is at least 2^(1 - S), the least that S independent scenes can show, and there is none below six scenes.

    Args:
        before: [Q] scores of the first policy; NaN where a question has none.
        after: [Q] scores of the second policy.
        scenes: Scene of each question.
        seed: Names the resamples.
    """
    present = ~(np.isnan(before) | np.isnan(after))
    before, after = before[present], after[present]
    names, scene_of = np.unique(np.array(scenes, dtype=object)[present].astype(str), return_inverse=True)
    num_scenes = len(names)
    if num_scenes == 0:
        return Difference(Estimate(UNKNOWN, UNKNOWN, UNKNOWN), UNKNOWN, "scenes", 0)
    sums = np.bincount(scene_of, after - before, num_scenes).astype(float)  # [S]
    counts = np.bincount(scene_of, minlength=num_scenes).astype(float)  # [S]
    times = scene_draws(num_scenes, seed, NUM_RESAMPLES).astype(float)  # [R, S]
    replicates = (times @ sums) / (times @ counts)  # [R]
    mean = float(sums.sum() / counts.sum())
    found = interval(mean, replicates if num_scenes >= 2 else np.empty(0), num_scenes)
    p_value = _bootstrap_p(mean, replicates, times, sums, counts) if num_scenes >= MIN_SCENES_FOR_95 else UNKNOWN
    binary = all(np.isin(scores, (0.0, 1.0)).all() for scores in (before, after))
    return Difference(found, p_value, "scenes", len(before), mcnemar(before, after) if binary else None)


def _bootstrap_p(
    mean: float,
    replicates: NDArray[np.float64],
    times: NDArray[np.float64],
    sums: NDArray[np.float64],
    counts: NDArray[np.float64],
) -> float:
    once = np.ones((1, len(sums)))
    error = float(_standard_errors(np.array([mean]), once, sums, counts)[0])
    errors = _standard_errors(replicates, times, sums, counts)  # [R]
    if mean == 0:
        return 1.0
    deviations = np.abs(replicates - mean)
    with np.errstate(divide="ignore", invalid="ignore"):
        extreme = np.where(errors > 0, deviations * error >= abs(mean) * errors, deviations > 0)
    p_value = (1 + int(extreme.sum())) / (1 + len(replicates))
    return float(min(1.0, max(p_value, 2.0 ** (1 - len(sums)))))


def _standard_errors(
    means: NDArray[np.float64], times: NDArray[np.float64], sums: NDArray[np.float64], counts: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of a ratio of sums over scenes that are drawn ``times`` [R, S]: √(Σ t (y - m·n)² · S/(S-1)) / Σ t n."""
    squares = times @ sums**2 - 2 * means * (times @ (sums * counts)) + means**2 * (times @ counts**2)  # [R]
    num_scenes = len(sums)
    errors: NDArray[np.float64] = np.sqrt(np.maximum(squares, 0) * num_scenes / (num_scenes - 1)) / (times @ counts)
    return np.where(errors < 1e-12, 0.0, errors)  # rounding of the squares


def mcnemar(before: NDArray[np.float64], after: NDArray[np.float64]) -> McNemar:
    """McNemar's test of two columns of 0 and 1 [Q]; it takes questions for independent of each other.

    Up to :data:`MAX_EXACT_PAIRS` discordant pairs the p-value is that of the binomial distribution with probability
    1/2, above that of χ² with one degree of freedom and Edwards' correction (McNemar 1947, Edwards 1948).
    """
    lost, won = int(((before == 1) & (after == 0)).sum()), int(((before == 0) & (after == 1)).sum())
    return McNemar(lost, won, mcnemar_p(lost, won))


def mcnemar_p(lost: int, won: int) -> float:
    """Two-sided p-value of ``lost`` against ``won`` discordant pairs.

    >>> mcnemar_p(1, 5)
    0.21875
    """
    num = lost + won
    if num <= MAX_EXACT_PAIRS:
        tail = sum(math.comb(num, k) for k in range(min(lost, won) + 1))
        return float(min(1.0, 2 * tail / 2**num))
    return math.erfc(math.sqrt(max(0, abs(lost - won) - 1) ** 2 / num / 2))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for their number by Holm's step-down procedure (1979); NaN is none and stays.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    ranked = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    corrected, largest = [UNKNOWN] * len(p_values), 0.0
    for rank, (p, place) in enumerate(ranked):
        largest = max(largest, min(1.0, (len(ranked) - rank) * p))
        corrected[place] = largest
    return corrected


def seed_difference(before: Sequence[float], after: Sequence[float], *, paired: bool, num_questions: int) -> Difference:
    """Compare two groups of runs by their means, with the seeds as the unit.

    Welch's t-test for groups of different runs (1947); the paired one, Student's of the differences, for the same runs
    before and after. Without any spread there is no p-value, except for two equal means.

    Args:
        before: Score of each run of the first group.
        after: Score of each run of the second group, in the order of ``before`` if ``paired``.
        paired: Whether they are the same runs.
        num_questions: Questions behind each score.
    """
    if paired:
        changes = [new - old for old, new in zip(before, after, strict=True)]
        mean, squares, freedom = fmean(changes), variance(changes) / len(changes), float(len(changes) - 1)
    else:
        parts = [variance(scores) / len(scores) for scores in (before, after)]
        mean, squares = fmean(after) - fmean(before), sum(parts)
        below = sum(part**2 / (len(scores) - 1) for part, scores in zip(parts, (before, after), strict=True))
        freedom = squares**2 / below if below > 0 else UNKNOWN
    return _t_difference(mean, math.sqrt(squares), freedom, num_questions)


def _t_difference(mean: float, error: float, freedom: float, num_questions: int) -> Difference:
    from scipy.special import stdtr, stdtrit

    if error < 1e-12:  # rounding of equal scores
        equal = abs(mean) < 1e-12
        return Difference(Estimate(mean, UNKNOWN, UNKNOWN), 1.0 if equal else UNKNOWN, "seeds", num_questions)
    half = float(stdtrit(freedom, 0.975)) * error
    p_value = 2 * float(stdtr(freedom, -abs(mean) / error))
    return Difference(Estimate(mean, mean - half, mean + half), p_value, "seeds", num_questions)
