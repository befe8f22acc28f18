"""Sizes by hand, and halving when a simulated allocator runs out."""

import logging
from dataclasses import replace

import pytest
import torch

from remot.errors import ConfigError
from remot.models.adapters import LoRA
from remot.models.memory import MemoryEstimate, estimate_memory, halving
from remot.rollout.decoding.engine import RolloutSettings
from remot.rollout.decoding.memory import (
    PLANNED_SHARE,
    SCORED_ROWS,
    decode_bytes,
    free_bytes,
    plan_decode,
    plan_micro_batch,
    prompts_that_fit,
    score_bytes,
)
from tests.tiny import FAMILIES, make_policy

#: Two blocks, 8 wide, 12 in the feed-forward layer, 4 numbers of keys, 8 of queries, 10 tokens, bfloat16; adapters in
#: float32 on queries and keys alone, of rank 1.
SMALL = MemoryEstimate(2, 8, 12, 4, 10, 2, query_size=8, input_size=2 * (8 + 1), bytes_per_input=4)


def test_bytes_of_a_token_by_hand():
    assert SMALL.cache_bytes == 2 * 2 * 4 * 2  # keys and values, blocks, numbers, bytes
    assert SMALL.logits_bytes == 10 * 24
    normalised, attended, gated, inputs = (8 + 8 + 8 + 4) * 4, (3 * 8 + 2 * 4) * 2, 3 * 12 * 2, 18 * 4
    assert SMALL.block_bytes == normalised + attended + gated + inputs == 320
    assert replace(SMALL, trains_norms=True).block_bytes == 320 + 28 * 2
    assert SMALL.gradient_bytes == 12 * (2 * 2 + 4)
    assert SMALL.passing_bytes == (2 * 8 + 3 * 12) * 2 + 12 * 3 * 4
    assert replace(SMALL, bytes_per_input=2).gradient_bytes == 12 * 2 * 2


def test_bytes_of_a_prompt_by_hand():
    """20 columns, 3 completions, 5 tokens: 35 in all; with recomputation two inputs and a block, 16 bytes of keys.

    Two query heads share a key, so that the mask has two rows of 25 numbers a token.
    """
    assert decode_bytes(SMALL, 20, 3, 5) == 35 * 32 + 3 * 240 + 20 * SMALL.passing_bytes
    assert score_bytes(SMALL, 20, 3, 5) == 35 * (2 * 320 + 96) + 2 * 5 * 25 * 2 + 3 * 20 * 32
    assert score_bytes(SMALL, 20, 3, 5, shares_prompts=False) == 3 * (20 + 5) * (2 * 320 + 96)
    recomputed = replace(SMALL, recomputes=True)
    assert score_bytes(recomputed, 20, 3, 5, shares_prompts=False) == 3 * (20 + 5) * (2 * 8 * 2 + 320 + 96)
    assert score_bytes(recomputed, 20, 3, 5) == 35 * (2 * 8 * 2 + 320 + 96) + 2 * 5 * 25 * 2 + 3 * 20 * 16


@pytest.mark.parametrize("family", FAMILIES)
def test_the_cache_of_a_real_model_has_the_bytes_that_are_planned(family):
    """What a prefill with room allocates, counted."""
    from tests.tiny import encode, make_batch

    policy = make_policy(family)
    encoded = encode(policy, make_batch(2))
    _, cache = policy.prefill(encoded)
    cache.open(3, 7)
    held = sum(part.nbytes for layer in cache.layers for part in (layer.keys, layer.values, *layer.own))
    columns = encoded.prompts.input_ids.shape[1] + 3 * 7
    assert held == 2 * columns * estimate_memory(policy.core).cache_bytes


@pytest.mark.parametrize("prefix_sharing", ["on", "off"])
@pytest.mark.parametrize(
    ("family", "dtype", "adaptation"),
    [
        ("qwen3_vl", "float32", LoRA(rank=1)),
        ("qwen3_vl", "bfloat16", LoRA(rank=1)),
        ("qwen3_vl", "float32", None),
        ("qwen2_5_vl", "bfloat16", LoRA(rank=1)),
    ],
)
def test_what_a_pass_with_gradient_keeps_is_what_is_planned(family, dtype, adaptation, prefix_sharing):
    """Every storage that autograd keeps for the backward pass, counted; logits, which are planned apart, left out."""
    from tests.tiny import encode, make_batch

    policy = make_policy(family, adaptation, dtype=dtype, prefix_sharing=prefix_sharing)
    encoded, kept = encode(policy, make_batch(1)), {}
    weights = {part.untyped_storage().data_ptr() for part in (*policy.parameters(), *policy.buffers())}
    vocab_size = policy.footprint.vocab_size

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights and vocab_size not in tensor.shape:
            kept[storage.data_ptr()] = storage
        return tensor

    completions = torch.zeros(1, 3, 60, dtype=torch.long)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logprobs = policy.completion_logprobs(encoded, completions)
    held = sum(storage.nbytes() for storage in kept.values())
    assert logprobs.requires_grad
    columns, shares = encoded.prompts.input_ids.shape[1], policy.shares_prompts(encoded)
    assert shares == (prefix_sharing == "on")
    planned = score_bytes(policy.footprint, columns, 3, 60, shares_prompts=shares)
    assert 0.95 * held < planned < (1.2 if shares else 1.4) * held  # rows of their own are not put together


def test_memory_estimate_accounts_for_checkpointing():
    assert not estimate_memory(make_policy().core).recomputes
    assert estimate_memory(make_policy(gradient_checkpointing=True).core).recomputes


@pytest.mark.parametrize(
    ("free", "fixed", "each", "num_prompts", "fit"),
    [(1000, 0, 100, 16, 8), (1000, 0, 100, 5, 5), (1000, 300, 100, 16, 5), (10, 0, 100, 16, 1), (1000, 0, 801, 16, 1)],
)
def test_prompts_that_fit(free, fixed, each, num_prompts, fit):
    assert PLANNED_SHARE == 0.8
    assert prompts_that_fit(free, fixed, each, num_prompts) == fit


def test_plans():
    shape = (16, 20, 3, 5)
    assert plan_decode(SMALL, None, shape) == 16
    assert plan_micro_batch(SMALL, None, shape) == 4
    assert plan_micro_batch(SMALL, None, (2, 20, 3, 5)) == 2
    assert plan_decode(SMALL, 10 * decode_bytes(SMALL, 20, 3, 5), shape) == 8
    assert plan_decode(SMALL, 10 * decode_bytes(SMALL, 60, 3, 5), shape, shares_prompts=False) == 8
    assert [plan_decode(SMALL, None, (16, n, 8, 96), shares_prompts=False) for n in (160, 416, 4000)] == [16, 8, 1]
    chunk = SCORED_ROWS * SMALL.logits_bytes
    free = int((3.5 * score_bytes(SMALL, 20, 3, 5) + chunk) / PLANNED_SHARE)
    assert plan_micro_batch(SMALL, free, shape) == 3
    free = int((3.5 * score_bytes(SMALL, 20, 3, 5, shares_prompts=False) + chunk) / PLANNED_SHARE)
    assert plan_micro_batch(SMALL, free, shape) > 3  # shared prompts are less
    assert plan_micro_batch(SMALL, free, shape, shares_prompts=False) == 3


def test_free_memory_is_unknown_on_cpu():
    assert free_bytes(torch.device("cpu")) is None


@pytest.mark.needs_cuda
def test_free_memory_of_a_gpu():
    before = free_bytes(torch.device("cuda"))
    held = torch.empty(2**28, dtype=torch.uint8, device="cuda")
    assert 2**27 < before - free_bytes(torch.device("cuda")) < 2**29
    del held


class Allocator:
    """Refuses more than a number of prompts."""

    def __init__(self, most):
        self.most = most
        self.asked = []

    def __call__(self, size):
        self.asked.append(size)
        if size > self.most:
            raise torch.OutOfMemoryError("simulated")
        return "done"


@pytest.mark.parametrize(("size", "asked"), [(8, [8]), (9, [9, 4]), (16, [16, 8])])
def test_halving(caplog, size, asked):
    allocator = Allocator(most=8)
    with caplog.at_level(logging.WARNING):
        assert halving(allocator, size, "trying") == ("done", asked[-1])
    assert allocator.asked == asked
    assert (f"trying {size} prompts at a time; trying {size // 2}" in caplog.text) == (len(asked) > 1)


@pytest.mark.parametrize(("size", "asked"), [(17, [17, 8]), (1, [1])])
def test_halving_happens_once_and_never_below_one(size, asked):
    allocator = Allocator(most=7 if size > 1 else 0)
    with pytest.raises(torch.OutOfMemoryError):
        halving(allocator, size, "trying")
    assert allocator.asked == asked


def test_another_error_is_not_taken_for_a_lack_of_memory():
    calls = []

    def attempt(size):
        calls.append(size)
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        halving(attempt, 8, "trying")
    assert calls == [8]


@pytest.mark.parametrize(
    ("wrong", "key"),
    [
        ({"decode": "graph"}, "decode"),
        ({"prompts_together": 0}, "prompts_together"),
        ({"check_every": 0}, "check_every"),
    ],
)
def test_settings_out_of_range(wrong, key):
    with pytest.raises(ConfigError, match=f"rollout.{key}"):
        RolloutSettings(**wrong)
