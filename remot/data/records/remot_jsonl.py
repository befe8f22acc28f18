"""Records of the test files that ReMoT published (arXiv 2603.00461): one JSON object a line.

The source's conventions: ``images`` are paths on another machine; ``messages`` is one message of the user, whose
text follows the images; ``solution`` is ``<answer>CAB</answer>`` with one letter for each question, in order; ``id``
may be missing. A question stands in a line of the text and ends in its options, ``… A: Opened, B: Closed, C: No
movement.``; or its options follow it in lines of their own, ``A: Image 1``. Some records ask for words or numbers
instead (``T``, ``3``).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from remot.answers import LETTERS, parse_response
from remot.data.annotations.base import check_keys, parse_json, require_object, require_text
from remot.errors import AnnotationError

#: Longest line that is read; the published ones have fewer than 4,000 characters.
MAX_LINE_CHARS = 100_000
MAX_IMAGES = 32


@dataclass(frozen=True)
class ReleasedSlot:
    """One question of a prompt.

    Args:
        text: What stands before its options.
        options: What each letter means, in the order of the letters: ``(("A", "Opened"), ("B", "Closed"))``.
    """

    text: str
    options: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ReleasedPrompt:
    """One record.

    Args:
        prompt_id: Its name, "" if it has none.
        images: Paths of the images as published, in the order shown. They are not paths of this machine.
        text: What the user says after the images.
        solution: The right answer, upper-cased: one letter for each of ``slots``, or a word or number without them.
        slots: The questions with lettered options, in order; none if the text has no such options.
    """

    prompt_id: str
    images: tuple[str, ...]
    text: str
    solution: str
    slots: tuple[ReleasedSlot, ...]


def parse_record(line: str, where: str = "record") -> ReleasedPrompt:
    """The prompt in one line of a published file, read in time linear in its length.

    Args:
        line: The line.
        where: File and number of the line, for errors.

    Raises:
        AnnotationError: If it is no such record, or its answer does not fit its options.
    """
    if len(line) > MAX_LINE_CHARS:
        msg = f"{where}: longer than {MAX_LINE_CHARS} characters, no record is"
        raise AnnotationError(msg, reason="too large")
    content = require_object(where, parse_json(where, line))
    check_keys(where, content, ("images", "messages", "solution"), ("id",))
    text = _user_text(where, content["messages"])
    solution = parse_response(require_text(where, content, "solution")).answer
    if not solution:
        msg = f"{where}: solution has no text between <answer> and </answer>, add it"
        raise AnnotationError(msg, reason="missing")
    slots = tuple(_slots(text.splitlines()))
    _require_fit(where, solution, slots)
    prompt_id = require_text(where, content, "id") if "id" in content else ""
    return ReleasedPrompt(prompt_id, _images(where, content["images"]), text, solution, slots)


def _user_text(where: str, messages: object) -> str:
    if not isinstance(messages, list) or len(messages) != 1:
        msg = f"{where}: messages must hold one message of the user"
        raise AnnotationError(msg, reason="shape")
    message: dict[str, Any] = require_object(f"{where}: messages", messages[0])
    check_keys(f"{where}: messages", message, ("role", "content"))
    if message["role"] != "user":
        msg = f"{where}: the message is from {message['role']!r:.40}, expected 'user'"
        raise AnnotationError(msg)
    return require_text(f"{where}: messages", message, "content")


def _images(where: str, images: object) -> tuple[str, ...]:
    if not isinstance(images, list) or not 1 <= len(images) <= MAX_IMAGES:
        msg = f"{where}: images must be a list of 1 to {MAX_IMAGES} paths"
        raise AnnotationError(msg, reason="shape")
    if any(not isinstance(image, str) or not image for image in images):
        msg = f"{where}: images must hold paths only"
        raise AnnotationError(msg)
    return tuple(images)


def _slots(lines: Sequence[str]) -> Iterator[ReleasedSlot]:
    """Questions whose options end their line, and questions followed by a line for each option."""
    for number, line in enumerate(lines):
        inline = _inline_options(line)
        if inline is not None:
            yield inline
        elif len(listed := _listed_options(lines, number + 1)) > 1:
            yield ReleasedSlot(line.strip(), tuple(listed))


def _listed_options(lines: Sequence[str], first: int) -> list[tuple[str, str]]:
    """Options that stand in lines of their own from line ``first`` on."""
    options = []
    for letter, line in zip(LETTERS, lines[first : first + len(LETTERS)], strict=False):
        mark, colon, text = line.strip().partition(":")
        if mark != letter or not colon or not text.strip():
            break
        options.append((letter, text.strip()))
    return options


def _inline_options(line: str) -> ReleasedSlot | None:
    """The question of a line that ends in ``A: …, B: …`` and perhaps a full stop; None for other lines."""
    start = line.find(" A: ")
    if start < 0:
        return None
    options, place = [], start + 1
    for letter, following in zip(LETTERS, [*LETTERS[1:], ""], strict=True):
        end = line.find(f", {following}: ", place) if following else -1
        options.append((letter, line[place + 3 : end if end >= 0 else None].strip()))
        if end < 0:
            break
        place = end + 2
    options[-1] = options[-1][0], options[-1][1].removesuffix(".")
    return ReleasedSlot(line[:start].strip(), tuple(options)) if len(options) > 1 else None


def _require_fit(where: str, solution: str, slots: Sequence[ReleasedSlot]) -> None:
    """Refuse a solution with another number of letters than there are questions, or with letters of no option."""
    if slots and len(solution) != len(slots):
        msg = f"{where}: {len(slots)} questions but the solution {solution!r:.40}, correct one of them"
        raise AnnotationError(msg, reason="unsynchronised")
    for number, (letter, slot) in enumerate(zip(solution, slots, strict=False), start=1):
        if letter not in dict(slot.options):
            msg = f"{where}: the solution has {letter!r} for question {number}, which has no such option"
            raise AnnotationError(msg)
