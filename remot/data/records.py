"""Built prompts as lines of JSON.

Each has ``id``, ``images``, ``messages`` and ``solution`` as the public ReMoT files do (https://github.com/Tony-create1/ReMoT),
and ``remot``, which holds everything needed to check the answers again.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from remot.answers import ANSWER_CLOSE, ANSWER_OPEN, LETTERS
from remot.data.annotations.base import check_keys, require_object
from remot.errors import AnnotationError
from remot.structures import MaskOf, MotionLabel, PictureTransform, Question, Slot, Triplet, Warp

#: Longest line that is read, in characters.
MAX_LINE_CHARS = 2**20
_KEYS = ("domain", "scene", "clip", "split", "frames", "labels", "slots", "negative", "format", "seed", "reasoning")


@dataclass(frozen=True)
class BuiltFrame:
    """One picture of a prompt.

    Args:
        index: Annotated frame of the clip.
        pts_seconds: Its time.
        transform: What was done to it, None for nothing.
    """

    index: int
    pts_seconds: float
    transform: PictureTransform | None


@dataclass(frozen=True)
class BuiltPrompt:
    """One line of a built file.

    Args:
        question: Text, slots and right answers.
        images: Paths of the pictures, relative to the folder of the file.
        clip_id: Source clip.
        split: Its split.
        frames: Where each picture comes from; three, also where two are shown.
        labels: The truth about the pairs.
        negative: How the third picture was found or made.
        seed: Names the random stream.
    """

    question: Question
    images: tuple[str, ...]
    clip_id: str
    split: str
    frames: tuple[BuiltFrame, ...]
    labels: tuple[MotionLabel, ...]
    negative: str
    seed: int


def built_prompt(triplet: Triplet, question: Question, images: Sequence[str], split: str, seed: int) -> BuiltPrompt:
    """What is kept of a prompt.

    Args:
        triplet: Its frames and labels.
        question: Its text and answers.
        images: Paths of its pictures.
        split: Its split.
        seed: Names the random stream of the split.
    """
    frames = tuple(
        BuiltFrame(index, float(triplet.clip.pts_seconds[index]), transform)
        for index, transform in zip(triplet.frame_indices, triplet.transforms, strict=True)
    )
    return BuiltPrompt(
        question, tuple(images), triplet.clip.clip_id, split, frames, triplet.labels, triplet.negative, seed
    )


def to_line(prompt: BuiltPrompt) -> str:
    """The JSON of one prompt, without a line break."""
    question = prompt.question
    record = {
        "id": question.prompt_id,
        "images": list(prompt.images),
        "messages": [{"role": "user", "content": question.text}],
        "solution": f"{ANSWER_OPEN}{question.solution}{ANSWER_CLOSE}",
        "remot": {
            "domain": question.domain,
            "scene": question.scene_id,
            "clip": prompt.clip_id,
            "split": prompt.split,
            "frames": [_frame_record(frame) for frame in prompt.frames],
            "labels": [asdict(label) for label in prompt.labels],
            "slots": [_slot_record(slot) for slot in question.slots],
            "negative": prompt.negative,
            "format": question.format,
            "seed": prompt.seed,
            "reasoning": question.reasoning,
        },
    }
    return json.dumps(record, ensure_ascii=False, allow_nan=False)


def _frame_record(frame: BuiltFrame) -> dict[str, Any]:
    transform: dict[str, Any] | None = None
    if isinstance(frame.transform, Warp):
        transform = asdict(frame.transform)
    elif isinstance(frame.transform, MaskOf):
        transform = {"kind": "mask", "subject": frame.transform.subject}
    return {"index": frame.index, "pts_seconds": frame.pts_seconds, "transform": transform}


def _slot_record(slot: Slot) -> dict[str, Any]:
    letters = slot.letters[: len(slot.options)]
    record: dict[str, Any] = {"pair": list(slot.label.pair), "options": list(slot.options), "gold": slot.gold}
    return record | {"letters": letters} | ({} if slot.tolerance is None else {"tolerance": slot.tolerance})


def read_lines(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and JSON object of each line of a file.

    Raises:
        AnnotationError: If the file cannot be read, or a line is too long or no JSON object.
    """
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(iter(lambda: lines.readline(MAX_LINE_CHARS + 1), ""), 1):
                if len(line) > MAX_LINE_CHARS:
                    msg = f"{file}: line {number} is longer than {MAX_LINE_CHARS} characters, split the file"
                    raise AnnotationError(msg, reason="too large")
                if line.strip():
                    yield number, _parse_line(file, number, line)
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{file}: cannot be read as text ({error})"
        raise AnnotationError(msg) from error


def _parse_line(file: Path, number: int, line: str) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except (ValueError, RecursionError) as error:
        msg = f"{file}: line {number} is not valid JSON ({error})"
        raise AnnotationError(msg) from error
    return require_object(f"{file}: line {number}", content)


def from_record(where: str, record: Mapping[str, Any]) -> BuiltPrompt:
    """The prompt in a line that :func:`to_line` wrote.

    Args:
        where: File and line, for messages.
        record: The JSON object.

    Raises:
        AnnotationError: Naming the key at fault.
    """
    check_keys(where, record, ("id", "images", "messages", "solution", "remot"))
    facts = require_object(f"{where}: remot", record["remot"])
    check_keys(f"{where}: remot", facts, _KEYS)
    try:
        return _prompt_from(record, facts)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        msg = f"{where}: does not have the layout that `remot data build` writes ({type(error).__name__}: {error})"
        raise AnnotationError(msg) from error


def _prompt_from(record: Mapping[str, Any], facts: Mapping[str, Any]) -> BuiltPrompt:
    labels = tuple(MotionLabel(**one | {"pair": _pair(one["pair"])}) for one in facts["labels"])
    (message,) = record["messages"]
    question = Question(
        prompt_id=str(record["id"]),
        text=str(message["content"]),
        slots=tuple(_slot_from(one, labels) for one in facts["slots"]),
        domain=str(facts["domain"]),
        scene_id=str(facts["scene"]),
        reasoning=str(facts["reasoning"]),
        format=str(facts["format"]),
    )
    if record["solution"] != f"{ANSWER_OPEN}{question.solution}{ANSWER_CLOSE}":
        msg = f"the solution {record['solution']!r:.80} is not that of the slots"
        raise ValueError(msg)
    return BuiltPrompt(
        question=question,
        images=tuple(str(name) for name in record["images"]),
        clip_id=str(facts["clip"]),
        split=str(facts["split"]),
        frames=tuple(_frame_from(one) for one in facts["frames"]),
        labels=labels,
        negative=str(facts["negative"]),
        seed=int(facts["seed"]),
    )


def _slot_from(one: Mapping[str, Any], labels: Sequence[MotionLabel]) -> Slot:
    (label,) = [label for label in labels if label.pair == _pair(one["pair"])]
    tolerance = one.get("tolerance")
    return Slot(
        label,
        tuple(str(option) for option in one["options"]),
        str(one["gold"]),
        str(one["letters"]) or LETTERS,
        None if tolerance is None else float(tolerance),
    )


def _frame_from(one: Mapping[str, Any]) -> BuiltFrame:
    held = one["transform"]
    transform: PictureTransform | None = None
    if held is not None and held["kind"] == "mask":
        transform = MaskOf(str(held["subject"]))
    elif held is not None:
        width, height = held["size"]
        matrix = tuple(float(number) for number in held["matrix"])
        transform = Warp(str(held["kind"]), matrix, (int(width), int(height)))
        if len(matrix) != 9:
            msg = f"a warp has 9 numbers, found {len(matrix)}"
            raise ValueError(msg)
    return BuiltFrame(int(one["index"]), float(one["pts_seconds"]), transform)


def _pair(pair: Sequence[int]) -> tuple[int, int]:
    first, second = pair
    return int(first), int(second)
