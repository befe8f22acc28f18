"""Attention of packed rows and of decode steps is attention over a dense mask that spells the rule out."""

import itertools

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from remot.models.export import save_trained
from remot.models.memory import MemoryEstimate
from remot.models.packing import attention
from remot.models.packing.attention import (
    BLOCK_QUERIES,
    BUCKET_COLUMNS,
    KERNEL_NAME,
    PackedLayout,
    decode_attention,
    packed_attention,
    row_attention,
)
from remot.models.packing.kv_cache import SharedPromptCache
from remot.rollout.decoding.memory import score_bytes
from tests.models.test_parity import LOGPROB_TOLERANCE, assert_same_gradients, gradients_of, largest_gap, weights_like
from tests.tiny import FAMILIES, encode, make_batch, make_lora_policy, make_policy, random_completions

SIZE = 8
HEADS = [(4, 4), (4, 2), (6, 2), (3, 1)]


def states(num_heads, num_columns, seed, num_prompts=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_prompts, num_heads, num_columns, SIZE, generator=generator, requires_grad=True)


def dense_mask(groups):
    """[S, S] bool of a packed row, by the names of the columns: (prompt, completion or None, place)."""
    names = [
        (p, None if number == 0 else number, place)
        for p, group in enumerate(groups)
        for number, length in enumerate(group)
        for place in range(length)
    ]

    def may_look(query, key):
        in_prompt = key[:2] == (query[0], None) and (query[1] is not None or key[2] <= query[2])
        return in_prompt or (key[:2] == query[:2] and key[2] <= query[2])

    return torch.tensor([[may_look(query, key) for key in names] for query in names])


#: One prompt, several, completions of no column and of lengths that fall into several buckets.
LAYOUTS = {
    "equal lengths": [(6, 5, 5, 5)],
    "a prompt alone": [(6,)],
    "one completion": [(6, 4)],
    "all ended at once": [(5, 0, 0)],
    "several prompts": [(6, 5, 1, 3), (3, 0, 7), (1, 2, 2)],
    "several buckets": [(3, BUCKET_COLUMNS + 1, 2, BUCKET_COLUMNS, 2 * BUCKET_COLUMNS + 5, 0), (2, 3)],
}


@pytest.mark.parametrize(("num_heads", "num_key_heads"), HEADS)
@pytest.mark.parametrize("groups", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("block_queries", [None, 3])
def test_a_row_is_the_dense_mask(monkeypatch, num_heads, num_key_heads, groups, block_queries):
    """Results and gradients, with queries in blocks as they are and in smaller ones."""
    if block_queries is not None:
        monkeypatch.setattr(attention, "BLOCK_QUERIES", block_queries)
    total = sum(map(sum, groups))
    parts = tuple(states(n, total, k) for k, n in enumerate([num_heads, *2 * [num_key_heads]]))
    mixed = row_attention(parts, PackedLayout(groups), 0.3)
    wanted = scaled_dot_product_attention(*parts, attn_mask=dense_mask(groups), scale=0.3, enable_gqa=True)
    wanted = wanted.transpose(1, 2)
    torch.testing.assert_close(mixed, wanted, rtol=1e-5, atol=1e-6)
    weights = torch.randn(mixed.shape, generator=torch.Generator().manual_seed(9))
    actual, expected = (torch.autograd.grad((one * weights).sum(), parts) for one in (mixed, wanted))
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_masks_are_made_once_for_all_layers_and_none_is_of_a_whole_row():
    layout = PackedLayout([(6, 5, 4), (6, 5, 1)])
    parts = tuple(states(n, 27, n) for n in (4, 2, 2))
    row_attention(parts, layout, None)
    made = dict(layout.biases)
    row_attention(parts, layout, None)
    assert {key: tuple(bias.shape) for key, bias in made.items()} == {(6, 5): (10, 11)}
    assert layout.biases[6, 5] is made[6, 5]


def test_masks_are_of_blocks_of_queries_and_of_the_columns_before_them():
    """Two heads share a key. The estimate of memory is their sum, where the blocks are full."""
    layout, blocks = PackedLayout([(6, 3 * BLOCK_QUERIES)]), range(3)
    row_attention(tuple(states(n, 6 + 3 * BLOCK_QUERIES, n) for n in (4, 2, 2)), layout, None)
    wanted = {(6 + k * BLOCK_QUERIES, BLOCK_QUERIES): (2 * BLOCK_QUERIES, 6 + (k + 1) * BLOCK_QUERIES) for k in blocks}
    assert {key: tuple(bias.shape) for key, bias in layout.biases.items()} == wanted
    masks_alone = MemoryEstimate(0, 0, 0, 2, 0, 4, query_size=4, input_size=0, bytes_per_input=4)
    assert score_bytes(masks_alone, 6, 1, 3 * BLOCK_QUERIES) == sum(one.nbytes for one in layout.biases.values())


@pytest.mark.parametrize(("num_heads", "num_key_heads"), HEADS)
@pytest.mark.parametrize("is_fixed", [False, True])
@pytest.mark.parametrize("lengths", [(6,), (6, 3)])
def test_a_decode_step_is_the_dense_mask(num_heads, num_key_heads, is_fixed, lengths):
    """Three steps of two completions: the prompt's real columns and a completion's own up to the step."""
    num_prompts, length, completions, num_tokens = len(lengths), max(lengths), 2, 3
    prompt_mask = torch.arange(length) < torch.tensor(lengths)[:, None]
    keys, values = (states(num_key_heads, length, k, num_prompts).detach() for k in (1, 2))
    cache = SharedPromptCache(1, prompt_mask, torch.float32)
    cache.update(keys, values, 0)
    cache.open(completions, num_tokens, is_fixed=is_fixed)
    own = []
    for step in range(num_tokens):
        query, *new = (
            states(n, completions, 10 * step + k, num_prompts).detach()
            for k, n in enumerate([num_heads, num_key_heads, num_key_heads])
        )
        cache.begin_step()
        cache.update(*new, 0)
        mixed = decode_attention(query, cache, 0, 0.3)
        cache.end_step()
        own.append(new)
        for p, c in itertools.product(range(num_prompts), range(completions)):
            seen = [
                torch.cat([prompt[p, :, : lengths[p]], *(part[k][p, :, c : c + 1] for part in own)], dim=1)
                for k, prompt in enumerate((keys, values))
            ]
            one = query[p : p + 1, :, c : c + 1]
            wanted = scaled_dot_product_attention(one, *(part[None] for part in seen), scale=0.3, enable_gqa=True)
            torch.testing.assert_close(mixed[p, c], wanted[0, :, 0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_layer_of_a_model_takes_its_row(monkeypatch, family):
    calls, real = [], row_attention
    monkeypatch.setattr(
        "remot.models.packing.attention.row_attention", lambda *a: (calls.append(a[1].groups), real(*a))[1]
    )
    policy, batch = make_lora_policy(family), make_batch(2)
    completions, mask = random_completions(policy, 2, 3, 6)
    mask = torch.arange(6) < torch.tensor([[6, 1, 3], [2, 6, 4]])[..., None]
    policy.completion_logprobs(encode(policy, batch), completions, mask)
    lengths = encode(policy, batch).prompts.prompt_lengths.tolist()
    # the last token of a completion predicts nothing
    assert calls == policy.core.config.get_text_config().num_hidden_layers * [
        [[lengths[0], 5, 0, 2], [lengths[1], 1, 5, 3]]
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_not_wanted_is_not_computed(family):
    """A prompt without a wanted token and its images, a completion without one, and what stands behind the last."""
    policy, batch = make_lora_policy(family), make_batch(3)
    completions, _ = random_completions(policy, 3, 2, 5)
    wanted = torch.zeros(3, 2, 5, dtype=torch.bool)
    wanted[0, 1, :4], wanted[2, 0, 2], wanted[2, 1, :] = True, True, True
    encoded, columns = encode(policy, batch), []
    everything = policy.completion_logprobs(encoded, completions)
    expected = gradients_of(policy, (everything * weights_like(everything) * wanted).sum())
    policy.core.model.language_model.register_forward_pre_hook(
        lambda *passed: columns.append(passed[-1]["inputs_embeds"].shape[:2]), with_kwargs=True
    )
    some = policy.completion_logprobs(encoded, completions, wanted)
    lengths = encoded.prompts.prompt_lengths.tolist()
    assert columns == [(1, lengths[0] + 3 + lengths[2] + 2 + 4)]
    assert largest_gap(some, everything * wanted) < LOGPROB_TOLERANCE
    assert not some[~wanted].any()
    assert_same_gradients(gradients_of(policy, (some * weights_like(some)).sum()), expected)


def test_a_decode_step_copies_no_prompt(monkeypatch):
    """Every layer's keys and values are read where the prefill has put them."""
    policy, calls = make_lora_policy(), []
    encoded = encode(policy, make_batch(1))
    with policy.evaluating():
        _, cache = policy.prefill(encoded)
        cache.open(2, 2)
        for name in ("bmm", "baddbmm"):
            real = getattr(torch, name)
            monkeypatch.setattr(torch, name, lambda *a, real=real: (calls.append(a[-1].data_ptr()), real(*a))[1])
        policy.decode_step(torch.zeros(1, 2, dtype=torch.long), encoded.prompts.next_position, cache)
    for layer in cache.layers:
        held = [layer.keys, layer.own[0], layer.values, layer.own[1]]
        assert [part.data_ptr() for part in held] == [call for call in calls if call in {p.data_ptr() for p in held}]


def test_a_saved_model_does_not_ask_for_our_kernel(tmp_path):
    """The name is known to this library only."""
    policy = make_policy()
    assert policy.core.config.get_text_config()._attn_implementation == KERNEL_NAME
    save_trained(policy, tmp_path / "model")
    assert KERNEL_NAME not in (tmp_path / "model" / "config.json").read_text()


def test_without_a_row_or_a_cache_it_is_sdpa():
    query, key = states(4, 5, 0), states(2, 5, 1)
    module = torch.nn.Module()
    module.is_causal, module.num_key_value_groups = True, 2
    mixed, weights = packed_attention(module, query, key, key, None, 0.3)
    wanted = scaled_dot_product_attention(query, key, key, is_causal=True, scale=0.3, enable_gqa=True)
    assert weights is None
    torch.testing.assert_close(mixed, wanted.transpose(1, 2), rtol=1e-5, atol=1e-6)
