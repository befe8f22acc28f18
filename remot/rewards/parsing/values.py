"""Numbers and JSON in completions."""

import json
import math
import re
from typing import NoReturn, TypeGuard

#: Longest JSON text that is decoded.
MAX_JSON_CHARS = 16_384

_NUMBER = re.compile(r"[0-9]{1,24}(?:\.[0-9]{1,24})?", re.ASCII)
_WORD = re.compile(r"\w+")
#: Number words of SpaceR in the order it looks for them; the first that occurs anywhere in the text counts.
_ORDER = (
    "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety zero a an"
)
_NUMBER_WORDS = dict(zip(_ORDER.split(), (*range(1, 21), *range(30, 100, 10), 0, 1, 1), strict=True))
#: Words that are looked at: an answer is not an essay.
_MAX_WORDS = 2000


def _refuse(word: str) -> NoReturn:
    raise ValueError(word)


#: Every number becomes a float, so that no digits are too many; NaN and Infinity are no JSON.
_DECODER = json.JSONDecoder(parse_int=float, parse_constant=_refuse)


def json_value(text: str) -> object:
    """The JSON ``text`` consists of, numbers as floats; None if it is none, or too long or deep."""
    text = text.strip()
    if len(text) > MAX_JSON_CHARS:
        return None
    try:
        value: object = _DECODER.decode(text)
    except (ValueError, RecursionError):
        return None
    return value


def number_rows(value: object, width: int) -> list[tuple[float, ...]] | None:
    """``value`` as rows of ``width`` finite numbers, None if it is anything else."""
    if not isinstance(value, list):
        return None
    rows = []
    for row in value:
        if not isinstance(row, list) or len(row) != width or not all(map(is_number, row)):
            return None
        rows.append(tuple(row))
    return rows


def is_number(value: object) -> TypeGuard[float]:
    """Whether ``value`` is a finite float, which every JSON number is by now."""
    return isinstance(value, float) and math.isfinite(value)


def first_number(text: str) -> float | None:
    """The number SpaceR reads: a number word if there is one, else the first unsigned digits; None without any.

    Words are looked for in the order one to twenty, thirty to ninety, zero, a, an; so "zero or one" is 1. A minus sign
    is not read.

    >>> first_number("about 3.5 m"), first_number("a chair and 4 tables")
    (3.5, 1.0)
    """
    text = text[:MAX_JSON_CHARS].lower()
    words = {found[0] for found, _ in zip(_WORD.finditer(text), range(_MAX_WORDS), strict=False)}
    if not words.isdisjoint(_NUMBER_WORDS):
        return float(next(value for word, value in _NUMBER_WORDS.items() if word in words))
    found = _NUMBER.search(text)
    return None if found is None else float(found[0])


def plain_number(text: str) -> float | None:
    """The number ``text`` consists of, thousands separated by commas or not; None for anything else."""
    text = text.strip().replace(",", "")
    if len(text) > 64 or not text.isascii() or "_" in text:
        return None
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
