"""Halves of the scenes, so that a model that guesses is never scored on what it was fitted to."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from remot.seeding import numpy_generator
from remot.structures import Question

HalvedBy = Literal["scene", "prompt"]


def unit_for(questions: Iterable[Question]) -> HalvedBy:
    """Scenes, since prompts of one scene are alike; prompts where there is one scene only."""
    return "scene" if len({question.scene_id for question in questions}) > 1 else "prompt"


def unit_of(question: Question, unit: HalvedBy) -> str:
    """The scene or prompt that a question is of."""
    return question.scene_id if unit == "scene" else question.prompt_id


def first_half(questions: Iterable[Question], unit: HalvedBy, seed: int) -> set[str]:
    """Half of the units, drawn.

    Args:
        questions: All prompts.
        unit: What is divided.
        seed: Names the halves.
    """
    names = sorted({unit_of(question, unit) for question in questions})
    order = numpy_generator(seed, "audit", "halves").permutation(len(names))
    return {names[k] for k in order[: len(names) // 2]}


def mean_with_error(scores: Mapping[str, Sequence[float]]) -> tuple[float, float]:
    """Mean of all scores and its standard error, the keys taken as the independent units."""
    total = sum(len(of_unit) for of_unit in scores.values())
    mean = sum(sum(of_unit) for of_unit in scores.values()) / total
    surplus = np.array([sum(of_unit) - mean * len(of_unit) for of_unit in scores.values()])
    return mean, float(np.sqrt((surplus**2).sum())) / total
