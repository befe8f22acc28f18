"""How much of an answer can be guessed without looking at an image.

A letter or word counts if it is right, a number by its mean relative accuracy (VSI-Bench, arXiv 2412.14171), stretches
of time and boxes by their overlap. Each baseline is fitted to one half of the scenes and scored on the other, since
prompts of one scene are alike; where there is one scene only, the halves are divided by prompt, which also finds what
is true of that scene alone.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np

from remot.datatools.audit.baselines import (
    AnswerBaseline,
    AnswerFromText,
    BestConstant,
    BlindBaseline,
    ConstantByQuestion,
    GivenBoxStays,
    KnownLaw,
    LikelyOption,
    MajorityAnswer,
    TextOnlyPrompt,
    ValuesFromText,
    boxes_overlap,
    relative_accuracy,
    times_overlap,
)
from remot.seeding import numpy_generator
from remot.structures import Box, Interval, Question

HalvedBy = Literal["scene", "prompt"]
V = TypeVar("V")


@dataclass(frozen=True)
class Guesses:
    """What baselines reach without images.

    Args:
        measure: ``right``, ``relative_accuracy`` or ``overlap``.
        by_model: Mean score of each baseline, on scenes or prompts it was not fitted to.
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
        """Name of the best baseline. Its mean is a little too high, as that of a best of several."""
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


def score_blind(questions: Sequence[Question], seed: int = 0) -> Guesses | None:
    """What can be guessed of the letters of prompts with slots; None if there are fewer than two prompts with letters.

    Each format and number of questions has baselines of its own. Questions for numbers are left out: they have no
    chance level. ``seed`` names the halves.
    """
    prompts = [TextOnlyPrompt(question) for question in questions if not question.asks_numbers]
    counts = [len(slot.options) for prompt in prompts for slot in prompt.question.slots]
    return _score(_letter_baselines(), "right", prompts, seed, counts)


def score_guesses(prompts: Sequence[TextOnlyPrompt], seed: int = 0) -> list[Guesses]:
    """What can be guessed of the prompts of one task, by what all of their references hold.

    One for letters or words, numbers, times and boxes each; none where there are fewer than two prompts.
    """
    held = [prompt.reference for prompt in prompts]
    numbers = bool(held) and all(one.number is not None for one in held)
    intervals = bool(held) and all(one.intervals is not None for one in held)
    boxes = bool(held) and all(one.boxes is not None for one in held)
    lettered = all(prompt.options for prompt in prompts)
    found = []
    if lettered or (all(one.answer is not None for one in held) and not (numbers or intervals or boxes)):
        baselines = [MajorityAnswer(), AnswerFromText(), *([LikelyOption()] if lettered else [])]
        counts = [len(prompt.options or prompt.answers) for prompt in prompts]
        found.append(_score(baselines, "right", prompts, seed, counts))
    if numbers:
        constants = _constants(
            lambda prompt: prompt.reference.number or 0.0,
            lambda guess, prompt: relative_accuracy(guess, prompt.reference.number or 0.0),
        )
        found.append(_score(constants, "relative_accuracy", prompts, seed))
    if intervals:
        found.append(_score(_constants(_share_of_time, times_overlap), "overlap", prompts, seed))
    if boxes:
        edges = [", ".join(f"{edge:g}" for edge in _first_box(prompt)) for prompt in prompts]
        are_given = all(f"[{box}]" in prompt.question.text for box, prompt in zip(edges, prompts, strict=True))
        given = [GivenBoxStays()] if are_given else []
        found.append(_score([*_constants(_first_box, boxes_overlap), *given], "overlap", prompts, seed))
    return [one for one in found if one is not None]


def blind_answers(questions: Sequence[Question], seed: int = 0) -> dict[str, list[tuple[Question, str]]]:
    """The letters that each baseline gives to questions of the half it was not fitted to.

    Args:
        questions: Prompts with their right letters, none of them for numbers.
        seed: Names the halves.

    Returns:
        By name of the baseline the questions with its letters; a kind of question with an empty half is left out.
    """
    answered: dict[str, list[tuple[Question, str]]] = {}
    for baseline in _letter_baselines():
        found = answered.setdefault(baseline.name, [])
        for fitted, asked in _halves([TextOnlyPrompt(question) for question in questions], seed):
            letters = map("".join, baseline.answers(fitted, asked))
            found += zip((prompt.question for prompt in asked), letters, strict=True)
    return answered


def _letter_baselines() -> list[AnswerBaseline]:
    return [MajorityAnswer("majority_letter"), AnswerFromText("letters_from_text"), ValuesFromText(), KnownLaw()]


def _constants(
    value_of: Callable[[TextOnlyPrompt], V], score_of: Callable[[V, TextOnlyPrompt], float]
) -> list[BlindBaseline]:
    return [BestConstant(value_of, score_of), ConstantByQuestion(value_of, score_of)]


def _share_of_time(prompt: TextOnlyPrompt) -> Interval:
    start, end = (prompt.reference.intervals or ((0.0, 0.0),))[0]
    return start / prompt.seconds, end / prompt.seconds


def _first_box(prompt: TextOnlyPrompt) -> Box:
    return (prompt.reference.boxes or ((0, 0, 0, 0),))[0]


def _score(
    baselines: Sequence[BlindBaseline],
    measure: str,
    prompts: Sequence[TextOnlyPrompt],
    seed: int,
    num_choices: Sequence[int] = (),
) -> Guesses | None:
    """Scores of baselines on halves they are not fitted to; None if no kind of prompts has two halves."""
    unit = _halved_by(prompts)
    means, errors = {}, {}
    for baseline in baselines:
        scores: dict[str, list[float]] = defaultdict(list)
        for fitted, scored in _halves(prompts, seed):
            for prompt, found in zip(scored, baseline.scores(fitted, scored), strict=True):
                scores[_unit_of(prompt, unit)] += found
        if scores:
            total = sum(len(of_unit) for of_unit in scores.values())
            mean = sum(sum(of_unit) for of_unit in scores.values()) / total
            surplus = np.array([sum(of_unit) - mean * len(of_unit) for of_unit in scores.values()])
            means[baseline.name], errors[baseline.name] = mean, float(np.sqrt((surplus**2).sum())) / total
    chance = float(np.mean([1 / number for number in num_choices])) if num_choices and all(num_choices) else None
    return Guesses(measure, means, errors, unit, chance) if means else None


def _halves(
    prompts: Sequence[TextOnlyPrompt], seed: int
) -> Iterator[tuple[Sequence[TextOnlyPrompt], Sequence[TextOnlyPrompt]]]:
    """For each format and number of questions the prompts to fit to and those to answer, then the other way round."""
    unit = _halved_by(prompts)
    names = sorted({_unit_of(prompt, unit) for prompt in prompts})
    order = numpy_generator(seed, "audit", "halves").permutation(len(names))
    chosen = {names[k] for k in order[: len(names) // 2]}
    kinds: dict[tuple[str, int], list[TextOnlyPrompt]] = defaultdict(list)
    for prompt in prompts:
        kinds[prompt.question.format, len(prompt.question.slots)].append(prompt)
    for kind in kinds.values():
        first, second = ([one for one in kind if (_unit_of(one, unit) in chosen) == wanted] for wanted in (True, False))
        if first and second:
            yield from ((first, second), (second, first))


def _halved_by(prompts: Sequence[TextOnlyPrompt]) -> HalvedBy:
    return "scene" if len({prompt.question.scene_id for prompt in prompts}) > 1 else "prompt"


def _unit_of(prompt: TextOnlyPrompt, unit: HalvedBy) -> str:
    return prompt.question.scene_id if unit == "scene" else prompt.question.prompt_id
