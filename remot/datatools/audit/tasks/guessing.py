"""How much of an answer can be guessed without looking at an image.

A letter or word counts if it is right, a number by its mean relative accuracy (VSI-Bench, arXiv 2412.14171), stretches
of time and boxes by their overlap.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from remot.datatools.audit.splits import HalvedBy, first_half, mean_with_error, unit_for, unit_of
from remot.datatools.audit.tasks.blind_baselines import (
    AnswerFromText,
    BestConstant,
    BlindBaseline,
    ConstantByQuestion,
    GivenBoxStays,
    LikelyOption,
    MajorityAnswer,
    TextOnlyPrompt,
    boxes_overlap,
    relative_accuracy,
    times_overlap,
)
from remot.structures import Interval


@dataclass(frozen=True)
class Guesses:
    """What models reach without images.

    Args:
        measure: ``right``, ``relative_accuracy`` or ``overlap``.
        by_model: Mean of each model, on scenes or prompts it was not fitted to.
        standard_errors: Standard error of each mean.
        halved_by: What the halves were divided by, which is also the unit of the standard errors.
        chance: Mean of 1 / number of answers to choose from; None where there is nothing to choose from.
    """

    measure: str
    by_model: Mapping[str, float]
    standard_errors: Mapping[str, float]
    halved_by: HalvedBy
    chance: float | None = None

    @property
    def best(self) -> str:
        """Name of the best model. Its mean is a little too high, as that of a best of several."""
        return max(self.by_model, key=lambda name: self.by_model[name])

    def record(self) -> dict[str, Any]:
        """Everything as JSON-ready values."""
        return {
            "measure": self.measure,
            "chance": self.chance,
            "blind_score": self.by_model[self.best],
            "blind_models": dict(self.by_model),
            "blind_standard_errors": dict(self.standard_errors),
            "blind_halved_by": self.halved_by,
        }


def score_guesses(prompts: Sequence[TextOnlyPrompt], seed: int = 0) -> list[Guesses]:
    """What can be guessed of the prompts of one task, by what their references hold.

    Every model is fitted to each half of the scenes and scored on the other half; of one scene only, by prompts.

    Args:
        prompts: Prompts of one task.
        seed: Names the halves.

    Returns:
        One for letters or words, numbers, times and boxes each; none where there are fewer than two prompts.
    """
    found = [_score(models, measure, prompts, seed) for models, measure in _models_for(prompts)]
    return [one for one in found if one is not None]


def _models_for(prompts: Sequence[TextOnlyPrompt]) -> list[tuple[list[BlindBaseline], str]]:
    """Models and their measure for each thing that all references hold."""
    held = [prompt.reference for prompt in prompts]
    numbers, intervals, boxes = (
        bool(held) and all(value is not None for value in values)
        for values in (
            [one.number for one in held],
            [one.intervals for one in held],
            [one.boxes for one in held],
        )
    )
    lettered = all(prompt.options for prompt in prompts)
    kinds: list[tuple[list[BlindBaseline], str]] = []
    if lettered or (all(one.answer is not None for one in held) and not (numbers or intervals or boxes)):
        kinds.append(([MajorityAnswer(), AnswerFromText(), *([LikelyOption()] if lettered else [])], "right"))
    if numbers:
        kinds.append((_constants(lambda one: one.reference.number, _number_score), "relative_accuracy"))
    if intervals:
        kinds.append((_constants(_share_of_time, _times_score), "overlap"))
    if boxes:
        given = all(_first_box_is_given(prompt) for prompt in prompts)
        stays: list[BlindBaseline] = [GivenBoxStays()] if given else []
        kinds.append(([*_constants(lambda one: (one.reference.boxes or ())[0], _boxes_score), *stays], "overlap"))
    return kinds


def _constants(
    value_of: Callable[[TextOnlyPrompt], object], score_of: Callable[[object, TextOnlyPrompt], float]
) -> list[BlindBaseline]:
    return [BestConstant(value_of, score_of), ConstantByQuestion(value_of, score_of)]


def _number_score(guess: object, prompt: TextOnlyPrompt) -> float:
    assert isinstance(guess, int | float)
    return relative_accuracy(guess, prompt.reference.number or 0.0)


def _times_score(guess: object, prompt: TextOnlyPrompt) -> float:
    assert isinstance(guess, tuple)
    return times_overlap(guess, prompt)


def _boxes_score(guess: object, prompt: TextOnlyPrompt) -> float:
    assert isinstance(guess, tuple)
    return boxes_overlap(guess, prompt)


def _share_of_time(prompt: TextOnlyPrompt) -> Interval:
    start, end = (prompt.reference.intervals or ((0.0, 0.0),))[0]
    return start / prompt.seconds, end / prompt.seconds


def _first_box_is_given(prompt: TextOnlyPrompt) -> bool:
    box = (prompt.reference.boxes or ((),))[0]
    return f"[{', '.join(f'{edge:g}' for edge in box)}]" in prompt.question.text


def _score(
    models: Sequence[BlindBaseline], measure: str, prompts: Sequence[TextOnlyPrompt], seed: int
) -> Guesses | None:
    questions = [prompt.question for prompt in prompts]
    unit = unit_for(questions)
    chosen = first_half(questions, unit, seed)
    halves = [[one for one in prompts if (unit_of(one.question, unit) in chosen) == first] for first in (True, False)]
    if not all(halves):
        return None
    means, errors = {}, {}
    for model in models:
        scores: dict[str, list[float]] = defaultdict(list)
        for fitted, scored in (halves, halves[::-1]):
            model.fit(fitted)
            for prompt in scored:
                scores[unit_of(prompt.question, unit)].append(model.score(prompt))
        means[model.name], errors[model.name] = mean_with_error(scores)
    return Guesses(measure, means, errors, unit, _chance(prompts) if measure == "right" else None)


def _chance(prompts: Sequence[TextOnlyPrompt]) -> float | None:
    numbers = [len(prompt.options or prompt.answers) for prompt in prompts]
    return float(np.mean([1 / number for number in numbers])) if all(numbers) else None
