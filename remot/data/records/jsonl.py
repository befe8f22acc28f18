"""Files of built prompts: one JSON object a line, and the fields common to all lines. The files are untrusted."""

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from remot.data.annotations.base import check_keys, parse_json, require_object
from remot.data.records.fields import text_in
from remot.errors import AnnotationError
from remot.files import cause_of, decode_text, open_text, read_bounded
from remot.structures import Question

#: Longest line that is read, in characters.
MAX_LINE_CHARS = 2**20
#: Largest JSON file that is read whole, in bytes.
MAX_JSON_BYTES = 1 << 29
SPLITS = ("train", "val", "test")


def read_lines(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Number and JSON object of each line of a file.

    Raises:
        AnnotationError: If the file cannot be read, or a line is too long or no JSON object.
    """
    for number, line in bounded_lines(file, MAX_LINE_CHARS):
        where = f"{file}: line {number}"
        if len(line) > MAX_LINE_CHARS:
            msg = f"{where} is longer than {MAX_LINE_CHARS} characters, split the file"
            raise AnnotationError(msg, reason="too large")
        yield number, require_object(where, parse_json(where, line, parse_constant=_refuse_constant))


def bounded_lines(file: Path, max_chars: int) -> Iterator[tuple[int, str]]:
    """Number and text of each line that is not blank; of a longer one a part with more than ``max_chars`` characters.

    Raises:
        AnnotationError: If the file cannot be read.
    """
    try:
        with open_text(file) as lines:
            for number, line in enumerate(iter(lambda: lines.readline(max_chars + 2), ""), 1):
                if line.strip():
                    yield number, line
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{file}: cannot be read as text ({cause_of(error)})"
        raise AnnotationError(msg) from error


def read_json(file: Path) -> Any:  # noqa: ANN401 (JSON)
    """The value that a JSON file of bounded size holds.

    Raises:
        AnnotationError: If it cannot be read, is too large or no JSON.
    """
    try:
        return json.loads(decode_text(read_bounded(file, MAX_JSON_BYTES)), parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError) as error:
        msg = f"{file}: cannot be read as JSON ({cause_of(error):.200})"
        raise AnnotationError(msg) from error


def listed_rows(file: Path, value: object) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each object of a file's JSON list stands, for messages, and the object.

    Raises:
        AnnotationError: If the value is no list, or holds something else.
    """
    if not isinstance(value, list):
        msg = f"{file}: holds neither a list nor an object"
        raise AnnotationError(msg, reason="shape")
    for number, row in enumerate(value, 1):
        yield f"{file}: row {number}", require_object(f"{file}: row {number}", row)


def read_objects(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where each object stands, for messages, and the object: of JSON lines, or of a file that is one JSON list.

    Raises:
        AnnotationError: If the file cannot be read, or holds something else.
    """
    if is_json_list(file):
        yield from listed_rows(file, read_json(file))
    else:
        yield from ((f"{file}: line {number}", record) for number, record in read_lines(file))


def is_json_list(file: Path) -> bool:
    """Whether the first character that is no white space opens a list."""
    try:
        with open_text(file) as text:
            while (start := text.read(4096)) and not start.strip():
                pass
            return start.lstrip().startswith("[")
    except (OSError, UnicodeDecodeError) as error:
        msg = f"{file}: cannot be read as text ({cause_of(error)})"
        raise AnnotationError(msg) from error


def _refuse_constant(name: str) -> None:
    msg = f"{name} is no JSON number"
    raise ValueError(msg)


class Built(Protocol):
    """What all lines of built prompts have, whatever they ask."""

    @property
    def question(self) -> Question:
        """The question, and with it its name."""

    @property
    def clip_id(self) -> str:
        """Source clip."""

    @property
    def split(self) -> str:
        """Split it was built for."""


BuiltT = TypeVar("BuiltT", bound=Built)
#: From file and line, for messages, and a JSON object to the prompt in it.
Parse = Callable[[str, Mapping[str, Any]], BuiltT]


def read_prompts(file: Path, parse: Parse[BuiltT], num_prompts: int | None = None) -> list[BuiltT]:
    """The prompts in a file.

    Args:
        file: One prompt a line.
        parse: Reads a line.
        num_prompts: How many to read; None for all.

    Raises:
        AnnotationError: If there is none, an id stands there twice, or a line is malformed.
    """
    prompts, lines = list[BuiltT](), dict[str, int]()
    for number, record in read_lines(file):
        prompts.append(parse(f"{file}: line {number}", record))
        if (first := lines.setdefault(prompts[-1].question.prompt_id, number)) != number:
            msg = f"{file}: line {number} has the id of line {first}, {prompts[-1].question.prompt_id}"
            raise AnnotationError(msg, reason="duplicate id")
        if len(prompts) == num_prompts:
            break
    if not prompts:
        msg = f"{file}: holds no prompt, build it again"
        raise AnnotationError(msg)
    return prompts


def not_too_deep(parse: Parse[BuiltT]) -> Parse[BuiltT]:
    """``parse``, with values that are nested too deeply to be written into a sentence named as such."""

    @functools.wraps(parse)
    def careful(where: str, record: Mapping[str, Any]) -> BuiltT:
        try:
            return parse(where, record)
        except RecursionError as error:
            msg = f"{where}: values are nested too deeply"
            raise AnnotationError(msg) from error

    return careful


def user_text(where: str, messages: object) -> str:
    """The text of the one message of a prompt.

    Raises:
        AnnotationError: If there is another message, or none.
    """
    (message,) = list_in(where, {"messages": messages}, "messages", 1, 1)
    where = f"{where}: messages"
    message = require_object(where, message)
    check_keys(where, message, ("role", "content"))
    if message["role"] != "user":
        msg = f"{where}: the message is from {message['role']!r:.40}, expected 'user'"
        raise AnnotationError(msg)
    return text_in(where, message, "content")


def list_in(where: str, content: Mapping[str, Any], key: str, fewest: int, most: int) -> list[Any]:
    """The list of so many things under a key.

    Raises:
        AnnotationError: If it is none, or longer or shorter.
    """
    value = content[key]
    if not isinstance(value, list) or not fewest <= len(value) <= most:
        wanted = str(fewest) if fewest == most else f"{fewest} to {most}"
        msg = f"{where}: {key} must be a list of {wanted} things"
        raise AnnotationError(msg, reason="shape")
    return value
