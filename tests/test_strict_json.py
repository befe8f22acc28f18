"""JSON that every reader takes."""

import json
import math

import numpy as np
import pytest

from remot.strict_json import json_text


def refused(constant):
    msg = f"{constant} is not JSON"
    raise ValueError(msg)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, np.float64("nan")])
def test_numbers_that_are_not_finite_are_null(number):
    text = json_text({"a": [number, (1.5, {"b": number})], "c": "NaN"})
    assert json.loads(text, parse_constant=refused) == {"a": [None, [1.5, {"b": None}]], "c": "NaN"}
