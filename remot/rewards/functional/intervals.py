"""Overlap of stretches of time, in [0, 1]. Predictions may end before they start: such a stretch is empty."""

import math
from collections.abc import Sequence

from remot.structures import Interval


def hull_iou(predicted: Interval, gold: Interval) -> float:
    """Length of the intersection over the length of the hull of both, 0 if both are one moment.

    (VideoChat-R1, arXiv 2504.06958; V-STaR.) Equal to :func:`union_iou` where the two overlap, 0 where they do not.
    """
    (start, end), (gold_start, gold_end) = predicted, gold
    hull = max(end, gold_end) - min(start, gold_start)
    return max(0.0, min(end, gold_end) - max(start, gold_start)) / hull if hull > 0 else 0.0


def union_iou(predicted: Interval, gold: Interval) -> float:
    """Length of the intersection over the length of the union of two stretches, 0 if both are one moment."""
    (start, end), (gold_start, gold_end) = predicted, gold
    shared = max(0.0, min(end, gold_end) - max(start, gold_start))
    union = max(0.0, end - start) + max(0.0, gold_end - gold_start) - shared
    return shared / union if union > 0 else 0.0


def merged(intervals: Sequence[Interval]) -> list[Interval]:
    """The same moments as disjoint stretches in order; touching ones become one."""
    disjoint: list[Interval] = []
    for start, end in sorted(interval for interval in intervals if interval[0] <= interval[1]):
        if disjoint and start <= disjoint[-1][1]:
            disjoint[-1] = (disjoint[-1][0], max(disjoint[-1][1], end))
        else:
            disjoint.append((start, end))
    return disjoint


def set_iou(predicted: Sequence[Interval], gold: Sequence[Interval]) -> float:
    """|∪P ∩ ∪G| / |∪P ∪ ∪G|, 1 if neither covers any time (VideoChat-R1; TempR1, type "union")."""
    first, second = merged(predicted), merged(gold)
    shared = 0.0
    i = j = 0
    while i < len(first) and j < len(second):
        shared += max(0.0, min(first[i][1], second[j][1]) - max(first[i][0], second[j][0]))
        if first[i][1] < second[j][1]:
            i += 1
        else:
            j += 1
    union = sum(end - start for start, end in first) + sum(end - start for start, end in second) - shared
    return shared / union if union > 0 else 1.0


def paired_iou(predicted: Sequence[Interval], gold: Sequence[Interval]) -> float:
    """Mean of :func:`union_iou` of the k-th with the k-th; one without a partner counts as 0, 1 if there are none.

    (TempR1, arXiv 2512.03963, type "one to one". How unequal numbers count is not published: reconstruction.)
    """
    longer = max(len(predicted), len(gold))
    return sum(map(union_iou, predicted, gold)) / longer if longer else 1.0


def ordered_matching(predicted: Sequence[Interval], gold: Sequence[Interval]) -> float:
    """Largest total :func:`union_iou` of pairs (i, j) in which both i and j only increase.

    M[i, j] = max(M[i−1, j], M[i, j−1], M[i−1, j−1] + IoU(i, j)) (TempR1, arXiv 2512.03963). Takes len · len steps.
    """
    row = [0.0] * (len(gold) + 1)
    for interval in predicted:
        above = row
        row = [0.0]
        for j, right in enumerate(gold):
            row.append(max(above[j + 1], row[j], above[j] + union_iou(interval, right)))
    return row[-1]


def matching_f1(predicted: Sequence[Interval], gold: Sequence[Interval]) -> float:
    """2PR / (P + R), P and R the total of :func:`ordered_matching` over the numbers of stretches (TempR1, R_match).

    0 where only one side has stretches or none overlap; 1 where neither has any.
    """
    if not predicted or not gold:
        return float(not predicted and not gold)
    total = ordered_matching(predicted, gold)
    precision, recall = total / len(predicted), total / len(gold)
    return 2 * precision * recall / (precision + recall) if total > 0 else 0.0


def count_agreement(num_predicted: int, num_gold: int, sigma: float = 1.0) -> float:
    """exp(−|N_p − N_g| / (min(N_g, 3) · σ)) for N_g ≥ 1 (TempR1, R_num).

    With N_g = 0, which the formula leaves open, N_g counts as 1.
    """
    return math.exp(-abs(num_predicted - num_gold) / (min(max(num_gold, 1), 3) * sigma))
