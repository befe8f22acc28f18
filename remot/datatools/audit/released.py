"""The audit of files in the public ReMoT layout that hold letters only: what can be guessed without an image."""

from collections import Counter
from pathlib import Path

from remot.data.records.released import read_released
from remot.datatools.audit.checkers import letter_guesses
from remot.datatools.audit.overlap import SplitOverlap
from remot.datatools.audit.report import Audit, LabelFigures, TaskFigures
from remot.structures import Question


def audit_released(file: Path, num_prompts: int | None = None) -> Audit:
    """Guessing models and answer tuples over the prompts of a file; labels cannot be checked without annotations.

    Args:
        file: JSON lines in the public ReMoT layout.
        num_prompts: Prompts to read, from the first one on; None for all.

    Raises:
        AnnotationError: If a line is malformed.
    """
    questions = [prompt.question for prompt in read_released(file)][:num_prompts]
    tuples = Counter(answers_of(question) for question in questions if question.slots)
    judged = [question for question in questions if question.slots]
    figures = TaskFigures(
        name=file.name,
        num_prompts=len(questions),
        num_checked=0,
        wrong=[],
        num_wrong=0,
        needs="lettered options",
        num_clips=0,
        num_serving=0,
        refusals={},
        num_looked_at=0,
        answers={},
        quantiles=None,
        guesses=letter_guesses(judged),
        labels=LabelFigures({}, [], [], [], dict(sorted(tuples.items())), 0),
    )
    return Audit(file.name, len(questions), [figures], SplitOverlap())


def answers_of(question: Question) -> str:
    """The right answers in words, such as ``Up, Down, Down``."""
    return ", ".join(slot.label.value for slot in question.slots)
