"""Attention in parts is attention over the dense mask of the whole row, gradients included."""

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from remot.models.packing.attention import (
    PackedLayout,
    RowMask,
    completion_mask,
    folded_attention,
    grouped_attention,
    packed_attention,
)
from remot.models.packing.masks import additive_mask, packed_attention_mask
from remot.models.packing.selection import Packing
from tests.models.test_parity import (
    KINDS,
    LOGPROB_TOLERANCE,
    assert_same_gradients,
    gradients_of,
    largest_gap,
    weights_like,
)
from tests.tiny import FAMILIES, encode, make_batch, make_lora_policy, random_completions

SIZE = 8
HEADS = [(4, 4), (4, 2), (6, 2), (3, 1)]


def states(num_prompts, num_heads, num_columns, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_prompts, num_heads, num_columns, SIZE, generator=generator, requires_grad=True)


def prompt_mask_of(lengths):
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


def test_mask_of_a_completion_by_hand():
    """A prompt of two columns of which one is real, completions of two tokens, two query heads to a key."""
    mask = completion_mask(torch.tensor([[True, False]]), 2, 2)
    first, second = [True, False, True, False], [True, False, True, True]
    assert mask.tolist() == [[[first, second, first, second]]]


@pytest.mark.parametrize(("num_heads", "num_key_heads"), HEADS)
@pytest.mark.parametrize("lengths", [(6,), (6, 3)])
@pytest.mark.parametrize(("num_completions", "num_tokens"), [(3, 5), (1, 4), (4, 1), (0, 0)])
def test_parts_are_the_dense_mask(num_heads, num_key_heads, lengths, num_completions, num_tokens):
    prompt_mask = prompt_mask_of(lengths)
    num_prompts, length = prompt_mask.shape
    total = length + num_completions * num_tokens
    query, key, value = (states(num_prompts, n, total, k) for k, n in enumerate([num_heads, *2 * [num_key_heads]]))
    mask = additive_mask(completion_mask(prompt_mask, num_tokens, num_heads // num_key_heads), query.dtype)
    mixed = grouped_attention(query, key, value, mask, PackedLayout(length, num_completions, num_tokens), 0.3)
    dense = packed_attention_mask(prompt_mask, num_completions, num_tokens)
    wanted = scaled_dot_product_attention(query, key, value, attn_mask=dense, scale=0.3, enable_gqa=True)
    is_real = torch.nn.functional.pad(prompt_mask, (0, total - length), value=True)[..., None, None]
    weights = torch.randn(mixed.shape, generator=torch.Generator().manual_seed(9)) * is_real
    torch.testing.assert_close(mixed * is_real, wanted.transpose(1, 2) * is_real, rtol=1e-5, atol=1e-6)
    actual, expected = (
        torch.autograd.grad((one * weights).sum(), (query, key, value)) for one in (mixed, wanted.transpose(1, 2))
    )
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("num_heads", "num_key_heads"), HEADS)
def test_a_few_queries_fold_their_heads_into_rows(num_heads, num_key_heads):
    query = states(2, num_heads, 3, 0)
    key, value = states(2, num_key_heads, 7, 1), states(2, num_key_heads, 7, 2)
    allowed = torch.rand(2, 1, 3, 7, generator=torch.Generator().manual_seed(3)) < 0.6
    allowed[..., 0] = True
    mask = additive_mask(allowed, query.dtype)
    wanted = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=0.5, enable_gqa=True)
    mixed = folded_attention(query, key, value, mask, 0.5)
    torch.testing.assert_close(mixed, wanted.transpose(1, 2), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(packed_attention(None, query, key, value, mask, 0.5)[0], mixed, rtol=0, atol=0)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_model_in_parts_is_the_model_over_the_dense_mask(monkeypatch, family, kind):
    """Log-probabilities and gradients; every layer of the language model computed in parts, and none with the mask."""
    calls = []
    real = grouped_attention
    monkeypatch.setattr(
        "remot.models.packing.attention.grouped_attention", lambda *a: (calls.append(a[4]), real(*a))[1]
    )
    policy, batch = KINDS[kind](family), make_batch(3)
    completions, mask = random_completions(policy, 3, 3, 6)
    results = []
    for row_mask in (RowMask.PARTS, RowMask.DENSE):
        scored = policy.scored(encode(policy, batch), completions, Packing(shares_prompt=True, row_mask=row_mask))[mask]
        results.append((scored, gradients_of(policy, (scored * weights_like(scored)).sum())))
    (parts, parts_gradient), (dense, dense_gradient) = results
    assert len(calls) == policy.core.config.get_text_config().num_hidden_layers
    assert {(call.num_completions, call.num_tokens) for call in calls} == {(3, 6)}
    assert largest_gap(parts, dense) < LOGPROB_TOLERANCE
    assert_same_gradients(parts_gradient, dense_gradient)


def test_a_decode_step_copies_no_keys(monkeypatch):
    """Query heads of one key are folded into rows, in every layer and step."""
    policy, calls = make_lora_policy(), []
    real = folded_attention
    monkeypatch.setattr("remot.models.packing.attention.folded_attention", lambda *a: (calls.append(a[1]), real(*a))[1])
    encoded = encode(policy, make_batch(1))
    policy.prefix_sharing = "on"
    with policy.evaluating():
        _, cache = policy.prefill(encoded, room=4)
        allowed = torch.ones(1, 2, encoded.prompts.input_ids.shape[1] + 2, dtype=torch.bool)
        policy.decode_step(torch.zeros(1, 2, dtype=torch.long), encoded.prompts.next_position, allowed, cache)
    keys = [layer.keys for layer in cache.layers]
    assert [call.data_ptr() for call in calls] == [key.data_ptr() for key in keys]


def test_a_model_that_keeps_the_parts_from_attention_is_found_out():
    """Without them the mask does not fit the row, which is an error and not another result."""
    policy, batch = make_lora_policy(prefix_sharing="auto"), make_batch(2)
    for layer in policy.core.model.language_model.layers:
        real = layer.self_attn.forward
        layer.self_attn.forward = lambda *a, real=real, **k: real(
            *a, **{n: v for n, v in k.items() if n != "row_parts"}
        )
    assert policy.packing(encode(policy, batch)) == Packing(shares_prompt=True, row_mask=RowMask.DENSE)


def test_no_mask_of_a_whole_row_is_made(monkeypatch):
    monkeypatch.setattr("remot.models.packing.forward.packed_attention_mask", lambda *_: pytest.fail("a dense mask"))
    policy = make_lora_policy(prefix_sharing="on")
    completions, _ = random_completions(policy, 2, 2, 3)
    assert policy.completion_logprobs(encode(policy, make_batch(2)), completions).shape == (2, 2, 3)
