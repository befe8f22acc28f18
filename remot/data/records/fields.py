"""Single values of untrusted JSON objects: what they must be, or a sentence about what they are."""

import math
from collections.abc import Mapping
from typing import Any

from remot.errors import AnnotationError

#: Largest whole number that is read; larger ones name no frame and seed nothing.
MAX_WHOLE = 2**63


def text_in(where: str, content: Mapping[str, Any], key: str, *, may_be_empty: bool = False) -> str:
    """The text under ``key``.

    Raises:
        AnnotationError: If it is something else, or holds half of a surrogate pair, which cannot be written down.
    """
    value = content[key]
    if not isinstance(value, str) or not (value or may_be_empty):
        msg = f"{where}: {key} must be a {'' if may_be_empty else 'non-empty '}text, found {_told(value)}"
        raise AnnotationError(msg)
    if any("\ud800" <= character <= "\udfff" for character in value):
        msg = f"{where}: {key} holds half of a character (a lone surrogate), remove it: {_told(value)}"
        raise AnnotationError(msg)
    return value


def whole_in(where: str, content: Mapping[str, Any], key: str, *, at_least: int | None = None) -> int:
    """The whole number under ``key``."""
    value = content[key]
    fits = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_WHOLE
    if not fits or (at_least is not None and value < at_least):
        wanted = "a whole number" if at_least is None else f"a whole number of at least {at_least}"
        msg = f"{where}: {key} must be {wanted}, found {_told(value)}"
        raise AnnotationError(msg)
    return int(value)


def number_in(where: str, content: Mapping[str, Any], key: str, *, at_least: float = -math.inf) -> float:
    """The finite number under ``key``."""
    value = content[key]
    if isinstance(value, bool) or not isinstance(value, int | float):
        msg = f"{where}: {key} must be a number, found {_told(value)}"
        raise AnnotationError(msg)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        msg = f"{where}: {key} is not finite"
        raise AnnotationError(msg, reason="not finite")
    if number < at_least:
        msg = f"{where}: {key} is {number:g}, expected at least {at_least:g}"
        raise AnnotationError(msg)
    return number


def numbers_in(where: str, content: Mapping[str, Any], key: str, count: int) -> tuple[float, ...]:
    """The ``count`` finite numbers under ``key``."""
    value = content[key]
    if not isinstance(value, list) or len(value) != count:
        msg = f"{where}: {key} must be a list of {count} numbers, found {_told(value)}"
        raise AnnotationError(msg, reason="shape")
    return tuple(number_in(where, {key: one}, key) for one in value)


def pair_in(where: str, content: Mapping[str, Any], key: str) -> tuple[int, int]:
    """Two numbers of images under ``key``, such as (1, 2)."""
    value = content[key]
    if not isinstance(value, list) or len(value) != 2:
        msg = f"{where}: {key} must be two numbers of images, found {_told(value)}"
        raise AnnotationError(msg, reason="shape")
    first, second = (whole_in(where, {key: one}, key, at_least=1) for one in value)
    return first, second


def _told(value: object) -> str:
    """The value or its type in few characters; very long numbers are not written out."""
    return type(value).__name__ if isinstance(value, int) and abs(value) > MAX_WHOLE else ascii(value)[:60]
