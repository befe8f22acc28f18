"""Boxes in completions."""

from remot.rewards.parsing.literals import literal_value
from remot.rewards.parsing.values import number_rows
from remot.structures import Box


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
