"""One checker a task: takes prompts one by one and gives the figures of all."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from remot.data.experts import Expert
from remot.data.tasks import MotionContrast, Task
from remot.datatools.audit.blind import score_blind
from remot.datatools.audit.report import LabelFigures, TaskFigures, describe
from remot.datatools.audit.tasks.blind_baselines import TextOnlyPrompt
from remot.datatools.audit.tasks.checks import is_checked, wrong_references
from remot.datatools.audit.tasks.guessing import Guesses, score_guesses
from remot.datatools.audit.tasks.prompt import AskedPrompt
from remot.datatools.audit.triplets.answer_check import wrong_letters
from remot.datatools.audit.triplets.label_check import ExpertLimits, WrongLabel, wrong_labels
from remot.datatools.audit.triplets.tuples import answer_tuple, possible_tuples
from remot.structures import Question, Reference

#: Answers that are listed.
MAX_ANSWERS = 16


@dataclass(frozen=True)
class ClipCounts:
    """What the clips of a split allow a task to ask.

    Args:
        num_clips: Clips of the split.
        num_serving: Those that have what the task needs.
        refusals: How often something is asked or refused, by reason.
        num_looked_at: Clips that these are of.
    """

    num_clips: int
    num_serving: int
    refusals: Mapping[str, int]
    num_looked_at: int


class TaskChecker(ABC):
    """Checks the prompts of one task by computations that share nothing with the task's own."""

    @abstractmethod
    def add(self, asked: AskedPrompt) -> None:
        """Check one prompt.

        Raises:
            DecodeError: If an image is needed and cannot be decoded.
        """

    @abstractmethod
    def figures(self, name: str, clips: ClipCounts, seed: int) -> TaskFigures:
        """What was found.

        Args:
            name: What the task is called.
            clips: What the clips of the split allow.
            seed: Seed of the halves that blind baselines are fitted to.
        """


def checker_of(task: Task) -> TaskChecker:
    """The checker of a task."""
    return LabelChecker(task) if isinstance(task, MotionContrast) else ReferenceChecker(task)


class ReferenceChecker(TaskChecker):
    """Computes references a second time from the annotations.

    Args:
        task: The task.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.prompts: list[TextOnlyPrompt] = []
        self.answers: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.num_wrong = 0

    def add(self, asked: AskedPrompt) -> None:
        """Check one prompt."""
        times = asked.clip.pts_seconds
        seconds = max(float(times[asked.frames[-1]] - times[0]), 1e-3)
        self.prompts.append(TextOnlyPrompt(asked.question, seconds, self.task.answers))
        self.answers[_answer_of(self.prompts[-1], asked.verdict)] += 1
        if is_checked(self.task):
            faults = wrong_references(asked)
            self.wrong += faults
            self.num_wrong += bool(faults)

    def figures(self, name: str, clips: ClipCounts, seed: int) -> TaskFigures:
        """What was found."""
        return TaskFigures(
            name=name,
            num_prompts=len(self.prompts),
            num_checked=len(self.prompts) * is_checked(self.task),
            wrong=self.wrong,
            num_wrong=self.num_wrong,
            needs=self.task.needs,
            num_clips=clips.num_clips,
            num_serving=clips.num_serving,
            refusals=clips.refusals,
            num_looked_at=clips.num_looked_at,
            answers={answer: count for answer, count in self.answers.most_common(MAX_ANSWERS) if answer},
            quantiles=_quantiles([prompt.reference for prompt in self.prompts]),
            guesses=score_guesses(self.prompts, seed) if len(self.prompts) > 1 else [],
        )


def _answer_of(prompt: TextOnlyPrompt, verdict: str) -> str:
    """The right answer in words, "" for what is no short text."""
    reference = prompt.reference
    if prompt.options:
        return verdict or prompt.options.get(reference.answer or "", "")
    if reference.number is not None:
        return f"{reference.number:g}"
    return (reference.answer or "") if not (reference.intervals or reference.boxes) else ""


def _quantiles(references: Sequence[Reference]) -> tuple[float, ...] | None:
    """Spread of numbers, else of the lengths of times, else of the areas of boxes."""
    values = [one.number for one in references if one.number is not None]
    values = values or [end - start for one in references for start, end in one.intervals or ()]
    values = values or [(box[2] - box[0]) * (box[3] - box[1]) for one in references for box in one.boxes or ()]
    return tuple(float(one) for one in np.quantile(values, (0, 0.25, 0.5, 0.75, 1))) if values else None


class LabelChecker(TaskChecker):
    """Computes labels of pairs of frames a second time, reads letters back, and counts tuples of answers.

    Args:
        task: The task; only its thresholds and wordings are used.
    """

    def __init__(self, task: MotionContrast) -> None:
        self.task = task
        self.limits = limits_of(task.sampler.experts)
        self.questions: list[Question] = []
        self.wrong: list[WrongLabel] = []
        self.letters: list[str] = []
        self.impossible: list[str] = []
        self.attributes: Counter[str] = Counter()
        self.tuples: Counter[str] = Counter()
        self.possible: set[str] = set()
        self.num_wrong = 0

    def add(self, asked: AskedPrompt) -> None:
        """Check one prompt."""
        question, triplet, before = asked.question, asked.triplet, self._num_faults
        self.questions.append(question)
        attribute = triplet.labels[0].attribute
        self.wrong += wrong_labels(triplet, self.limits.get(attribute, []))
        self.letters += wrong_letters(question, triplet, self.task.writer.wordings)
        self.attributes.update(label.attribute for label in triplet.labels)
        labels = triplet.labels if question.format == "comparative" else [slot.label for slot in question.slots]
        answers, possible = answer_tuple(labels), possible_tuples(attribute, len(labels))
        self.tuples[answers] += 1
        self.possible |= possible
        if answers not in possible:
            self.impossible.append(f"{question.prompt_id} has {answers}")
        self.num_wrong += self._num_faults > before

    @property
    def _num_faults(self) -> int:
        return len(self.wrong) + len(self.letters) + len(self.impossible)

    def figures(self, name: str, clips: ClipCounts, seed: int) -> TaskFigures:
        """What was found."""
        return TaskFigures(
            name=name,
            num_prompts=len(self.questions),
            num_checked=len(self.questions),
            wrong=[*map(describe, self.wrong), *self.letters, *self.impossible],
            num_wrong=self.num_wrong,
            needs=self.task.needs,
            num_clips=clips.num_clips,
            num_serving=clips.num_serving,
            refusals=clips.refusals,
            num_looked_at=clips.num_looked_at,
            answers=dict(self.tuples.most_common(MAX_ANSWERS)),
            quantiles=None,
            guesses=letter_guesses(self.questions, seed),
            labels=LabelFigures(
                attributes=dict(sorted(self.attributes.items())),
                wrong=self.wrong,
                letters=self.letters,
                impossible=self.impossible,
                tuples={answers: self.tuples[answers] for answers in sorted(self.possible | set(self.tuples))},
                num_possible=len(self.possible),
            ),
        )


def letter_guesses(questions: Sequence[Question], seed: int = 0) -> list[Guesses]:
    """Share of letters that blind baselines guess; none if there are fewer than two prompts with letters."""
    blind = score_blind(questions, seed)
    if blind is None:
        return []
    return [Guesses("right", blind.by_model, blind.standard_errors, blind.halved_by, blind.chance)]


def limits_of(experts: Sequence[Expert]) -> dict[str, list[ExpertLimits]]:
    """The settings of ``experts``, by attribute."""
    limits: dict[str, list[ExpertLimits]] = {}
    for expert in experts:
        limits.setdefault(expert.attribute.name, []).append(ExpertLimits.of(expert))
    return limits
