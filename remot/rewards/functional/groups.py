"""Bonuses that depend on the other completions of a prompt.

Accuracies are compared as float32 tensors, as in the released code: a threshold is rounded as they are, so that an
accuracy of exactly 0.1 does not exceed 0.1. As Python numbers it would, since float32's 0.1 is above 0.1.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from remot.structures import Question


def temporal_bonus(
    accuracies: Tensor,
    shuffled: Tensor,
    *,
    ratio: float = 0.8,
    bonus: float = 0.3,
    min_accuracy: float = 0.1,
) -> Tensor:
    """T-GRPO: ``bonus`` for each answer above ``min_accuracy`` if mean(acc) ≥ ratio · mean(acc of shuffled frames).

    (SpaceR, arXiv 2504.01805, and Video-R1, arXiv 2503.21776.) Without shuffled completions, as for images, none
    gets it. SpaceR samples half as many of them as of the others.

    Args:
        accuracies: [G] float32, accuracy of each completion.
        shuffled: [S] float32, accuracy of completions that saw the frames in a wrong order.
        ratio: How much of the shuffled accuracy has to be reached.
        bonus: What a completion gets.
        min_accuracy: What it has to exceed.

    Returns:
        [G] float32.
    """
    if not len(accuracies) or not len(shuffled) or accuracies.mean() < ratio * shuffled.mean():
        return torch.zeros_like(accuracies)
    return bonus * (accuracies > min_accuracy).float()


def length_bonus(
    accuracies: Tensor,
    lengths: Sequence[int],
    *,
    shortest: int = 320,
    longest: int = 512,
    bonus: float = 0.2,
    min_accuracy: float = 0.1,
) -> Tensor:
    """SpaceR's length control: ``bonus`` for answers above ``min_accuracy`` that are neither short nor long.

    It is given only if more than one completion of the group is above ``min_accuracy``.

    Args:
        accuracies: [G] float32, accuracy of each completion.
        lengths: G lengths; SpaceR counts tokens.
        shortest: Smallest length that gets it.
        longest: Largest length that gets it.
        bonus: What a completion gets.
        min_accuracy: What its accuracy has to exceed.

    Returns:
        [G] float32.
    """
    good = accuracies > min_accuracy  # [G]
    fits = torch.tensor([shortest <= length <= longest for length in lengths], dtype=torch.bool)  # [G]
    return bonus * (good & fits & (good.sum() > 1)).float()


def groups_of(questions: Sequence[Question]) -> list[list[int]]:
    """Numbers of the completions with the same prompt id, groups in the order of their first completion."""
    groups: dict[str, list[int]] = {}
    for row, question in enumerate(questions):
        groups.setdefault(question.prompt_id, []).append(row)
    return list(groups.values())
