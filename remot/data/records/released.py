"""Prompts of files in the public ReMoT layout, which hold letters and no annotations."""

import re
from dataclasses import dataclass
from pathlib import Path

from remot.data.records.jsonl import bounded_lines
from remot.data.records.remot_jsonl import MAX_LINE_CHARS, ReleasedSlot, parse_record
from remot.errors import AnnotationError
from remot.structures import MotionLabel, Question, Slot

_PAIR = re.compile(r"from Image (\d) to Image (\d)")
#: What names of metrics may not hold.
_NO_WORD = re.compile(r"[^a-z0-9]+")
#: Longest name given to a kind of question; questions differ at their ends.
_MAX_KIND_CHARS = 80


@dataclass(frozen=True)
class ReleasedQuestion:
    """One prompt of such a file.

    Args:
        question: Text, options and right letters. Its labels hold what the right options say; their magnitude is not
            known (NaN) and their attribute is made of the question's own words without the numbers of the images.
        images: Paths as published.
        line: Number of its line.
    """

    question: Question
    images: tuple[str, ...]
    line: int


def read_released(file: Path) -> list[ReleasedQuestion]:
    """The prompts of a file; those without lettered options have no slots."""
    prompts = []
    for number, line in bounded_lines(file, MAX_LINE_CHARS):
        prompt = parse_record(line, f"{file}: line {number}")
        prompt_id = prompt.prompt_id or f"{file.name}:{number}"
        slots = tuple(_slot(one, letter) for one, letter in zip(prompt.slots, prompt.solution, strict=False))
        question = Question(prompt_id, prompt.text, slots, file.stem, prompt_id)
        prompts.append(ReleasedQuestion(question, prompt.images, number))
    if not prompts:
        msg = f"{file}: holds no prompt"
        raise AnnotationError(msg, reason="zero length")
    return prompts


def _slot(released: ReleasedSlot, letter: str) -> Slot:
    found = _PAIR.search(released.text)
    pair = (int(found[1]), int(found[2])) if found else (1, 2)
    kind = _NO_WORD.sub("_", _PAIR.sub("", released.text).lower()).strip("_")[-_MAX_KIND_CHARS:].strip("_")
    label = MotionLabel(pair, kind or "question", dict(released.options)[letter], float("nan"), "")
    return Slot(label, tuple(text for _, text in released.options), letter)
