"""JSON as its standard has it: numbers that are not finite are null, which every reader takes."""

import json
import math
from collections.abc import Mapping
from typing import Any


def without_nan(value: Any) -> Any:  # noqa: ANN401 (any JSON-ready value)
    """``value`` with None for every NaN and infinity in it, tuples as lists."""
    match value:
        case float() if not math.isfinite(value):
            return None
        case Mapping():
            return {key: without_nan(one) for key, one in value.items()}
        case list() | tuple():
            return [without_nan(one) for one in value]
        case _:
            return value


def json_text(value: Any, *, indent: int | None = None, ensure_ascii: bool = False) -> str:  # noqa: ANN401 (see above)
    """``value`` as strict JSON (RFC 8259).

    >>> json_text({"partial": 0.5, "logic": float("nan")})
    '{"partial": 0.5, "logic": null}'
    """
    return json.dumps(without_nan(value), indent=indent, ensure_ascii=ensure_ascii, allow_nan=False)


def json_object(text: str | bytes) -> dict[str, Any]:
    """The JSON object in a text of others, such as a line that was cut off; empty for anything else.

    >>> json_object('{"a": 1}'), json_object('{"a": ')
    ({'a': 1}, {})
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
