"""Prompts of files in the public ReMoT layout, which hold letters and no annotations."""

import re
from dataclasses import dataclass
from pathlib import Path

from remot.data.annotations.remot_jsonl import MAX_LINE_CHARS, ReleasedPrompt, ReleasedSlot, parse_record
from remot.errors import AnnotationError
from remot.structures import MotionLabel, Question, Slot

_PAIR = re.compile(r"from Image (\d) to Image (\d)")
#: Longest name given to a kind of question.
_MAX_KIND_CHARS = 120


@dataclass(frozen=True)
class ReleasedQuestion:
    """One prompt of such a file.

    Args:
        question: Text, options and right letters. Its labels hold what the right options say; their magnitude is not
            known (NaN) and their attribute is the question's own text without the numbers of the pictures.
        images: Paths as published.
    """

    question: Question
    images: tuple[str, ...]


def read_released(file: Path) -> list[ReleasedQuestion]:
    """The prompts of a file; those without lettered options have no slots.

    Raises:
        AnnotationError: If the file cannot be read or a line is malformed.
    """
    prompts = []
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(iter(lambda: lines.readline(MAX_LINE_CHARS + 2), ""), 1):
                if line.strip():
                    prompts.append(
                        _question(parse_record(line, f"{file}: line {number}"), f"{file.name}:{number}", file)
                    )
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{file}: cannot be read as text ({error})"
        raise AnnotationError(msg) from error
    if not prompts:
        msg = f"{file}: holds no prompt"
        raise AnnotationError(msg, reason="zero length")
    return prompts


def _question(prompt: ReleasedPrompt, name: str, file: Path) -> ReleasedQuestion:
    prompt_id = prompt.prompt_id or name
    slots = tuple(_slot(one, letter) for one, letter in zip(prompt.slots, prompt.solution, strict=False))
    return ReleasedQuestion(Question(prompt_id, prompt.text, slots, file.stem, prompt_id), prompt.images)


def _slot(released: ReleasedSlot, letter: str) -> Slot:
    found = _PAIR.search(released.text)
    pair = (int(found[1]), int(found[2])) if found else (1, 2)
    kind = _PAIR.sub("", released.text)[-_MAX_KIND_CHARS:].strip()
    label = MotionLabel(pair, kind, dict(released.options)[letter], float("nan"), "")
    return Slot(label, tuple(text for _, text in released.options), letter)
