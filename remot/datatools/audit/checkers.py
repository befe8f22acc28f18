"""One checker a task: takes prompts one by one and gives the figures of all."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from remot.data.experts import Expert
from remot.data.tasks import MotionContrast, Task
from remot.datatools.audit.baselines import TextOnlyPrompt
from remot.datatools.audit.blind import score_blind, score_guesses
from remot.datatools.audit.report import ClipCounts, LabelFigures, TaskFigures, describe
from remot.datatools.audit.tasks.checks import is_checked, wrong_references
from remot.datatools.audit.tasks.prompt import AskedPrompt
from remot.datatools.audit.triplets.answer_check import wrong_letters
from remot.datatools.audit.triplets.label_check import ExpertLimits, WrongLabel, wrong_labels
from remot.datatools.audit.triplets.tuples import answer_tuple, possible_tuples
from remot.structures import Question

#: Answers that are listed.
MAX_ANSWERS = 16


@dataclass(eq=False)
class TaskChecker(ABC):
    """Checks the prompts of one task by computations that share only its settings and wordings."""

    task: Task
    num_prompts: int = 0
    num_wrong: int = 0

    def add(self, asked: AskedPrompt) -> None:
        """Check one prompt, decoding an image if one is needed."""
        self.num_prompts += 1
        self.num_wrong += self._has_fault(asked)

    @abstractmethod
    def _has_fault(self, asked: AskedPrompt) -> bool:
        """Check a prompt and keep what was found."""

    def figures(self, name: str, clips: ClipCounts, seed: int) -> TaskFigures:  # noqa: ARG002
        """What was found; ``seed`` names the halves that blind baselines are fitted to."""
        return TaskFigures(name, self.num_prompts, self.task.needs, num_wrong=self.num_wrong, clips=clips)


def checker_of(task: Task) -> TaskChecker:
    """The checker of a task."""
    return LabelChecker(task) if isinstance(task, MotionContrast) else ReferenceChecker(task)


@dataclass(eq=False)
class ReferenceChecker(TaskChecker):
    """Computes references a second time from the annotations."""

    prompts: list[TextOnlyPrompt] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def _has_fault(self, asked: AskedPrompt) -> bool:
        times = asked.clip.pts_seconds
        seconds = max(float(times[asked.frames[-1]] - times[0]), 1e-3)
        self.prompts.append(TextOnlyPrompt(asked.question, seconds, self.task.answers))
        self.answers[_answer_of(self.prompts[-1], asked.verdict)] += 1
        faults = wrong_references(asked) if is_checked(self.task) else []
        self.wrong += faults
        return bool(faults)

    def figures(self, name: str, clips: ClipCounts, seed: int) -> TaskFigures:
        """What was found; the spread is that of numbers, else of the lengths of times, else of the areas of boxes."""
        references = [prompt.reference for prompt in self.prompts]
        values = [one.number for one in references if one.number is not None]
        values = values or [end - start for one in references for start, end in one.intervals or ()]
        values = values or [(box[2] - box[0]) * (box[3] - box[1]) for one in references for box in one.boxes or ()]
        return replace(
            super().figures(name, clips, seed),
            num_checked=self.num_prompts * is_checked(self.task),
            wrong=self.wrong,
            answers={answer: count for answer, count in self.answers.most_common(MAX_ANSWERS) if answer},
            quantiles=tuple(np.quantile(values, (0, 0.25, 0.5, 0.75, 1)).tolist()) if values else None,
            guesses=score_guesses(self.prompts, seed) if self.num_prompts > 1 else [],
        )


def _answer_of(prompt: TextOnlyPrompt, verdict: str) -> str:
    """The right answer in words, "" for what is no short text."""
    reference = prompt.reference
    if prompt.options:
        return verdict or prompt.options.get(reference.answer or "", "")
    if reference.number is not None:
        return f"{reference.number:g}"
    return (reference.answer or "") if not (reference.intervals or reference.boxes) else ""


class LabelChecker(TaskChecker):
    """Computes labels of pairs of frames a second time, reads letters back, and counts tuples of answers."""

    def __init__(self, task: MotionContrast) -> None:
        super().__init__(task)
        self.wordings = task.writer.wordings
        self.limits = limits_of(task.sampler.experts)
        self.questions: list[Question] = []
        self.wrong: list[WrongLabel] = []
        self.letters: list[str] = []
        self.impossible: list[str] = []
        self.attributes: Counter[str] = Counter()
        self.tuples: Counter[str] = Counter()
        self.possible: set[str] = set()

    def _has_fault(self, asked: AskedPrompt) -> bool:
        question, triplet = asked.question, asked.triplet
        self.questions.append(question)
        attribute = triplet.labels[0].attribute
        wrong = wrong_labels(triplet, self.limits.get(attribute, []))
        letters = wrong_letters(question, triplet, self.wordings)
        self.attributes.update(label.attribute for label in triplet.labels)
        labels = triplet.labels if question.format == "comparative" else [slot.label for slot in question.slots]
        answers, possible = answer_tuple(labels), possible_tuples(attribute, len(labels))
        self.tuples[answers] += 1
        self.possible |= possible
        impossible = [] if answers in possible else [f"{question.prompt_id} has {answers}"]
        self.wrong += wrong
        self.letters += letters
        self.impossible += impossible
        return bool(wrong or letters or impossible)

    def figures(self, name: str, clips: ClipCounts, seed: int) -> TaskFigures:
        """What was found."""
        guesses = score_blind(self.questions, seed)
        return replace(
            super().figures(name, clips, seed),
            num_checked=self.num_prompts,
            wrong=[*map(describe, self.wrong), *self.letters, *self.impossible],
            answers=dict(self.tuples.most_common(MAX_ANSWERS)),
            guesses=[] if guesses is None else [guesses],
            labels=LabelFigures(
                tuples={answers: self.tuples[answers] for answers in sorted(self.possible | set(self.tuples))},
                num_possible=len(self.possible),
                attributes=dict(sorted(self.attributes.items())),
                wrong=self.wrong,
                letters=self.letters,
                impossible=self.impossible,
            ),
        )


def limits_of(experts: Sequence[Expert]) -> dict[str, list[ExpertLimits]]:
    """The settings of ``experts``, by attribute."""
    limits: dict[str, list[ExpertLimits]] = {}
    for expert in experts:
        limits.setdefault(expert.attribute.name, []).append(ExpertLimits.of(expert))
    return limits
