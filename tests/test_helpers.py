import pytest
import torch

from tests.helpers import assert_close


def test_assert_close_refuses_a_tolerance_that_proves_nothing():
    with pytest.raises(ValueError, match="rtol"):
        assert_close(1.0, 1.0, rtol=0.1)


def test_assert_close_distinguishes_numbers():
    assert_close(torch.tensor([1.0, 2.0]), [1.0, 2.0])
    with pytest.raises(AssertionError):
        assert_close(torch.tensor([1.0, 2.0]), [1.0, 2.001])
