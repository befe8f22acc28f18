"""Numbers in annotations: what is one, and what is none."""

import numpy as np
import pytest

from remot.data.annotations.base import require_numbers
from remot.errors import AnnotationError


@pytest.mark.parametrize(
    "value",
    [
        True,
        [True, False],
        [0.5, True],
        [[1, 2], [3, False]],
        [np.array([1.0, 2.0]), [3.0, True]],
        [[[1.0, 0.0], [0.0, np.True_]]],
        np.array([True, False]),
    ],
    ids=repr,
)
def test_truth_values_are_none(value):
    """NumPy takes them for 1 and 0, so that a pose of truth values would be a pose."""
    with pytest.raises(AnnotationError, match=r"^a\.json: poses: holds true or false, give numbers$"):
        require_numbers("a.json: poses", value)


@pytest.mark.parametrize(
    "value", [0, 1.5, [0, 1], [[1, 2.5], [3, 4]], (np.array([1.0, 0.0]), (2, 3)), np.array([1, 0]), [], [[], []]]
)
def test_numbers_stay_what_they_are(value):
    array = require_numbers("a.json: poses", value)
    assert array.dtype == np.float64
    assert np.array_equal(array, np.array(value))


@pytest.mark.parametrize("value", ["1", [1, "2"], [[1], [2, 3]], None, {"a": 1}, [10**400]])
def test_other_things_are_none(value):
    with pytest.raises(AnnotationError, match="expected lists of numbers"):
        require_numbers("a.json: poses", value)
