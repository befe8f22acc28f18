"""Paired tests by hand, against scipy, and by how often they are wrong where nothing differs."""

import math

import numpy as np
import pytest
from scipy import stats

from remot.evaluation import paired
from remot.evaluation.estimates import scene_draws
from remot.evaluation.paired import holm, mcnemar, mcnemar_p, paired_difference, seed_difference
from tests.helpers import assert_close


def test_mcnemar_by_hand():
    """One lost, five won: 2 · (C(6,0) + C(6,1)) / 2^6 = 2 · 7 / 64; ties on both sides do not count."""
    before = np.array([1, 0, 0, 0, 0, 0, 1, 1, 0], dtype=float)
    after = np.array([0, 1, 1, 1, 1, 1, 1, 1, 0], dtype=float)
    found = mcnemar(before, after)
    assert (found.lost, found.won) == (1, 5)
    assert found.p_value == 14 / 64
    assert mcnemar_p(3, 3) == mcnemar_p(0, 0) == 1.0
    assert mcnemar_p(0, 10) == 2 / 2**10


@pytest.mark.parametrize(("lost", "won"), [(0, 1), (4, 9), (12, 30), (200, 251), (499, 501)])
def test_mcnemar_is_the_binomial_test(lost, won):
    assert_close(mcnemar_p(lost, won), stats.binomtest(lost, lost + won, 0.5).pvalue)


def test_many_discordant_pairs_take_the_chi_squared_distribution():
    """(|900 - 1100| - 1)² / 2000 = 19.8005, with one degree of freedom."""
    assert_close(mcnemar_p(900, 1100), stats.chi2.sf(199**2 / 2000, 1))
    assert_close(mcnemar_p(900, 1100), stats.binomtest(900, 2000, 0.5).pvalue, atol=2e-6)


def test_holm_by_hand():
    """0.005·4 = 0.02; 0.01·3 = 0.03; 0.03·2 = 0.06; 0.04·1 = 0.04 is below the one before, so 0.06; NaN is no test."""
    assert_close(holm([0.04, 0.01, 0.03, 0.005]), [0.06, 0.03, 0.06, 0.02])
    with_none = holm([0.04, math.nan, 0.03])
    assert_close([with_none[0], with_none[2]], [0.06, 0.06])
    assert math.isnan(with_none[1])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_paired_difference_by_hand():
    """Six scenes of two questions; each scene's mean difference is 0, 0.5 or 1: (0 + 0.5·2 + 1·3) / 6."""
    scenes = [f"scene {k}" for k in range(6) for _ in range(2)]
    before = np.zeros(12)
    after = np.array([0, 0, 0, 1, 1, 0, 1, 1, 1, 1, 1, 1], dtype=float)
    found = paired_difference(before, after, scenes)
    assert_close(found.estimate.mean, 8 / 12)
    assert (found.num_questions, found.unit, found.estimate.num_scenes) == (12, "scenes", 6)
    assert (found.mcnemar.lost, found.mcnemar.won) == (0, 8)
    times = scene_draws(6, 0, paired.NUM_RESAMPLES)
    means = times @ np.array([0, 1, 1, 2, 2, 2]) / 12
    assert_close([found.estimate.low, found.estimate.high], np.percentile(means, [2.5, 97.5]))


def test_the_p_value_is_that_of_the_studentised_bootstrap():
    """One question a scene: the statistic of each resample is Student's t of its own mean, computed here one by one."""
    after = np.array([1, 0, 0, 1, -1, 1, 1, 0, 1, -1], dtype=float)
    found = paired_difference(np.zeros(10), after, [str(k) for k in range(10)])
    mean, extreme = after.mean(), 0
    observed = mean / (after.std(ddof=1) / math.sqrt(10))
    for times in scene_draws(10, 0, paired.NUM_RESAMPLES).astype(int):
        drawn = np.repeat(after, times)
        error = drawn.std() / math.sqrt(10) * math.sqrt(10 / 9)
        extreme += abs(drawn.mean() - mean) >= observed * error - 1e-12 if error > 0 else drawn.mean() != mean
    assert_close(found.p_value, (1 + extreme) / (1 + paired.NUM_RESAMPLES), atol=2e-3)
    assert found.mcnemar is None  # -1 is neither right nor wrong


def test_few_scenes_give_no_small_p_value():
    """Six scenes that all improve cannot show less than 2^(1 - 6); five scenes give no p-value at all."""
    everything = np.ones(12)
    scenes = [str(k // 2) for k in range(12)]
    assert paired_difference(np.zeros(12), everything, scenes).p_value == 2**-5
    few = paired_difference(np.zeros(10), everything[:10], scenes[:10])
    assert math.isnan(few.p_value)
    assert few.estimate.mean == 1


def test_questions_without_a_score_are_left_out():
    nan = math.nan
    found = paired_difference(np.array([0, nan, 1, 0]), np.array([1, 1, nan, 1]), ["a", "b", "c", "d"])
    assert (found.num_questions, found.estimate.mean, found.estimate.num_scenes) == (2, 1.0, 2)
    nothing = paired_difference(np.array([nan]), np.array([1.0]), ["a"])
    assert (nothing.num_questions, math.isnan(nothing.p_value), math.isnan(nothing.estimate.mean)) == (0, True, True)


def test_equal_policies_do_not_differ():
    scores = np.tile([0.0, 1.0], 20)
    found = paired_difference(scores, scores, [str(k) for k in range(40)])
    assert (found.p_value, found.estimate.mean, found.mcnemar.p_value) == (1.0, 0.0, 1.0)


def test_seeds_are_compared_by_welchs_test():
    before, after = [0.50, 0.52, 0.55], [0.61, 0.58, 0.66, 0.63]
    found = seed_difference(before, after, paired=False, num_questions=7)
    wanted = stats.ttest_ind(after, before, equal_var=False)
    assert_close(found.p_value, wanted.pvalue)
    low, high = wanted.confidence_interval(0.95)
    assert_close([found.estimate.mean, found.estimate.low, found.estimate.high], [0.62 - 1.57 / 3, low, high])
    assert (found.unit, found.num_questions) == ("seeds", 7)


def test_the_same_runs_before_and_after_are_paired():
    before, after = [0.50, 0.52, 0.55], [0.61, 0.64, 0.65]
    wanted = stats.ttest_rel(after, before)
    assert_close(seed_difference(before, after, paired=True, num_questions=1).p_value, wanted.pvalue)


def test_seeds_without_spread_give_a_p_value_for_equal_means_only():
    same = seed_difference([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], paired=False, num_questions=1)
    other = seed_difference([0.1, 0.1, 0.1], [0.3, 0.3, 0.3], paired=True, num_questions=1)
    assert same.p_value == 1.0
    assert math.isnan(other.p_value)
    assert_close(other.estimate.mean, 0.2)


def simulated(generator, num_scenes, effect=0.0):
    """Answers of two policies; each has strengths of its own in each scene, of which the questions of a scene share."""
    scenes = np.repeat(np.arange(num_scenes), generator.integers(3, 12, num_scenes))
    strength = generator.normal(0, 0.8, (2, num_scenes))[:, scenes] + np.array([[0.0], [effect]])
    return *(generator.normal(size=strength.shape) < strength).astype(float), [str(scene) for scene in scenes]


@pytest.mark.parametrize("num_scenes", [8, 24])
def test_false_positives_and_coverage(monkeypatch, num_scenes):
    """Policies that differ by chance alone: at most 5 % p-values below 0.05, within three standard deviations.

    McNemar's test takes the questions of a scene for independent and finds far more: the bootstrap decides.
    """
    monkeypatch.setattr(paired, "NUM_RESAMPLES", 499)
    generator = np.random.default_rng(5)
    found = [paired_difference(*simulated(generator, num_scenes)) for _ in range(300)]
    bound = 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)
    assert np.mean([one.p_value < 0.05 for one in found]) < bound
    assert np.mean([one.mcnemar.p_value < 0.05 for one in found]) > 1.5 * bound
    covered = np.mean([one.estimate.low <= 0 <= one.estimate.high for one in found])
    assert covered > (0.83 if num_scenes == 8 else 0.9)  # percentile intervals of few scenes are too narrow


def test_a_true_difference_is_found(monkeypatch):
    monkeypatch.setattr(paired, "NUM_RESAMPLES", 499)
    generator = np.random.default_rng(6)
    found = [paired_difference(*simulated(generator, 36, effect=1.0)) for _ in range(40)]
    assert np.mean([one.p_value < 0.05 for one in found]) > 0.9
