"""Questions from anywhere as JSON lines: images or a video, a question, and an answer of one of six types.

docs/evaluate.md describes the keys. The files are untrusted.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from remot.answers import LETTERS
from remot.data.annotations.base import check_keys
from remot.data.records.fields import number_in, numbers_in, text_in
from remot.data.records.jsonl import read_lines
from remot.errors import AnnotationError
from remot.structures import Box, Interval

AnswerType = Literal["letter", "number", "word", "text", "intervals", "boxes"]
ANSWER_TYPES: tuple[AnswerType, ...] = ("letter", "number", "word", "text", "intervals", "boxes")
#: A text, a number, stretches of time in seconds, or boxes.
Answer = str | float | tuple[Interval, ...] | tuple[Box, ...]
_OPTIONAL = ("id", "images", "video", "start", "end", "options", "answer_type", "task", "scene")
#: Most images, intervals and boxes of a question.
MAX_LISTED = 4096


@dataclass(frozen=True)
class QARecord:
    """One question.

    Args:
        record_id: Its name; that of the file and line where the row has none.
        images: Paths of the images as written, in the order shown.
        video: Path of the video as written, "" if there is none.
        start_seconds: Start of what is shown of the video; None for its beginning.
        end_seconds: End of what is shown of the video; None for its end.
        question: The question without its options.
        options: What the letters A, B, … stand for; none if it asks for no letter.
        answer_type: What the answer is.
        answer: The right answer; a letter as such.
        task: Name by which scores are grouped, "" if there is none.
        scene: What several questions are about; the video or first image where the row does not say.
    """

    record_id: str
    images: tuple[str, ...]
    video: str
    start_seconds: float | None
    end_seconds: float | None
    question: str
    options: tuple[str, ...]
    answer_type: AnswerType
    answer: Answer
    task: str
    scene: str


def read_qa(file: Path) -> Iterator[QARecord]:
    """The questions of a file.

    Raises:
        AnnotationError: If a line is malformed.
    """
    for number, record in read_lines(file):
        yield parse_qa(f"{file}: line {number}", record, f"{file.name}:{number}")


def parse_qa(where: str, record: Mapping[str, Any], name: str) -> QARecord:
    """The question of a line.

    Args:
        where: File and line, for messages.
        record: The JSON object.
        name: What to call it if it has no id.

    Raises:
        AnnotationError: Naming the key at fault.
    """
    try:
        return _parse(where, {"id": name, **record})
    except RecursionError as error:
        msg = f"{where}: values are nested too deeply"
        raise AnnotationError(msg) from error


def _parse(where: str, record: Mapping[str, Any]) -> QARecord:
    check_keys(where, record, ("question", "answer"), _OPTIONAL)
    images = _images(where, record.get("images"))
    video = text_in(where, record, "video") if record.get("video") is not None else ""
    if bool(images) == bool(video):
        msg = f"{where}: needs either images or a video"
        raise AnnotationError(msg, reason="missing")
    start, end = (number_in(where, record, key) if record.get(key) is not None else None for key in ("start", "end"))
    if (start, end) != (None, None) and not video:
        msg = f"{where}: start and end belong to a video, and there is none"
        raise AnnotationError(msg)
    if start is not None and end is not None and start > end:
        msg = f"{where}: the part of the video from {start:g} to {end:g} s ends before it starts"
        raise AnnotationError(msg, reason="times")
    options = _options(where, record.get("options"))
    answer_type = _answer_type(where, record, options)
    return QARecord(
        record_id=text_in(where, record, "id"),
        images=images,
        video=video,
        start_seconds=start,
        end_seconds=end,
        question=text_in(where, record, "question"),
        options=options,
        answer_type=answer_type,
        answer=_answer(where, record, answer_type, options),
        task=text_in(where, record, "task") if record.get("task") is not None else "",
        scene=text_in(where, record, "scene") if record.get("scene") is not None else video or images[0],
    )


def _images(where: str, value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_LISTED:
        msg = f"{where}: images must be a list of 1 to {MAX_LISTED} paths"
        raise AnnotationError(msg, reason="shape")
    return tuple(text_in(where, {"images": one}, "images") for one in value)


def _options(where: str, value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not 2 <= len(value) <= len(LETTERS):
        msg = f"{where}: options must be a list of 2 to {len(LETTERS)} texts, without their letters"
        raise AnnotationError(msg, reason="shape")
    return tuple(text_in(where, {"option": one}, "option") for one in value)


def _answer_type(where: str, record: Mapping[str, Any], options: Sequence[str]) -> AnswerType:
    """As the row says, else by what the answer is."""
    given = record.get("answer_type")
    if given is not None:
        if given not in ANSWER_TYPES:
            msg = f"{where}: answer_type is {given!r:.40}, choose from {', '.join(ANSWER_TYPES)}"
            raise AnnotationError(msg)
        return cast("AnswerType", given)
    answer = record["answer"]
    if options:
        return "letter"
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        return "number"
    if isinstance(answer, list) and answer and isinstance(answer[0], list):
        return "intervals" if len(answer[0]) == 2 else "boxes"
    return "word" if isinstance(answer, str) and len(answer.split()) == 1 else "text"


def _answer(where: str, record: Mapping[str, Any], answer_type: AnswerType, options: Sequence[str]) -> Answer:
    if answer_type == "number":
        return number_in(where, record, "answer")
    if answer_type in ("word", "text"):
        return text_in(where, record, "answer")
    if answer_type == "letter":
        letter, letters = text_in(where, record, "answer"), LETTERS[: len(options)]
        if len(letter) != 1 or letter not in letters:
            msg = f"{where}: the answer {letter!r:.40} is none of the letters {letters or '(there are no options)'}"
            raise AnnotationError(msg)
        return letter
    rows = record["answer"]
    if not isinstance(rows, list) or not 1 <= len(rows) <= MAX_LISTED:
        msg = f"{where}: the answer must be a list of 1 to {MAX_LISTED} {answer_type}"
        raise AnnotationError(msg, reason="shape")
    width = 2 if answer_type == "intervals" else 4
    found = tuple(numbers_in(where, {"answer": row}, "answer", width) for row in rows)
    half = width // 2
    if any(low > high for row in found for low, high in zip(row[:half], row[half:], strict=True)):
        msg = f"{where}: an answer in {answer_type} ends before it starts"
        raise AnnotationError(msg, reason="shape")
    return cast("Answer", found)
