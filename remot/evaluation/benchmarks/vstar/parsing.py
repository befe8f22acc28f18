"""Answers to V-STaR's questions."""

import re
from collections.abc import Mapping

from remot.evaluation.benchmarks.published import MAX_CHARS
from remot.rewards.parsing.values import MAX_JSON_CHARS, json_value, number_rows
from remot.structures import Box, Interval

_NUMBER = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,12})?", re.ASCII)
_FENCE = "```"


def two_times(text: str) -> Interval | None:
    """The two numbers of a text that holds exactly two; None for any other text."""
    found = _NUMBER.findall(text[:MAX_CHARS])
    return (float(found[0]), float(found[1])) if len(found) == 2 else None


def boxes_by_second(text: str) -> dict[str, list[Box]] | None:
    """Boxes by second of the JSON object in a text, fenced or bare; a list of objects is merged.

    A key is the second as it is written, a box four numbers, several boxes a list of these. Entries that are neither
    are left out; None if the text holds no such object.
    """
    text = text[:MAX_CHARS]
    _, opened, rest = text.partition(_FENCE)
    fenced, closed, _ = rest.partition(_FENCE)
    body = fenced.strip().removeprefix("json") if opened and closed else text
    start, end = (
        min((k for k in (body.find("{"), body.find("[")) if k >= 0), default=-1),
        max(body.rfind("}"), body.rfind("]")),
    )
    value = json_value(body[start : end + 1]) if 0 <= start < end <= start + MAX_JSON_CHARS else None
    listed = value if isinstance(value, list) else [value]
    found: dict[str, list[Box]] = {}
    for part in listed:
        for name, held in part.items() if isinstance(part, Mapping) else ():
            rows = number_rows([held], 4) or number_rows(held, 4)
            for left, top, right, bottom in rows or ():
                found.setdefault(str(name), []).append((left, top, right, bottom))
    return found or None


def judge_rating(reply: str) -> int:
    """The rating 0 to 3 that a judge's reply consists of; -1 for any other reply."""
    text = reply.strip()
    return int(text) if text in ("0", "1", "2", "3") else -1
