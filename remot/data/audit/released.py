"""The audit of files in the public ReMoT layout that hold letters only: what can be guessed without a picture."""

from collections import Counter
from pathlib import Path

from remot.data.audit.blind import score_blind
from remot.data.audit.overlap import SplitOverlap
from remot.data.audit.report import Audit
from remot.data.released import read_released
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
    return Audit(
        split=file.name,
        num_prompts=len(questions),
        wrong=[],
        letters=[],
        impossible=[],
        attributes={},
        tuples=dict(sorted(tuples.items())),
        num_possible=0,
        blind=score_blind([question for question in questions if question.slots]),
        overlap=SplitOverlap(),
    )


def answers_of(question: Question) -> str:
    """The right answers in words, such as ``Up, Down, Down``."""
    return ", ".join(slot.label.value for slot in question.slots)
