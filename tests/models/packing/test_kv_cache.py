"""The cache that a decode loop fills."""

import pytest
import torch

from remot.models.packing.kv_cache import SharedPromptCache


def states(columns, seed, prompts=2):
    return torch.randn(prompts, 3, columns, 4, generator=torch.Generator().manual_seed(seed))


def filled(num_steps, *, is_fixed=False, prompts=2, completions=2, room=4):
    """Two layers, prompts of 5 columns, some steps; and what was written, [steps] of [keys, values]."""
    cache, written = SharedPromptCache(2, torch.ones(prompts, 5, dtype=torch.bool), torch.float32), []
    for layer in range(2):
        cache.update(states(5, layer, prompts), states(5, layer + 2, prompts), layer)
    cache.open(completions, room, is_fixed=is_fixed)
    for step in range(num_steps):
        cache.begin_step()
        new = [states(completions, 10 + 4 * step + k, prompts) for k in range(4)]
        for layer in range(2):
            cache.update(new[2 * layer], new[2 * layer + 1], layer)
        cache.end_step()
        written.append(new)
    return cache, written


@pytest.mark.parametrize("is_fixed", [False, True])
def test_prompts_first_then_a_column_a_step(is_fixed):
    cache, written = filled(2, is_fixed=is_fixed)
    for layer in range(2):
        (keys, own_keys), (values, own_values) = cache.of_layer(layer)
        assert torch.equal(keys, states(5, layer))
        assert torch.equal(values, states(5, layer + 2))
        for part, own in enumerate((own_keys, own_values)):
            wanted = torch.stack([new[2 * layer + part] for new in written], dim=3)  # [U, K, C, t, D]
            assert torch.equal(own[:, :, :, :2], wanted)
            assert own.shape[3] == (4 if is_fixed else 2)
            assert not own[:, :, :, 2:].any(), "a masked column must hold something finite"
    assert cache.get_seq_length() == 5


@pytest.mark.parametrize("is_fixed", [False, True])
def test_what_is_there_stays_where_it_is(is_fixed):
    cache, _ = filled(1, is_fixed=is_fixed)
    before = [part.data_ptr() for pair in cache.of_layer(1) for part in pair]
    cache.begin_step()
    cache.update(states(2, 0), states(2, 1), 1)
    assert [part.data_ptr() for pair in cache.of_layer(1) for part in pair] == before


def test_columns_to_come_are_masked_if_they_are_shown():
    cache, _ = filled(2, is_fixed=True)
    cache.begin_step()
    assert (cache.own_bias == 0).tolist() == [True, True, True, False]
    growing, _ = filled(2)
    assert growing.own_bias is None


def test_padding_of_a_prompt_is_masked():
    cache = SharedPromptCache(1, torch.tensor([[True, True, False]]), torch.bfloat16)
    assert cache.prompt_bias.tolist() == [[[[0, 0, torch.finfo(torch.bfloat16).min]]]]


def test_a_full_cache_refuses_more():
    cache, _ = filled(1, room=1)
    with pytest.raises((RuntimeError, IndexError), match="out of"):
        cache.update(states(2, 4), states(2, 5), 0)


@pytest.mark.parametrize("is_fixed", [False, True])
@pytest.mark.parametrize("slots", [[[4, 3]], [[1, 0], [5, 4]], [[2], [5]]])
def test_completions_that_stay_keep_their_columns(is_fixed, slots):
    """Of two prompts with three completions: a prompt leaves, a place of each row, two of each."""
    cache, written = filled(2, completions=3, is_fixed=is_fixed)
    cache.keep(torch.tensor(slots))
    new = [states(len(slots[0]), 50 + k, len(slots)) for k in range(4)]
    cache.begin_step()
    for layer in range(2):
        cache.update(new[2 * layer], new[2 * layer + 1], layer)
        for part, (prompt, own) in enumerate(cache.of_layer(layer)):
            for u, row in enumerate(slots):
                assert torch.equal(prompt[u], states(5, layer + 2 * part)[row[0] // 3])
                for c, slot in enumerate(row):
                    wanted = [step[2 * layer + part][slot // 3, :, slot % 3] for step in written]
                    wanted.append(new[2 * layer + part][u, :, c])
                    assert torch.equal(own[u, :, c, :3], torch.stack(wanted, dim=1))
    assert len(cache.prompt_bias) == len(slots)
