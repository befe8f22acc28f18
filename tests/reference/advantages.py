"""Advantages written out: nested lists [P][G] in, the same out."""

from math import isnan
from statistics import fmean, stdev


def flat(rewards):
    return [reward for group in rewards for reward in group]


def batch_std(rewards, eps):
    scale = stdev(flat(rewards)) + eps
    return [[(reward - fmean(group)) / scale for reward in group] for group in rewards]


def mean_only(rewards):
    return [[reward - fmean(group) for reward in group] for group in rewards]


def leave_one_out(rewards):
    return [[reward - fmean(group[:i] + group[i + 1 :]) for i, reward in enumerate(group)] for group in rewards]


def whole_batch(rewards, eps):
    mean, scale = fmean(flat(rewards)), stdev(flat(rewards)) + eps
    return [[(reward - mean) / scale for reward in group] for group in rewards]


def group_baseline(rewards, eps):
    return whole_batch(mean_only(rewards), eps)


def gdpo(terms, weights, eps):
    """``terms`` is [K][P][G]; NaN does not apply."""
    sums = [[0.0 for _ in group] for group in terms[0]]
    for term, weight in zip(terms, weights, strict=True):
        for p, group in enumerate(term):
            known = [reward for reward in group if not isnan(reward)]
            if len(known) < 2 or len(set(known)) == 1:
                continue
            for g, reward in enumerate(group):
                if not isnan(reward):
                    sums[p][g] += weight * (reward - fmean(known)) / (stdev(known) + eps)
    return whole_batch(sums, eps)
