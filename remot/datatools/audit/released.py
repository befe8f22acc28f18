"""The audit of files in the public ReMoT layout that hold letters only: what can be guessed without an image."""

from collections import Counter
from pathlib import Path

from remot.data.records.released import read_released
from remot.datatools.audit.blind import score_blind
from remot.datatools.audit.overlap import SplitOverlap
from remot.datatools.audit.report import Audit, LabelFigures, TaskFigures
from remot.structures import Question


def audit_released(file: Path, num_prompts: int | None = None) -> Audit:
    """Blind baselines and answer tuples over the first prompts of a file; without annotations labels cannot be checked.

    Raises:
        AnnotationError: If a line is malformed.
    """
    questions = [prompt.question for prompt in read_released(file)][:num_prompts]
    lettered = [question for question in questions if question.slots]
    tuples = Counter(map(answers_of, lettered))
    guesses = score_blind(lettered)
    figures = TaskFigures(
        name=file.name,
        num_prompts=len(questions),
        needs="lettered options",
        guesses=[] if guesses is None else [guesses],
        labels=LabelFigures(dict(sorted(tuples.items()))),
    )
    return Audit(file.name, [figures], SplitOverlap())


def answers_of(question: Question) -> str:
    """The right answers in words, such as ``Up, Down, Down``."""
    return ", ".join(slot.label.value for slot in question.slots)
