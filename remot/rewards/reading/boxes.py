"""Boxes in completions."""

from remot.rewards.reading.values import json_value, number_rows, tuples_value
from remot.structures import Box


def box_list(text: str, num_boxes: int | None = None) -> list[Box] | None:
    """The list ``[[x0, y0, x1, y1], …]`` that ``text`` consists of; None if it is anything else.

    Args:
        text: The text, line breaks allowed anywhere.
        num_boxes: How many there have to be; any number if None.
    """
    rows = number_rows(json_value(text.replace("\n", "")), 4)
    if rows is None or (num_boxes is not None and len(rows) != num_boxes):
        return None
    return [(left, top, right, bottom) for left, top, right, bottom in rows]


def one_box(text: str) -> Box | None:
    """The box ``[x0, y0, x1, y1]`` or ``[[x0, y0, x1, y1]]`` that ``text`` consists of."""
    value = tuples_value(text)
    rows = number_rows(value, 4) or number_rows([value], 4)
    if rows is None or len(rows) != 1:
        return None
    left, top, right, bottom = rows[0]
    return left, top, right, bottom
