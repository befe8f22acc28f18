"""Questions from anywhere: images or a video, a question, and an answer of one of six types.

One JSON object a line, or one JSON list; docs/questions_file.md describes the keys. ``data.records``,
``remot evaluate --benchmark jsonl`` and ``remot data convert`` read them here. The files are untrusted.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from remot.answers import ANSWER_CLOSE, ANSWER_OPEN, LETTERS, THINK_CLOSE, THINK_OPEN, render_response
from remot.data.annotations.base import check_keys
from remot.data.records.fields import number_in, numbers_in, text_in
from remot.data.records.jsonl import read_objects
from remot.errors import AnnotationError
from remot.structures import ANSWER_TYPES, AnswerType, Box, Interval, Reference

#: A text, a number, stretches of time in seconds, or boxes.
Answer = str | float | tuple[Interval, ...] | tuple[Box, ...]
_OPTIONAL = ("id", "images", "video", "start", "end", "options", "answer_type", "reasoning", "task", "scene")
#: Most images, intervals and boxes of a question.
MAX_LISTED = 4096
#: Numbers from here on have more digits than are read in a reply.
MAX_NUMBER = 1e15
#: What is asked for, behind the question.
INSTRUCTIONS: Mapping[AnswerType, str] = {
    "letter": "Answer with the letter of the right option in <answer></answer>.",
    "number": "Answer with one number in <answer></answer>.",
    "word": "Answer with one word in <answer></answer>.",
    "text": "Answer in <answer></answer>.",
    "intervals": "Answer with stretches of time in seconds, such as [(1.0, 2.5)], in <answer></answer>.",
    "boxes": "Answer with boxes [[left, top, right, bottom], ...] in <answer></answer>.",
}


@dataclass(frozen=True)
class QARecord:
    """One question.

    Args:
        where: File and row, for messages.
        record_id: Its name; that of the file and line where the row has none.
        images: Paths of the images as written, in the order shown.
        video: Path of the video as written, "" if there is none.
        start_seconds: Start of what is shown of the video; None for its beginning.
        end_seconds: End of what is shown of the video; None for its end.
        question: The question without its options.
        options: What the letters A, B, … stand for; none if it asks for no letter.
        answer_type: What the answer is.
        answer: The right answer; a letter as such.
        reasoning: What leads to the answer, "" if there is nothing.
        task: Name by which scores are grouped, "" if there is none.
        scene: What several questions are about; the video or first image where the row does not say.
    """

    where: str
    record_id: str
    images: tuple[str, ...]
    video: str
    start_seconds: float | None
    end_seconds: float | None
    question: str
    options: tuple[str, ...]
    answer_type: AnswerType
    answer: Answer
    reasoning: str
    task: str
    scene: str

    @property
    def text(self) -> str:
        """What a model is asked: the question, its lettered options, and how to answer."""
        options = [f"{letter}. {option}" for letter, option in zip(LETTERS, self.options, strict=False)]
        return "\n".join([self.question, *options, INSTRUCTIONS[self.answer_type]])

    @property
    def response(self) -> str:
        """The response of a perfect policy, with a think element if there is reasoning."""
        return render_response(self.reasoning or None, answer_text(self.answer))

    @property
    def reference(self) -> Reference:
        """What completions are compared with."""
        held = self.answer_type if self.answer_type in ("number", "intervals", "boxes") else "answer"
        return Reference(answer_type=self.answer_type, options=self.options, **{held: cast("Any", self.answer)})

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the scene and the media, by which data that share them are found."""
        return (self.scene, *self.images, *([self.video] if self.video else []))


def answer_text(answer: Answer) -> str:
    """An answer as a model is asked to write it.

    >>> answer_text(3.0), answer_text(((1.0, 2.5),)), answer_text(((0.0, 0.0, 10.0, 20.5),))
    ('3', '[(1.0, 2.5)]', '[[0, 0, 10, 20.5]]')
    """
    if isinstance(answer, str):
        return answer
    if isinstance(answer, float | int):
        return _digits(answer)
    if len(answer[0]) == 2:
        return f"[{', '.join(str(tuple(row)) for row in answer)}]"
    return f"[{', '.join('[' + ', '.join(map(_digits, row)) + ']' for row in answer)}]"


def _digits(number: float) -> str:
    """A number without exponent and needless decimals."""
    return f"{number:.0f}" if number == int(number) else f"{number:.15f}".rstrip("0")


def read_qa(file: Path) -> Iterator[QARecord]:
    """The questions of a file: JSON lines, or one JSON list.

    Raises:
        AnnotationError: If a row is malformed, an id stands there twice, or there is no question.
    """
    places: dict[str, str] = {}
    for where, record in read_objects(file):
        place = where.removeprefix(f"{file}: ")
        found = parse_qa(where, record, f"{file.name}:{place.rpartition(' ')[2]}")
        if (first := places.setdefault(found.record_id, place)) != place:
            msg = f"{where}: the id {found.record_id!r:.80} is that of {first}, each question needs its own"
            raise AnnotationError(msg, reason="duplicate id")
        yield found
    if not places:
        msg = f"{file}: holds no question"
        raise AnnotationError(msg, reason="zero length")


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
    video = _optional_text(where, record, "video")
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
        where=where,
        record_id=text_in(where, record, "id"),
        images=images,
        video=video,
        start_seconds=start,
        end_seconds=end,
        question=text_in(where, record, "question"),
        options=options,
        answer_type=answer_type,
        answer=_answer(where, record, answer_type, options),
        reasoning=_optional_text(where, record, "reasoning"),
        task=_optional_text(where, record, "task"),
        scene=_optional_text(where, record, "scene") or video or images[0],
    )


def _optional_text(where: str, record: Mapping[str, Any], key: str) -> str:
    """The text under a key, "" if there is none; without the tags of the answer contract, which would end it early."""
    if record.get(key) is None:
        return ""
    text = text_in(where, record, key)
    if any(tag in text for tag in (THINK_OPEN, THINK_CLOSE, ANSWER_OPEN, ANSWER_CLOSE)):
        msg = f"{where}: {key} holds a tag such as {ANSWER_OPEN}, give its text alone"
        raise AnnotationError(msg)
    return text


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
    options = tuple(text_in(where, {"option": one}, "option") for one in value)
    if len(set(options)) < len(options):
        twice = next(one for one in options if options.count(one) > 1)
        msg = f"{where}: the option {twice!r:.40} is there twice, so that two letters say the same; keep one"
        raise AnnotationError(msg, reason="duplicate")
    return options


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
        number = number_in(where, record, "answer")
        if not abs(number) < MAX_NUMBER:
            msg = f"{where}: the answer is {number:g}, numbers below {MAX_NUMBER:g} are read in replies"
            raise AnnotationError(msg, reason="too large")
        return number
    if answer_type in ("word", "text"):
        return text_in(where, record, "answer") and _optional_text(where, record, "answer")
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
