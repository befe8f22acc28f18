"""Published training files to a questions file: every row is carried, or named with the reason why it is not."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from remot.data.records.jsonl import read_objects
from remot.data.records.qa_jsonl import parse_qa
from remot.datatools.convert.published import LLAVA_KEYS, VIDEO_R1_KEYS, Turns, from_llava, from_video_r1, layout_of_row
from remot.errors import AnnotationError, ConfigError
from remot.files import cause_of
from remot.locks import staged_files
from remot.strict_json import json_text

#: Rows of each reason that are named on the terminal.
NUM_NAMED = 3


@dataclass
class Conversion:
    """What became of the rows.

    Args:
        num_rows: Rows of the file.
        num_questions: Questions written.
        left_out: Rows that cannot be carried, by reason, each with its sentence.
        keys: How many rows have keys for which a question has no place.
        files: What was written: the questions, and the rows that were left out, if there are any.
    """

    num_rows: int = 0
    num_questions: int = 0
    left_out: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    keys: Counter[str] = field(default_factory=Counter)
    files: list[Path] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """The report."""
        num_left_out = sum(map(len, self.left_out.values()))
        yield f"{self.num_questions} questions of {self.num_rows} rows, {num_left_out} left out"
        for reason, rows in sorted(self.left_out.items(), key=lambda one: -len(one[1])):
            yield f"  {len(rows)} for {reason}, such as"
            yield from (f"    {row}" for row in rows[:NUM_NAMED])
        if self.keys:
            yield f"keys that were not carried: {', '.join(f'{key} ({n} rows)' for key, n in self.keys.most_common())}"


def convert_questions(source: Path, out: Path, turns: Turns = "refuse") -> Conversion:
    """Write the questions of a file in the layout of Video-R1, SpaceR-151k or LLaVA to JSON lines.

    Rows that cannot be carried are listed in ``OUT.left_out.jsonl``.

    Args:
        source: JSON lines or a JSON list.
        out: New file.
        turns: What to do with conversations of several questions.

    Raises:
        ConfigError: If ``out`` is there already or cannot be written.
        AnnotationError: If the file cannot be read, or none of its rows can be carried.
    """
    left_out = out.with_name(f"{out.name}.left_out.jsonl")
    for file in (out, left_out):
        if file.exists():
            msg = f"--out {file} is there already, choose another file"
            raise ConfigError(msg)
    conversion = Conversion(files=[out, left_out])
    try:
        with staged_files(out, left_out) as unfinished:
            with ExitStack() as stack:
                written, refused = (stack.enter_context(file.open("w", encoding="utf-8")) for file in unfinished)
                _convert(source, turns, conversion, written, refused)
            if not conversion.left_out:
                unfinished[1].unlink()
                conversion.files.remove(left_out)
            if not conversion.num_questions:
                reason, rows = next(iter(conversion.left_out.items()), ("zero length", [f"{source}: holds no row"]))
                msg = f"none of the {conversion.num_rows} rows can be carried, such as {rows[0]}"
                raise AnnotationError(msg, reason=reason)
    except OSError as error:
        msg = f"--out {out}: cannot be written ({cause_of(error)})"
        raise ConfigError(msg) from error
    return conversion


def _convert(source: Path, turns: Turns, conversion: Conversion, written: TextIO, refused: TextIO) -> None:
    ids: set[str] = set()
    for where, row in read_objects(source):
        conversion.num_rows += 1
        try:
            questions = _questions(where, row, turns, conversion.keys)
        except AnnotationError as error:
            sentence = str(error) if str(error).startswith(where) else f"{where}: {error}"
            conversion.left_out[error.reason].append(sentence)
            refused.write(json_text({"row": where, "reason": error.reason, "message": sentence}) + "\n")
            continue
        for question in questions:
            if question.get("id") in ids:  # the same name twice names nothing; the row's own number is unique
                del question["id"]
            ids.add(question.get("id", ""))
            written.write(json.dumps(question, ensure_ascii=False, allow_nan=False) + "\n")
            conversion.num_questions += 1


def _questions(where: str, row: dict[str, Any], turns: Turns, keys: Counter[str]) -> list[dict[str, Any]]:
    """The questions of a row, each read back as the questions file is."""
    if layout_of_row(where, row) == "llava":
        questions, known = list(from_llava(row, turns)), LLAVA_KEYS
    else:
        questions, known = list(from_video_r1(row)), VIDEO_R1_KEYS
    for question in questions:
        parse_qa(where, question, where)
    keys.update(key for key in row if key not in known)
    return questions
