"""Lists, tuples and dictionaries as Python writes them, in completions: the part of ``ast.literal_eval`` that is used.

The systems' own readers evaluate what a model writes with ``ast.literal_eval``, which on hostile text exhausts the
stack or the memory. Here text and depth are bounded, and nothing is compiled.
"""

import re

from remot.rewards.parsing.values import MAX_JSON_CHARS, json_value, number_rows
from remot.structures import Box

#: How deep brackets may be nested.
MAX_DEPTH = 32

_TOKEN = re.compile(
    r"""\s*(
    [+-]?(?:[0-9]{1,24}\.?[0-9]{0,24}|\.[0-9]{1,24})(?:[eE][+-]?[0-9]{1,3})?(?![\w.])
    |"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'
    |(?:True|False|None)(?!\w)
    |[][(){}:,]
    )""",
    re.ASCII | re.VERBOSE,
)
_LEADING_ZERO = re.compile(r"[+-]?0+[1-9][0-9]*")
_ESCAPED = re.compile(r"\\(.)")
_NAMES = {"True": True, "False": False, "None": None}
_CLOSED_BY = {"[": "]", "(": ")", "{": "}"}
_MARKS = frozenset("[](){}:,")


def literal_value(text: str) -> object:
    """The JSON or Python literal ``text`` consists of, its numbers as floats; None if it is neither, too long or deep.

    Lists stay lists and tuples tuples. Not read, other than by ``ast.literal_eval``: sets, bytes, complex numbers,
    numbers with underscores or a base, strings in triple quotes or side by side, comments.

    >>> literal_value("{'chair': [(9, .5), [3, 4],]}")
    {'chair': [(9.0, 0.5), [3.0, 4.0]]}
    """
    value = json_value(text)
    if value is not None or len(text) > MAX_JSON_CHARS:
        return value
    try:
        tokens = _tokens(text.rstrip())
        value, end = _value(tokens, 0)
    except (ValueError, IndexError):  # the text ends within a bracket
        return None
    return value if end == len(tokens) else None


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    position = depth = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(position)
        token, position = match[1], match.end()
        depth += (token in _CLOSED_BY) - (token in _CLOSED_BY.values())
        if depth > MAX_DEPTH:
            raise ValueError(position)
        tokens.append(token)
    return tokens


def _value(tokens: list[str], at: int) -> tuple[object, int]:
    """The value that begins at a token, and the number of the token after it."""
    token = tokens[at]
    if token in _CLOSED_BY:
        return _collection(tokens, at + 1, _CLOSED_BY[token])
    if token in _NAMES:
        return _NAMES[token], at + 1
    if token[0] in "'\"":
        return _ESCAPED.sub(r"\1", token[1:-1]), at + 1
    if token in _MARKS or _LEADING_ZERO.fullmatch(token):
        raise ValueError(token)
    return float(token), at + 1


def _collection(tokens: list[str], at: int, closing: str) -> tuple[object, int]:
    """Everything up to a closing bracket, and the number of the token after that."""
    items: list[object] = []
    keys: list[object] = []
    has_comma = True
    while tokens[at] != closing:
        if not has_comma:
            raise ValueError(tokens[at])
        item, at = _value(tokens, at)
        if closing == "}":
            if tokens[at] != ":" or not isinstance(item, str | float):
                raise ValueError(tokens[at])
            keys.append(item)
            item, at = _value(tokens, at + 1)
        items.append(item)
        has_comma = tokens[at] == ","
        at += has_comma
    if closing == "}":
        return dict(zip(keys, items, strict=True)), at + 1
    if closing == "]":
        return items, at + 1
    is_grouping = len(items) == 1 and not has_comma
    return (items[0] if is_grouping else tuple(items)), at + 1


def box_list(text: str, num_boxes: int | None = None) -> list[Box] | None:
    """The list ``[[x0, y0, x1, y1], …]`` that ``text`` consists of, in JSON or Python; None if it is anything else.

    Args:
        text: The text, line breaks allowed anywhere.
        num_boxes: How many there have to be; any number if None.
    """
    rows = number_rows(literal_value(text.replace("\n", "")), 4)
    if rows is None or (num_boxes is not None and len(rows) != num_boxes):
        return None
    return [(left, top, right, bottom) for left, top, right, bottom in rows]


def one_box(text: str) -> Box | None:
    """The box ``[x0, y0, x1, y1]`` or ``(x0, y0, x1, y1)`` that ``text`` consists of, in JSON or Python."""
    value = literal_value(text)
    rows = number_rows([list(value)], 4) if isinstance(value, list | tuple) else None
    if rows is None:
        return None
    left, top, right, bottom = rows[0]
    return left, top, right, bottom
