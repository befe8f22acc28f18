import pytest
import torch

from remot.losses import aggregate, masked_mean, normalizer_of
from tests.helpers import assert_close

NAN, INF = float("nan"), float("inf")

#: One prompt, two completions of 2 and 1 tokens.
VALUES = torch.tensor([[[1.0, 3.0], [8.0, NAN]]], dtype=torch.float64)
MASK = torch.tensor([[[True, True], [True, False]]])


def test_aggregations_by_hand():
    """Sequence means 2 and 8 average to 5; tokens 1, 3, 8 average to 4."""
    assert aggregate(VALUES, MASK, "sequence_mean").item() == 5
    assert aggregate(VALUES, MASK, "token_mean").item() == 4
    assert normalizer_of(MASK, "sequence_mean") == 2
    assert normalizer_of(MASK, "token_mean") == 3


@pytest.mark.parametrize("aggregation", ["sequence_mean", "token_mean"])
@pytest.mark.parametrize("garbage", [NAN, INF, -INF])
def test_masked_values_and_their_gradients_do_not_leak(aggregation, garbage):
    values = VALUES.clone()
    values[~MASK] = garbage
    values.requires_grad_()
    loss = aggregate(values, MASK, aggregation)
    loss.backward()
    assert loss.isfinite()
    assert values.grad[~MASK].tolist() == [0]
    assert values.grad[MASK].isfinite().all()


@pytest.mark.parametrize("aggregation", ["sequence_mean", "token_mean"])
def test_padding_does_not_matter(aggregation):
    values = torch.nn.functional.pad(VALUES, (0, 3), value=NAN)
    mask = torch.nn.functional.pad(MASK, (0, 3), value=False)
    assert aggregate(values, mask, aggregation) == aggregate(VALUES, MASK, aggregation)


def test_an_empty_completion_contributes_nothing_but_counts_as_a_sequence():
    """Means 2 and 0 of two sequences: 1. By tokens it does not exist: 2."""
    mask = torch.tensor([[[True, True], [False, False]]])
    assert aggregate(VALUES, mask, "sequence_mean").item() == 1
    assert aggregate(VALUES, mask, "token_mean").item() == 2


@pytest.mark.parametrize("aggregation", ["sequence_mean", "token_mean"])
@pytest.mark.parametrize("shape", [(1, 2, 2), (1, 2, 0), (0, 2, 2)])
def test_nothing_at_all_is_zero(aggregation, shape):
    assert aggregate(torch.full(shape, NAN), torch.zeros(shape, dtype=torch.bool), aggregation).item() == 0


@pytest.mark.parametrize("aggregation", ["sequence_mean", "token_mean"])
def test_micro_batches_add_up_exactly(aggregation):
    """Small integers and denominators that are powers of two: no rounding, so == and not ≈."""
    values = torch.arange(32, dtype=torch.float64).reshape(4, 2, 4)
    mask = torch.zeros(4, 2, 4, dtype=torch.bool)
    mask[..., :2] = True
    mask[0, 0] = True  # 2 more tokens in the first,
    mask[3, 1] = False  # 2 fewer in the last
    whole = aggregate(values, mask, aggregation)
    denominator = normalizer_of(mask, aggregation)
    parts = [slice(0, 1), slice(1, 3), slice(3, 4)]
    assert sum(aggregate(values[p], mask[p], aggregation, denominator) for p in parts) == whole
    without = sum(aggregate(values[p], mask[p], aggregation) for p in parts)
    assert without != whole  # negative control: local denominators do not add up


def test_masked_mean_takes_any_shape():
    assert_close(masked_mean(torch.tensor([1.0, NAN, 4.0]), torch.tensor([True, False, True])), 2.5)
    assert_close(masked_mean(torch.tensor([1.0, 4.0]), torch.tensor([True, True]), 10), 0.5)
