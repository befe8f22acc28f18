"""Stretches of time in completions."""

import re

from remot.answers import MAX_COMPLETION_CHARS
from remot.rewards.parsing.literals import literal_value
from remot.rewards.parsing.tags import first_element, last_element
from remot.rewards.parsing.values import MAX_JSON_CHARS, is_number, json_value, number_rows, plain_number
from remot.structures import Interval

_SPAN = re.compile(r"(?<![0-9])([0-9]{1,9}(?:\.[0-9]{0,9})?) (?:to|and) ([0-9]{1,9}(?:\.[0-9]{0,9})?)", re.IGNORECASE)
_LISTED_NUMBER = r"[0-9]{1,24}\.[0-9]{1,24}|0{1,24}|[1-9][0-9]{0,23}"
_SPAN_OF_LIST = re.compile(rf"\(({_LISTED_NUMBER}),\s*({_LISTED_NUMBER})\)", re.ASCII)
_LISTED_SPAN = rf"\((?:{_LISTED_NUMBER}),\s*(?:{_LISTED_NUMBER})\)"
#: What is published checks with ``match`` and ``$``, before which a line break may stand.
_SPAN_LIST = re.compile(rf"\[(?:{_LISTED_SPAN}(?:,\s*{_LISTED_SPAN})*,?)?\]\n?", re.ASCII)
_QUOTED_SPAN = re.compile(r'\s*\{\s*"start_time"\s*:\s*"[0-9.]+"\s*,\s*"end_time"\s*:\s*"[0-9.]+"\s*\}\s*')
#: Most stretches that are read from one text.
MAX_SPANS = 64


def spans_in(text: str) -> list[Interval]:
    """The stretches written "12.54 to 17.83" or "12.54 and 17.83", in order; one may end before it starts."""
    found = zip(_SPAN.finditer(text), range(MAX_SPANS), strict=False)
    return [(float(match[1]), float(match[2])) for match, _ in found]


def last_span(text: str) -> Interval | None:
    """The last of :func:`spans_in`, however many there are; None without any."""
    last = None
    for last in _SPAN.finditer(text):  # noqa: B007 (the last one is meant)
        pass
    return None if last is None else (float(last[1]), float(last[2]))


def span_list(text: str, max_spans: int = MAX_SPANS) -> list[Interval] | None:
    """The list ``[(5.2, 10.4), [12, 13]]`` that ``text`` consists of, in JSON or Python.

    Returns:
        The stretches, none for ``[]``; None if the text is anything else, one ends before it starts, a number is
        negative, or there are more than ``max_spans``.
    """
    value = literal_value(text)
    members = value if isinstance(value, list) else [None]
    rows = number_rows([list(one) if isinstance(one, tuple) else one for one in members], 2)
    if rows is None or len(rows) > max_spans or any(not 0 <= start <= end for start, end in rows):
        return None
    return [(start, end) for start, end in rows]


def glue_spans(text: str, max_spans: int = MAX_SPANS) -> list[Interval] | None:
    """The list ``[(5.2, 10.4), (12, 13)]`` that ``text`` consists of, as strictly as VideoChat-R1 and R1.5 read it.

    Members are in round brackets; white space may stand behind commas only, and a comma before the last bracket.
    There are no signs, exponents, or whole numbers that begin with 0.

    Returns:
        The stretches, none for ``[]``; None if the text is anything else, one ends before it starts, or there are
        more than ``max_spans``.
    """
    if len(text) > MAX_JSON_CHARS or not _SPAN_LIST.fullmatch(text):
        return None
    found = zip(_SPAN_OF_LIST.finditer(text), range(max_spans + 1), strict=False)
    spans = [(float(match[1]), float(match[2])) for match, _ in found]
    return spans if len(spans) <= max_spans and all(start <= end for start, end in spans) else None


def spans_of_answer(text: str, max_spans: int = MAX_SPANS) -> list[Interval] | None:
    """Stretches in either way of writing: the list that ``text`` is, else all "X to Y" in it; None without any."""
    listed = span_list(text, max_spans)
    if listed is not None:
        return listed
    found = [(start, end) for start, end in spans_in(text) if start <= end]
    return found if 0 < len(found) <= max_spans else None


def is_quoted_span(text: str) -> bool:
    """Whether ``text`` is ``{"start_time": "3.2", "end_time": "7"}``: in this order, in quotes, and nothing else.

    Temporal-RLT's format (arXiv 2506.01908). What stands in the quotes is digits and points.
    """
    return _QUOTED_SPAN.fullmatch(text) is not None


def json_span(text: str) -> Interval | None:
    """``{"start_time": "3.2", "end_time": "7"}``, numbers in quotes or not; None if ``text`` is anything else."""
    value = json_value(text)
    if not isinstance(value, dict):
        return None
    numbers: list[float] = []
    for written in (value.get("start_time"), value.get("end_time")):
        number = plain_number(written) if isinstance(written, str) else written
        if not is_number(number):
            return None
        numbers.append(number)
    return numbers[0], numbers[1]


def last_answer_span(completion: str) -> Interval | None:
    """The last "X to Y" inside the last answer element, as VideoChat-R1 reads it."""
    answer = last_element(completion, "answer")
    return None if answer is None else last_span(answer)


def stretches_in(completion: str, tag: str, max_stretches: int) -> list[Interval] | None:
    """The stretches that rewards read: list or JSON of the first element ``tag``, else the last "X to Y" of the last.

    Args:
        completion: Text of which the first ``MAX_COMPLETION_CHARS`` characters are read.
        tag: Name of the element.
        max_stretches: Longest list.

    Returns:
        Stretches none of which ends before it starts; None if there is nothing of this kind.
    """
    text = completion[:MAX_COMPLETION_CHARS]
    content = first_element(text, tag) or ""
    listed = span_list(content, max_stretches)
    if listed is not None:
        return listed
    span = json_span(content) or last_span(last_element(text, tag) or "")
    return None if span is None or span[0] > span[1] else [span]
