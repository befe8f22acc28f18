"""The cache that a decode loop fills: transformers' own answers, without copying what is there."""

import pytest
import torch
from transformers import DynamicCache

from remot.models.packing.kv_cache import preallocated_cache


def states(columns, seed):
    return torch.randn(2, 3, columns, 4, generator=torch.Generator().manual_seed(seed))


def test_same_as_the_cache_of_transformers():
    """A prompt of 5 columns and two steps of 2, in both of two layers."""
    ours, theirs = preallocated_cache(2, room=4), DynamicCache()
    for step, columns in enumerate((5, 2, 2)):
        for layer in range(2):
            keys, values = states(columns, 10 * step + layer), states(columns, 100 + 10 * step + layer)
            for mine, wanted in zip(ours.update(keys, values, layer), theirs.update(keys, values, layer), strict=True):
                assert torch.equal(mine, wanted)
        assert ours.get_seq_length() == theirs.get_seq_length()
    assert ours.get_seq_length() == 9


def test_what_is_there_stays_where_it_is():
    cache = preallocated_cache(1, room=2)
    before = [part.data_ptr() for part in cache.update(states(5, 0), states(5, 1), 0)]
    after = [part.data_ptr() for part in cache.update(states(2, 2), states(2, 3), 0)]
    assert before == after


def test_a_full_cache_refuses_more():
    cache = preallocated_cache(1, room=1)
    cache.update(states(5, 0), states(5, 1), 0)
    cache.update(states(1, 2), states(1, 3), 0)
    with pytest.raises(RuntimeError, match="exceeds dimension size"):
        cache.update(states(1, 4), states(1, 5), 0)
