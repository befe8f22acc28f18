"""Bonuses that depend on the other completions of a prompt."""

from collections.abc import Sequence


def temporal_bonus(
    accuracies: Sequence[float],
    shuffled: Sequence[float],
    *,
    ratio: float = 0.8,
    bonus: float = 0.3,
    min_accuracy: float = 0.1,
) -> list[float]:
    """T-GRPO: ``bonus`` for each answer above ``min_accuracy`` if mean(acc) ≥ ratio · mean(acc of shuffled frames).

    (SpaceR, arXiv 2504.01805, and Video-R1, arXiv 2503.21776.) Without shuffled completions, as for pictures, nobody
    gets it. SpaceR samples half as many of them as of the others.

    Args:
        accuracies: Accuracy of each of the G completions.
        shuffled: Accuracy of completions that saw the frames in a wrong order.
        ratio: How much of the shuffled accuracy has to be reached.
        bonus: What a completion gets.
        min_accuracy: What it has to exceed.
    """
    if not accuracies or not shuffled or _mean(accuracies) < ratio * _mean(shuffled):
        return [0.0] * len(accuracies)
    return [bonus if accuracy > min_accuracy else 0.0 for accuracy in accuracies]


def length_bonus(
    accuracies: Sequence[float],
    lengths: Sequence[int],
    *,
    shortest: int = 320,
    longest: int = 512,
    bonus: float = 0.2,
    min_accuracy: float = 0.1,
) -> list[float]:
    """SpaceR's length control: ``bonus`` for answers above ``min_accuracy`` that are neither short nor long.

    It is given only if more than one completion of the group is above ``min_accuracy``.

    Args:
        accuracies: Accuracy of each of the G completions.
        lengths: Their lengths; SpaceR counts tokens.
        shortest: Smallest length that gets it.
        longest: Largest length that gets it.
        bonus: What a completion gets.
        min_accuracy: What it has to exceed.
    """
    good = [accuracy > min_accuracy for accuracy in accuracies]
    if sum(good) < 2:
        return [0.0] * len(good)
    return [
        bonus if is_good and shortest <= length <= longest else 0.0
        for is_good, length in zip(good, lengths, strict=True)
    ]


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)
