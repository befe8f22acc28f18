"""Rows of published training files as questions of one's own; what cannot be carried raises, and is never guessed.

Video-R1 (arXiv 2503.21776) and SpaceR-151k (arXiv 2504.01805) share a layout: ``problem``, ``data_type``,
``problem_type``, ``options``, ``solution``, ``path``, ``data_source``, ``problem_id``, and ``process`` in the file for
SFT. LLaVA (arXiv 2304.08485) and its successors have ``conversations`` of ``human`` and ``gpt`` about ``image`` or
``video``.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Literal, NoReturn

from remot.answers import ANSWER_CLOSE, ANSWER_OPEN, LETTERS, THINK_CLOSE, THINK_OPEN
from remot.errors import AnnotationError

#: What to do with a conversation of several questions.
Turns = Literal["refuse", "separate"]
Row = Mapping[str, Any]
#: Types of Video-R1 by the type of answer they ask for; SpaceR's are the same.
PROBLEM_TYPES = {
    "multiple choice": "letter",
    "numerical": "number",
    "regression": "number",
    "OCR": "text",
    "free-form": "text",
}
#: Keys that are carried; other keys of a row hold nothing that a question has a place for.
VIDEO_R1_KEYS = frozenset(
    {"problem_id", "problem", "data_type", "problem_type", "options", "solution", "path", "data_source", "process"}
)
LLAVA_KEYS = frozenset({"id", "image", "video", "conversations", "data_source"})
#: How to answer, in the words of LLaVA's files; the questions file asks in its own.
LLAVA_INSTRUCTIONS = frozenset(
    {
        "Answer with the option's letter from the given choices directly.",
        "Please answer directly with only the letter of the correct option and nothing else.",
        "Please respond with only the letter of the correct answer.",
        "Please provide your answer by stating the letter followed by the full option.",
        "Answer the question using a single word or phrase.",
    }
)
_SCANNET_SCAN = re.compile(r"(scene\d{4})_\d{2}")
_OPTION = re.compile(r"\(?([A-Z])[).:]\s*(\S.*)", re.DOTALL)
_LETTER = re.compile(r"\(?([A-Z])(?:[).:](?:\s.*)?)?", re.DOTALL)
#: With commas between thousands or without any.
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]*)(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?", re.ASCII)
_PLACEHOLDERS = re.compile(r"<(?:image|video)>")


def layout_of_row(where: str, row: Row) -> Literal["video-r1", "llava"]:
    """Which of the published layouts a row has, by its keys.

    Raises:
        AnnotationError: If it has none of them.
    """
    if "conversations" in row:
        return "llava"
    if "problem" in row and "solution" in row:
        return "video-r1"
    msg = f"{where}: has neither conversations (LLaVA) nor problem and solution (Video-R1, SpaceR-151k)"
    raise AnnotationError(msg, reason="layout")


def from_video_r1(row: Row) -> Iterator[dict[str, Any]]:
    """The question of a row of Video-R1 or SpaceR-151k.

    Raises:
        AnnotationError: If it cannot be carried; ``reason`` says why in a few words.
    """
    kind = PROBLEM_TYPES.get(str(row.get("problem_type")))
    if kind is None:
        _refuse("problem_type", f"{row.get('problem_type')!r:.40} is none of {', '.join(PROBLEM_TYPES)}")
    answer = _between(_text(row, "solution"), ANSWER_OPEN, ANSWER_CLOSE)
    question: dict[str, Any] = {**_shown(row), "question": _text(row, "problem").strip(), "answer_type": kind}
    if kind == "letter":
        options = _option_texts(row.get("options"))
        question |= {"options": options, "answer": _letter_of(answer, options)}
    else:
        question["answer"] = _number(answer) if kind == "number" else answer
    if row.get("process"):
        question["reasoning"] = _between(_text(row, "process"), THINK_OPEN, THINK_CLOSE)
    if row.get("problem_id") is not None:
        question["id"] = str(row["problem_id"])
    if row.get("data_source"):
        question["task"] = _text(row, "data_source")
    yield question


def from_llava(row: Row, turns: Turns = "refuse") -> Iterator[dict[str, Any]]:
    """The questions of a row in LLaVA's layout: one, or with ``turns="separate"`` one for each turn.

    Raises:
        AnnotationError: If it cannot be carried; ``reason`` says why in a few words.
    """
    pairs = _turns(row.get("conversations"))
    if len(pairs) > 1 and turns == "refuse":
        _refuse("several turns", f"{len(pairs)} questions, of which later ones may refer to earlier ones")
    shown = _media(row, "video") or _media(row, "image")
    if not shown:
        _refuse("no image or video", "a question about nothing that is shown")
    num_shown = len(shown.get("images", [0]))
    for number, (asked, answered) in enumerate(pairs):
        question = shown | _lettered_or_plain(_without_placeholders(asked, num_shown, first=number == 0), answered)
        if row.get("id") is not None:
            question["id"] = f"{row['id']}" if len(pairs) == 1 else f"{row['id']}/{number}"
        if row.get("data_source"):
            question["task"] = _text(row, "data_source")
        yield question


def _refuse(reason: str, what: str, error: Exception | None = None) -> NoReturn:
    msg = f"{reason}: {what}"
    raise AnnotationError(msg, reason=reason) from error


def _text(row: Row, key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        _refuse(key, f"{value!r:.40} is no text")
    return value


def _between(text: str, opening: str, closing: str) -> str:
    """What stands in an element, or the whole text if it has no such tags; one element at most."""
    if opening not in text and closing not in text:
        return text.strip()
    before, _, rest = text.partition(opening)
    content, closed, after = rest.partition(closing)
    if before.strip() or after.strip() or not closed or opening in content:
        _refuse("tags", f"{text!r:.60} is not one element {opening}…{closing}")
    return content.strip()


def _shown(row: Row) -> dict[str, Any]:
    """Image or video of a Video-R1 row; a scan of ScanNet belongs to the scene its name begins with."""
    kind = row.get("data_type")
    if kind not in ("image", "video"):
        _refuse("data_type", f"{kind!r:.40} is neither image nor video")
    path = _text(row, "path")
    scan = _SCANNET_SCAN.fullmatch(PurePosixPath(path).stem) if row.get("data_source") == "SR_dataset" else None
    return {kind if kind == "video" else "images": path} | ({"scene": scan[1]} if scan else {})


def _option_texts(options: object) -> list[str]:
    """The options without their letters, which have to be A, B, C and so on, or missing from all."""
    texts = options if isinstance(options, list) else []
    if not 2 <= len(texts) <= len(LETTERS) or not all(isinstance(one, str) and one.strip() for one in texts):
        _refuse("options", f"{len(texts)} options, expected 2 to {len(LETTERS)} texts")
    found = [_OPTION.fullmatch(one.strip()) for one in texts]
    if not any(found):
        return [one.strip() for one in texts]
    if [one and one[1] for one in found] != list(LETTERS[: len(texts)]):
        _refuse("options", f"their letters are not {', '.join(LETTERS[: len(texts)])}")
    return [one[2].strip() for one in found if one]


def _letter_of(answer: str, options: Sequence[str]) -> str:
    """The letter that an answer is or begins with, or that of the one option it repeats."""
    found = _LETTER.fullmatch(answer)
    repeated = [letter for letter, option in zip(LETTERS, options, strict=False) if option == answer]
    letter = repeated[0] if len(repeated) == 1 else found[1] if found else ""
    if not letter or letter not in LETTERS[: len(options)]:
        _refuse("answer", f"{answer!r:.60} is none of the {len(options)} options")
    return letter


def _number(answer: str) -> float:
    try:
        number = float(answer.replace(",", "") if _NUMBER.fullmatch(answer) else "")
    except ValueError as error:
        _refuse("number", f"{answer!r:.60} is no number", error)
    if number - number != 0:
        _refuse("number", f"{answer!r:.60} is not finite")
    return number


def _turns(conversations: object) -> list[tuple[str, str]]:
    """Questions and answers in order."""
    turns = conversations if isinstance(conversations, list) else []
    speakers = [one.get("from") if isinstance(one, Mapping) else None for one in turns]
    if not turns or speakers != ["human", "gpt"] * (len(turns) // 2):
        _refuse("speakers", f"{speakers!r:.60} does not alternate between human and gpt")
    texts = [_text(one, "value").strip() for one in turns]
    return list(zip(texts[::2], texts[1::2], strict=True))


def _media(row: Row, key: Literal["video", "image"]) -> dict[str, Any]:
    """The paths under a key as the questions file has them; nothing if there is no such key."""
    value = row.get(key)
    if value is None or value == []:
        return {}
    paths = [value] if isinstance(value, str) else value
    if not isinstance(paths, list) or not all(isinstance(path, str) and path for path in paths):
        _refuse(key, f"{value!r:.60} is no path, nor a list of paths")
    if key == "image":
        return {"images": paths}
    if len(paths) != 1 or row.get("image"):
        _refuse("several media", "more than one video, or images beside it")
    return {"video": paths[0]}


def _without_placeholders(text: str, num_shown: int, *, first: bool) -> str:
    """A question without ``<image>`` and ``<video>``, one for each thing shown, before the text.

    A single one may stand anywhere: LLaVA's own code moves it to the beginning.
    """
    ends = [match.end() for match in _PLACEHOLDERS.finditer(text)]
    found = len(ends)
    if found != (num_shown if first else 0):
        _refuse("placeholders", f"{found} placeholders for {num_shown} images or videos in the question")
    plain = _PLACEHOLDERS.sub("", text).strip()
    if found > 1 and _PLACEHOLDERS.sub("", text[: ends[-1]]).strip():
        _refuse("images within the text", "they would be shown before it")
    if not plain:
        _refuse("question", "nothing is asked but the placeholders")
    return plain


def _lettered_or_plain(text: str, answer: str) -> dict[str, Any]:
    """A question whose lines end in lettered options, or any other."""
    lines = [line.strip() for line in text.splitlines() if line.strip() not in LLAVA_INSTRUCTIONS]
    marked = [_OPTION.fullmatch(line) for line in lines]
    starts = [number for number, one in enumerate(marked) if one and one[1] == "A"]
    start = starts[-1] if starts else len(lines)
    options: list[str] = []
    for one in marked[start:]:  # as long as their letters follow each other
        if one is None or one[1] != chr(ord("A") + len(options)):
            break
        options.append(one[2].strip())
    if len(options) < 2:
        return {"question": "\n".join(lines).strip(), "answer": answer}
    if len(options) > len(LETTERS):
        _refuse("options", f"{len(options)} options, at most {len(LETTERS)}")
    question = "\n".join(lines[:start] + lines[start + len(options) :]).strip()
    return {"question": question, "options": options, "answer": _letter_of(answer, options)}
