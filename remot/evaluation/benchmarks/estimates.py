"""Metrics with 95 % intervals from resampling whole scenes, as :func:`remot.evaluation.scores.score_table` does."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from remot.evaluation.benchmarks.base import Metric
from remot.evaluation.estimates import Estimate, interval, scene_draws

NUM_RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class MeasuredMetric:
    """A metric with its value.

    Args:
        metric: What it is.
        estimate: Value and interval.
    """

    metric: Metric
    estimate: Estimate


def measured(metrics: Sequence[Metric], seed: int = 0, num_resamples: int = NUM_RESAMPLES) -> list[MeasuredMetric]:
    """Value and interval of each metric; all are computed over the same resamples of scenes, so that they are paired.

    Args:
        metrics: What to compute.
        seed: Names the resamples.
        num_resamples: R.
    """
    scenes = sorted(frozenset[str]().union(*(metric.statistic.scenes for metric in metrics)))
    if not scenes:
        return [MeasuredMetric(metric, Estimate(float("nan"), float("nan"), float("nan"))) for metric in metrics]
    place = {scene: k for k, scene in enumerate(scenes)}
    times = scene_draws(len(scenes), seed, num_resamples)  # [R, S]
    once = np.ones((1, len(scenes)))
    found = []
    for metric in metrics:
        num_scenes = len(metric.statistic.scenes)
        value = float(metric.statistic.over(place, once)[0])
        replicates = metric.statistic.over(place, times) if num_scenes >= 2 else np.empty(0)
        found.append(MeasuredMetric(metric, interval(value, replicates, num_scenes)))
    return found
