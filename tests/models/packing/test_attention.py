"""Blocks for FlexAttention: the same mask as the dense one, pair by pair and block by block, and the same results."""

import pytest
import torch
from torch._dynamo.testing import CompileCounter
from torch._dynamo.utils import counters
from torch.nn.attention import flex_attention as flex_module
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from remot.models.export import save_trained
from remot.models.packing import attention as module
from remot.models.packing.attention import (
    COLUMN_MULTIPLE,
    KERNEL_NAME,
    RowMask,
    packed_attention,
    packed_block_mask,
    packed_mask_function,
    pad_to_multiple,
)
from remot.models.packing.masks import packed_attention_mask
from tests.models.test_parity import LOGPROB_TOLERANCE, largest_gap
from tests.tiny import FAMILIES, encode, make_batch, make_lora_policy, make_policy, random_completions

SHAPES = [(3, 4), (1, 7), (5, 1), (0, 0), (8, 60)]


def prompt_mask_of(lengths, width):
    return torch.arange(width) < torch.tensor(lengths)[:, None]


def every_pair(function, num_prompts, num_columns):
    """The function at all pairs of columns: [P, S, S]."""
    prompt = torch.arange(num_prompts)[:, None, None]
    column = torch.arange(num_columns)
    shape = (num_prompts, num_columns, num_columns)
    return function(prompt, torch.tensor(0), column[None, :, None], column[None, None, :]).expand(shape)


@pytest.mark.parametrize(("num_completions", "num_tokens"), SHAPES)
def test_the_function_is_the_dense_mask(num_completions, num_tokens):
    prompt_mask = prompt_mask_of((9, 4, 1), 9)
    dense = packed_attention_mask(prompt_mask, num_completions, num_tokens)[:, 0]
    function = packed_mask_function(prompt_mask, num_completions, num_tokens)
    assert torch.equal(every_pair(function, 3, dense.shape[-1]), dense)


@pytest.mark.parametrize(("num_completions", "num_tokens"), SHAPES)
def test_padding_attends_to_itself_and_is_not_attended_to(num_completions, num_tokens):
    prompt_mask = prompt_mask_of((9, 4), 9)
    dense = packed_attention_mask(prompt_mask, num_completions, num_tokens)[:, 0]
    real = dense.shape[-1]
    total = pad_to_multiple(real)
    assert total % COLUMN_MULTIPLE == 0
    assert 0 <= total - real < COLUMN_MULTIPLE
    pairs = every_pair(packed_mask_function(prompt_mask, num_completions, num_tokens, total), 2, total)
    assert torch.equal(pairs[:, :real, :real], dense)
    assert not pairs[:, :real, real:].any()
    assert not pairs[:, real:, :real].any()
    assert torch.equal(pairs[0, real:, real:], torch.eye(total - real, dtype=torch.bool))


def test_blocks_of_completions_that_do_not_see_each_other_are_empty():
    """A prompt of 128 columns and 3 completions of 128: each sees the prompt and itself, 7 of 16 blocks."""
    mask = packed_block_mask(prompt_mask_of((128,), 128), 3, 128, 512)
    assert mask.to_dense()[0, 0].tolist() == [[1, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 0, 0, 1]]
    assert mask.shape == (1, 1, 512, 512)


def states_of(num_heads, num_kv_heads, total):
    """Queries, keys and values of two rows, always the same ones."""
    generator = torch.Generator().manual_seed(0)
    heads = (num_heads, num_kv_heads, num_kv_heads)
    return [torch.randn(2, number, total, 16, generator=generator).requires_grad_() for number in heads]


def over_the_dense_mask(states, prompt_mask, num_completions, num_tokens):
    """What PyTorch computes; [2, S, heads, 16]."""
    dense = packed_attention_mask(prompt_mask, num_completions, num_tokens)
    query, key, value = (part[:, :, : dense.shape[-1]] for part in states)
    mixed = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=dense, scale=0.3, enable_gqa=True
    )
    return mixed.transpose(1, 2)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # of PyTorch's own tracing
@pytest.mark.parametrize(("num_heads", "num_kv_heads"), [(4, 4), (4, 2), (6, 2)])
def test_flex_attention_over_blocks_is_attention_over_the_dense_mask(monkeypatch, num_heads, num_kv_heads):
    """Results and gradients; PyTorch refuses the latter on a processor, though its plain implementation has them."""
    monkeypatch.setattr(flex_module, "_validate_device", lambda *_: None)
    prompt_mask = prompt_mask_of((50, 31), 50)
    total, real = pad_to_multiple(50 + 4 * 40), 50 + 4 * 40
    states = states_of(num_heads, num_kv_heads, total)
    mixed, weights = packed_attention(None, *states, packed_block_mask(prompt_mask, 4, 40, total), 0.3)
    wanted = over_the_dense_mask(states, prompt_mask, 4, 40)
    assert weights is None
    assert mixed.is_contiguous()
    torch.testing.assert_close(mixed[:, :real], wanted, rtol=1e-5, atol=1e-5)
    pull = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(1))
    gradients = torch.autograd.grad((mixed[:, :real] * pull).sum(), states)
    for gradient, its in zip(gradients, torch.autograd.grad((wanted * pull).sum(), states), strict=True):
        torch.testing.assert_close(gradient, its, rtol=1e-4, atol=1e-5)


@pytest.mark.slow  # two kernels are compiled, a C++ file each
def test_a_compiled_kernel_over_blocks_is_attention_over_the_dense_mask():
    """By the compiler's templates for a processor, which know one length each: with lengths left open they do not
    compile in PyTorch 2.15."""
    kernel = torch.compile(flex_module.flex_attention, dynamic=False)
    for num_completions, num_tokens, lengths in ((4, 40, (50, 31)), (3, 70, (9, 40))):
        prompt_mask = prompt_mask_of(lengths, max(lengths))
        real = max(lengths) + num_completions * num_tokens
        states = states_of(4, 2, pad_to_multiple(real))
        mask = packed_block_mask(prompt_mask, num_completions, num_tokens, pad_to_multiple(real))
        with torch.no_grad():
            states = [part.detach() for part in states]
            mixed = kernel(*states, block_mask=mask, scale=0.3, enable_gqa=True).transpose(1, 2)
            wanted = over_the_dense_mask(states, prompt_mask, num_completions, num_tokens)
        torch.testing.assert_close(mixed[:, :real], wanted, rtol=1e-5, atol=1e-5)
    torch._dynamo.reset()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("num_tokens", [5, 60])
def test_a_whole_model_over_blocks(monkeypatch, family, num_tokens):
    """Log-probabilities over blocks are those over the dense mask; every layer of the language model took blocks."""
    calls, batch = [], make_batch(3)
    monkeypatch.setattr(module, "flex_attention", lambda *a, **k: (calls.append(1), flex_attention(*a, **k))[1])
    flex, dense = (make_lora_policy(family, attention=attention) for attention in ("flex", "sdpa"))
    assert flex.core.config.get_text_config()._attn_implementation == KERNEL_NAME
    completions, mask = random_completions(dense, 3, 3, num_tokens)
    with torch.no_grad():
        one = flex.completion_logprobs(encode(flex, batch), completions)[mask]
        assert len(calls) == flex.core.config.get_text_config().num_hidden_layers
        other = dense.completion_logprobs(encode(dense, batch), completions)[mask]
    assert largest_gap(one, other) < LOGPROB_TOLERANCE


def test_with_gradient_on_a_processor_the_mask_is_dense():
    """PyTorch's FlexAttention has no backward there; the automatic choice takes no blocks at all."""
    policy, batch = make_lora_policy(attention="flex"), make_batch(2)
    completions, mask = random_completions(policy, 2, 2, 4)
    policy.completion_logprobs(encode(policy, batch), completions)[mask].sum().backward()
    assert all(parameter.grad is not None for parameter in policy.trainable_parameters())
    assert make_policy(attention="auto").packing(encode(policy, batch)).row_mask is RowMask.PARTS
    assert policy.packing(encode(policy, batch)).row_mask is RowMask.BLOCKS


@pytest.mark.parametrize(
    ("attention", "device", "is_sharded", "masks"),
    [
        ("auto", "cpu", False, [RowMask.PARTS, RowMask.DENSE]),
        ("auto", "cuda", False, [RowMask.BLOCKS, RowMask.PARTS, RowMask.DENSE]),
        ("auto", "cuda", True, [RowMask.PARTS, RowMask.DENSE]),
        ("flex", "cpu", False, [RowMask.BLOCKS, RowMask.DENSE]),
        ("flex", "cuda", True, [RowMask.DENSE]),
        ("sdpa", "cuda", False, [RowMask.DENSE]),
        ("eager", "cuda", False, [RowMask.DENSE]),
    ],
)
def test_row_masks_of_each_model(attention, device, is_sharded, masks):
    from remot.models import ModelSource

    assert ModelSource(attention=attention).row_masks(torch.device(device), is_sharded=is_sharded) == masks


def test_a_saved_model_does_not_ask_for_our_kernel(tmp_path):
    """The name is known to this library only."""
    policy = make_policy(attention="flex")
    save_trained(policy, tmp_path / "model")
    assert KERNEL_NAME not in (tmp_path / "model" / "config.json").read_text()


@pytest.mark.needs_cuda
@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_on_a_gpu(family):
    """Log-probabilities and gradients over blocks, compiled, in bfloat16 as they are trained, for three lengths.

    On a processor two ways to compute them differ by 0.002 at most, and their gradients' cosine is 0.99996 or more.
    """
    flex, dense = (make_lora_policy(family, attention=attention).bfloat16().cuda() for attention in ("flex", "sdpa"))
    for num_tokens in (5, 60, 200):
        completions, mask = random_completions(dense, 3, 3, num_tokens)
        completions, mask = completions.cuda(), mask.cuda()
        results = []
        for policy in (flex, dense):
            policy.zero_grad()
            logprobs = policy.completion_logprobs(encode(policy, make_batch(3)), completions)[mask]
            logprobs.sum().backward()
            gradient = torch.cat([p.grad.flatten().float() for p in policy.trainable_parameters()])
            results.append((logprobs.float(), gradient))
        assert (results[0][0] - results[1][0]).abs().mean() < 0.01
        assert torch.cosine_similarity(results[0][1], results[1][1], dim=0) > 0.999
    assert isinstance(packed_block_mask(prompt_mask_of((3,), 3).cuda(), 1, 5, 128), BlockMask)


def test_another_length_needs_no_other_kernel(monkeypatch):
    """Lengths are in tensors: after the first rows no other number of prompts, completions or tokens traces again."""
    counter, compile_ = CompileCounter(), torch.compile
    monkeypatch.setattr(module.torch, "compile", lambda *a, **k: compile_(*a, **k, backend=counter))
    module._compiled_flex_attention.cache_clear()
    kernel = module._compiled_flex_attention()

    def run(num_prompts, length, num_completions, num_tokens):
        total = pad_to_multiple(length + num_completions * num_tokens)
        query, key, value = (torch.randn(num_prompts, heads, total, 16) for heads in (4, 2, 2))
        prompt_mask = prompt_mask_of(range(1, num_prompts + 1), length)
        mask = packed_block_mask(prompt_mask, num_completions, num_tokens, total)
        with torch.no_grad():
            kernel(query, key, value, block_mask=mask, scale=0.25, enable_gqa=True)
        return total

    run(3, 50, 8, 40)
    run(5, 61, 4, 80)
    seen = counter.frame_count
    assert 1 <= seen <= 2
    totals = {run(3, 90, 2, 400), run(5, 300, 7, 33), run(6, 20, 16, 60), run(7, 77, 5, 250)}
    assert len(totals) == 4
    assert counter.frame_count == seen
    assert not counters["graph_break"]
    module._compiled_flex_attention.cache_clear()
    torch._dynamo.reset()
