"""Prompts that are prefilled some columns at a time hold what they hold at once, and so do completions behind them."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from remot.models.inputs.prompts import EncodedPrompts
from remot.models.packing import attention, prefill, selection
from remot.models.packing.attention import BLOCK_QUERIES, PromptChunks, packed_attention
from remot.models.packing.prefill import columns_of_pass, prefilled_alone
from remot.models.parts import language_model
from remot.rollout.decoding.memory import decode_bytes
from tests.models.packing.test_attention import HEADS, states
from tests.models.packing.test_selection import warnings_of
from tests.rollout.decoding.test_engine import roll_out, talkative
from tests.rollout.decoding.test_memory import SMALL
from tests.tiny import FAMILIES, HYBRID, encode, make_lora_policy, make_mixed_batch, make_policy

#: A column, parts that cut videos and words, blocks of queries with a rest, and more than the longest prompt.
WIDTHS = [1, 7, 50, BLOCK_QUERIES, 1000]


def in_float64(policy, batch):
    """The policy in float64, and its prompts."""
    encoded = encode(policy.double(), batch)
    return EncodedPrompts(encoded.prompts, [level.double() for level in encoded.features])


def columns_by_pass(policy, work):
    """Columns of each pass of the language model while ``work`` runs."""
    seen = []

    def note(_module, _args, kwargs):
        seen.append(kwargs["inputs_embeds"].shape[1])

    handle = language_model(policy.core).register_forward_pre_hook(note, with_kwargs=True)
    try:
        work()
    finally:
        handle.remove()
    return seen


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("num_columns", WIDTHS)
def test_parts_hold_what_the_whole_holds(family, num_columns):
    """Images and videos with DeepStack levels, words only, and padding behind all prompts but the longest."""
    policy = make_policy(family)
    encoded = in_float64(policy, make_mixed_batch())
    assert len(set(encoded.prompts.prompt_lengths.tolist())) == 4
    whole, cache = policy.prefill(encoded)
    hidden, parts = policy.prefill(encoded, num_columns)
    assert (hidden - whole).abs().max() < 1e-10
    is_real = encoded.prompts.prompt_mask[:, None, :, None]
    for of_whole, of_parts in zip(cache.layers, parts.layers, strict=True):
        assert of_parts.keys.dtype is torch.float64
        assert ((of_whole.keys - of_parts.keys) * is_real).abs().max() < 1e-10
        assert ((of_whole.values - of_parts.values) * is_real).abs().max() < 1e-10
    assert parts.get_seq_length() == cache.get_seq_length() == encoded.prompts.input_ids.shape[1]


@pytest.mark.parametrize(("num_heads", "num_key_heads"), HEADS)
@pytest.mark.parametrize(("before", "num_queries"), [(3, 5), (BLOCK_QUERIES, 2 * BLOCK_QUERIES + 1), (130, 1)])
def test_columns_see_those_before_them(num_heads, num_key_heads, before, num_queries):
    total = before + num_queries
    query = states(num_heads, num_queries, 0, num_prompts=2)
    key, value = (states(num_key_heads, total, seed, num_prompts=2) for seed in (1, 2))
    chunks = PromptChunks(total + 4)
    mixed, _ = packed_attention(None, query, key, value, None, 0.3, row_layout=chunks)
    mask = torch.ones(num_queries, total, dtype=torch.bool).tril(before)
    wanted = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.3, enable_gqa=True)
    torch.testing.assert_close(mixed, wanted.transpose(1, 2), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_completions_stay_the_same(family, monkeypatch):
    """Completions of several lengths, some of which leave, behind a cache that was filled in parts."""
    policy, batch = talkative(family), make_mixed_batch()
    whole = roll_out(policy, batch, max_new_tokens=12)
    monkeypatch.setattr(prefill, "PASS_TOKENS", 4 * 16)
    monkeypatch.setattr(prefill, "LEAST_COLUMNS", 1)
    again = []
    seen = columns_by_pass(policy, lambda: again.append(roll_out(policy, batch, max_new_tokens=12)))
    longest = int(encode(policy, batch).prompts.prompt_lengths.amax())
    assert seen[: -(-longest // 16)] == [16] * (longest // 16) + [longest % 16] * bool(longest % 16)
    assert again[0].token_ids.equal(whole.token_ids)
    assert (again[0].logprobs - whole.logprobs).abs().max() < 1e-5


@pytest.mark.parametrize("attention_kernel", ["auto", "sdpa"])
def test_a_prompt_by_itself_in_parts(attention_kernel):
    """transformers' own cache and masks, with the library's function for attention and with theirs."""
    policy = make_policy("qwen3_vl", prefix_sharing="off", attention=attention_kernel)
    one = in_float64(policy, make_mixed_batch()).select(slice(2, 3))
    with policy.evaluating():
        whole, cache = prefilled_alone(policy.core, one, 3)
        hidden, parts = prefilled_alone(policy.core, one, 3, 50)
        seen = columns_by_pass(policy, lambda: prefilled_alone(policy.core, one, 3, 50))
    assert seen == [50, 50, 50, int(one.prompts.prompt_lengths[0]) - 150]
    assert hidden.shape == (3, policy.core.config.get_text_config().hidden_size)
    assert (hidden - whole).abs().max() < 1e-10
    for of_whole, of_parts in zip(cache.layers, parts.layers, strict=True):
        assert (of_whole.keys - of_parts.keys).abs().max() < 1e-10
        assert (of_whole.values - of_parts.values).abs().max() < 1e-10


def test_layers_with_a_state_get_the_whole_prompt():
    policy = make_lora_policy(HYBRID, prefix_sharing="auto")
    one = encode(policy, make_mixed_batch()).select(slice(0, 1))
    with policy.evaluating():
        seen = columns_by_pass(policy, lambda: prefilled_alone(policy.core, one, 2, 50))
    assert seen == one.prompts.prompt_lengths.tolist()


def test_a_pass_takes_so_many_tokens_and_short_prompts_whole():
    assert [columns_of_pass(num_prompts) for num_prompts in (1, 2, 3, 64)] == [2048, 1024, 1024, 1024]
    by_token = decode_bytes(SMALL, 5001, 1, 1) - decode_bytes(SMALL, 5000, 1, 1)
    assert by_token == SMALL.cache_bytes, "what a pass holds stays; keys and values grow"


def test_a_model_that_computes_parts_in_another_way_is_found_out(caplog, monkeypatch):
    """The first prompts are prefilled in two parts where completions are compared."""
    policy, batch = make_policy(prefix_sharing="auto"), make_mixed_batch()
    encoded = encode(policy, batch)
    assert selection.is_exact(policy, encoded)

    def later_too(_chunks, before, num_queries, heads_per_key, like):
        return like.new_zeros(heads_per_key * num_queries, before + num_queries)

    monkeypatch.setattr(attention.PromptChunks, "bias", later_too)
    assert not selection.is_exact(policy, encoded)
    (said,) = warnings_of(caplog)
    assert "the decode loop" in said
