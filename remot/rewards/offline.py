"""Completions that were sampled elsewhere: lines of ``{"task", "completion", "reference"}`` to questions and texts."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from remot.answers import ANSWER_CLOSE, ANSWER_OPEN, LETTERS
from remot.errors import AnnotationError, did_you_mean
from remot.files import bounded_lines, cause_of, open_named
from remot.structures import Box, BoxTrack, Interval, MotionLabel, Question, Reference, Slot

#: Longest line that is read, in bytes.
MAX_LINE_BYTES = 16 * 2**20
_KEYS = ("id", "task", "completion", "reference")


@dataclass(frozen=True)
class OfflineRow:
    """One completion and what it is scored by.

    Args:
        where: File and number of its line.
        line: Number of its line.
        completion: The text.
        question: Task, reference, and the slots of a question with letters.
    """

    where: str
    line: int
    completion: str
    question: Question


def read_rows(file: Path) -> Iterator[OfflineRow | AnnotationError]:
    """The rows of a file, and in place of each bad line an error that names it. Empty lines are passed over.

    Raises:
        AnnotationError: If the file cannot be read.
    """
    try:
        with open_named(file) as lines:
            for number, line in enumerate(bounded_lines(lines, MAX_LINE_BYTES), 1):
                if line is None:
                    msg = f"{file}:{number}: the line is longer than {MAX_LINE_BYTES} bytes"
                    yield AnnotationError(msg, reason="too large")
                elif line.strip():
                    yield _row_or_error(f"{file}:{number}", number, line)
    except OSError as error:
        msg = f"{file}: cannot be read ({cause_of(error)})"
        raise AnnotationError(msg, reason="missing") from error


def _row_or_error(where: str, number: int, line: bytes) -> OfflineRow | AnnotationError:
    try:
        return row_from(where, number, json.loads(line.decode("utf-8-sig")))
    except AnnotationError as error:
        return error if str(error).startswith(where) else AnnotationError(f"{where}: {error}", reason=error.reason)
    except (ValueError, RecursionError) as error:
        return AnnotationError(f"{where}: the line is no JSON ({error})")


def row_from(where: str, number: int, row: object) -> OfflineRow:
    """The row in a JSON object.

    Args:
        where: File and line, for messages; also the prompt's id if the row has none.
        number: Number of the line.
        row: ``task`` and ``completion`` are texts, ``reference`` is an object; an ``id`` that several rows share makes
            their completions one group.

    Raises:
        AnnotationError: Naming the key at fault.
    """
    held = _object(where, row)
    _check_keys(where, held, _KEYS)
    task, completion, prompt_id = held.get("task"), held.get("completion"), held.get("id", where)
    for key, value in (("task", task), ("completion", completion), ("id", prompt_id)):
        if not isinstance(value, str):
            msg = f"{where}: {key} has to be a text, not {type(value).__name__}"
            raise AnnotationError(msg, reason="malformed" if key in held else "missing")
    reference, slots = reference_from(f"{where}: reference", held.get("reference"))
    question = Question(
        prompt_id=str(prompt_id),
        text="",
        slots=slots,
        domain=str(task),
        scene_id=str(prompt_id),
        task=str(task),
        reference=reference,
        thinks=thinks_from(f"{where}: reference", held["reference"]),
    )
    return OfflineRow(where, number, str(completion), question)


def reference_from(where: str, value: object) -> tuple[Reference, tuple[Slot, ...]]:
    """The reference in a JSON object, and slots if it has any.

    Keys are those of :class:`remot.structures.Reference`; ``solution`` holds option letters as in the public ReMoT
    files, ``slots`` also what they stand for.

    Raises:
        AnnotationError: Naming the key at fault.
    """
    held = _object(where, value)
    _check_keys(where, held, (*_FIELDS, "solution", "slots", "thinks"))
    fields = {key: _field(f"{where}: {key}", _FIELDS[key], held[key]) for key in held if key in _FIELDS}
    slots: tuple[Slot, ...] = ()
    if "slots" in held:
        slots = _field(f"{where}: slots", lambda value: tuple(map(_slot, _list(value))), held["slots"])
    elif "solution" in held:
        slots = _field(f"{where}: solution", _letter_slots, held["solution"])
    if slots:
        fields.setdefault("answer", "".join(slot.gold for slot in slots))
    return Reference(**fields), slots


def thinks_from(where: str, value: object) -> bool:
    """Whether the prompt of a reference asks for reasoning: unless it says ``thinks: false``.

    Raises:
        AnnotationError: If that is neither true nor false.
    """
    thinks = _object(where, value).get("thinks", True)
    if not isinstance(thinks, bool):
        msg = f"{where}: thinks must be true or false, found {thinks!r:.40}"
        raise AnnotationError(msg)
    return thinks


def _field(where: str, read: Callable[[Any], Any], value: object) -> Any:  # noqa: ANN401 (of the field's type)
    try:
        return read(value)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        msg = f"{where}: not the layout of this key ({type(error).__name__}: {error}), see docs/rewards.md"
        raise AnnotationError(msg) from error


def _object(where: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        msg = f"{where}: a JSON object is needed, not {type(value).__name__}"
        raise AnnotationError(msg)
    return value


def _check_keys(where: str, held: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in held:
        if key not in known:
            msg = f"{where}: unknown key {key!r:.60}, {did_you_mean(key, known)}"
            raise AnnotationError(msg)


# -- fields: each raises TypeError or ValueError for anything that is not its layout ----------------------------------


def _text(value: object) -> str:
    if not isinstance(value, str):
        msg = f"a text is needed, not {type(value).__name__}"
        raise TypeError(msg)
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        msg = f"a number is needed, not {type(value).__name__}"
        raise TypeError(msg)
    return float(value)


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        msg = f"a list is needed, not {type(value).__name__}"
        raise TypeError(msg)
    return value


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(_text, _list(value)))


def _pair(value: object) -> tuple[float, float]:
    first, second = map(_number, _list(value))
    return first, second


def _intervals(value: object) -> tuple[Interval, ...]:
    return tuple(map(_pair, _list(value)))


def _boxes(value: object) -> tuple[Box, ...]:
    boxes = []
    for box in _list(value):
        left, top, right, bottom = map(_number, _list(box))
        boxes.append((left, top, right, bottom))
    return tuple(boxes)


def _tracks(value: object) -> tuple[BoxTrack, ...]:
    return tuple(
        BoxTrack(_text(one["name"]), tuple(map(_number, _list(one["pts_seconds"]))), _boxes(one["boxes"]))
        for one in _list(value)
    )


def _letter_slots(value: object) -> tuple[Slot, ...]:
    """Slots of a solution such as CAB, with or without its tags; what the letters stand for is not known."""
    solution = _text(value).strip().removeprefix(ANSWER_OPEN).removesuffix(ANSWER_CLOSE).strip().upper()
    letters = "TF" if set(solution) <= set("TF") else LETTERS
    if not solution or not set(solution) <= set(letters):
        msg = f"option letters are needed, such as CAB or TF, not {solution!r:.40}"
        raise ValueError(msg)
    label = MotionLabel((1, 2), "", "", float("nan"), "")
    return tuple(Slot(label, tuple(letters), letter, letters) for letter in solution)


def _slot(one: dict[str, Any]) -> Slot:
    options, gold = _texts(one["options"]), _text(one["gold"])
    letters = _text(one.get("letters", LETTERS))
    tolerance = _number(one["tolerance"]) if "tolerance" in one else None
    if tolerance is None and gold not in letters[: len(options)]:
        msg = f"the right letter {gold!r:.20} is none of the {len(options)} options'"
        raise ValueError(msg)
    first, second = map(int, map(_number, _list(one["pair"])))
    value = options[letters.index(gold)] if tolerance is None else ""
    label = MotionLabel(
        (first, second), _text(one["attribute"]), value, float("nan"), "", _text(one.get("subject", ""))
    )
    return Slot(label, options, gold, letters, tolerance)


_FIELDS: Mapping[str, Callable[[Any], Any]] = {
    "answer": _text,
    "number": _number,
    "intervals": _intervals,
    "boxes": _boxes,
    "events": _texts,
    "map_centres": lambda value: {name: _intervals(points) for name, points in value.items()},
    "graphs": lambda value: tuple({name: _pair(point) for name, point in graph.items()} for graph in _list(value)),
    "tracks": _tracks,
    "answer_type": _text,
    "options": _texts,
    "counterfactuals": _texts,
    "answer_map": lambda value: {before: _text(after) for before, after in value.items()},
}
