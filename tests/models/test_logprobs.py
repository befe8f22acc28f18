import math
import weakref

import pytest
import torch
from torch import nn

from remot.models.logprobs import token_divergences, token_logprobs
from tests.helpers import assert_close


def problem(num_rows=11, seed=0):
    generator = torch.Generator().manual_seed(seed)
    head = nn.Linear(6, 9, bias=False)
    with torch.no_grad():
        head.weight.copy_(torch.randn(9, 6, generator=generator))
    hidden = torch.randn(num_rows, 6, generator=generator).requires_grad_()
    targets = torch.randint(0, 8, (num_rows,), generator=generator)
    bias = torch.linspace(-1, 1, 9)
    bias[8] = -torch.inf
    return hidden, targets, head, bias


def plain(hidden, targets, head, bias, temperature):
    logits = (head(hidden) + bias) / temperature
    return logits.gather(-1, targets[:, None])[:, 0] - logits.logsumexp(-1)


@pytest.mark.parametrize("chunk_tokens", [1, 4, 11, 100])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("is_frozen", [False, True])
def test_chunks_equal_the_plain_formula(chunk_tokens, temperature, is_frozen):
    """Values and the gradients of hidden states and head, whether chunks are recomputed or differentiated at once."""
    hidden, targets, head, bias = problem()
    head.requires_grad_(not is_frozen)
    inputs = (hidden,) if is_frozen else (hidden, head.weight)
    weights = torch.linspace(-1, 1, len(targets))
    results = []
    for function in (
        lambda: plain(hidden, targets, head, bias, temperature),
        lambda: token_logprobs(
            hidden, targets, head, logit_bias=bias, temperature=temperature, chunk_tokens=chunk_tokens
        ),
    ):
        values = function()
        gradients = torch.autograd.grad((values * weights).sum(), inputs)
        results.append((values.detach(), *gradients))
    for wanted, actual in zip(*results, strict=True):
        assert_close(actual, wanted, rtol=1e-5, atol=1e-6)


def test_by_hand():
    """One hidden unit, logits 0, ln 2, ln 5 and one banned: of the eight shares the tokens have 1, 2, 5."""
    head = nn.Linear(1, 4, bias=False)
    head.weight.data = torch.tensor([[0.0], [math.log(2)], [math.log(5)], [3.0]])
    bias = torch.tensor([0.0, 0.0, 0.0, -torch.inf])
    actual = token_logprobs(torch.ones(4, 1), torch.arange(4), head, logit_bias=bias)
    assert_close(actual.detach(), [math.log(1 / 8), math.log(2 / 8), math.log(5 / 8), -math.inf], rtol=1e-6)


def test_half_precision_is_summed_in_float32():
    hidden, targets, head, bias = problem()
    actual = token_logprobs(hidden.bfloat16(), targets, head.bfloat16(), logit_bias=bias)
    assert actual.dtype == torch.float32
    logits = head(hidden.bfloat16()).float() + bias
    assert_close(actual.detach(), torch.log_softmax(logits, -1).gather(-1, targets[:, None])[:, 0].detach())


@pytest.mark.parametrize("is_frozen", [False, True])
@pytest.mark.parametrize("chunk_tokens", [10, 40])
def test_no_logits_are_kept_for_the_backward_pass(is_frozen, chunk_tokens):
    """Not of several chunks and not of a single one; the backward pass of a frozen head computes none either."""
    hidden, targets, head, bias = problem(num_rows=40)
    head.requires_grad_(not is_frozen)
    runs, packed = [], []
    head.register_forward_hook(lambda *_: runs.append(1))

    def pack(tensor):
        packed.append(weakref.ref(tensor))
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        values = token_logprobs(hidden, targets, head, logit_bias=bias, chunk_tokens=chunk_tokens)
    kept = [tuple(tensor.shape) for reference in packed if (tensor := reference()) is not None]
    assert kept
    assert (chunk_tokens, 9) not in kept
    values.sum().backward()
    assert len(runs) == (1 if is_frozen else 2) * 40 // chunk_tokens


def test_nothing_to_score():
    _, _, head, _ = problem()
    assert token_logprobs(torch.zeros(0, 6), torch.zeros(0, dtype=torch.long), head).shape == (0,)


def reverse_kl(logprobs, taught):
    """Σ p (log p − log q) over the eight tokens that may be sampled."""
    return (logprobs[:, :8].exp() * (logprobs - taught)[:, :8]).sum(-1)


@pytest.mark.parametrize("is_frozen", [False, True])
def test_divergences_equal_the_plain_formula_and_keep_no_logits(is_frozen):
    """Values and gradients, of a teacher with a head of its own that is moved by neither."""
    hidden, _, head, bias = problem(num_rows=40)
    taught, _, other, _ = problem(num_rows=40, seed=1)
    head.requires_grad_(not is_frozen)
    inputs = (hidden,) if is_frozen else (hidden, head.weight)
    weights, packed = torch.linspace(-1, 1, 40), []

    def pack(tensor):
        packed.append(weakref.ref(tensor))
        return tensor

    whole = [torch.log_softmax((one(states) + bias) / 0.7, -1) for one, states in ((head, hidden), (other, taught))]
    wanted = reverse_kl(whole[0], whole[1].detach())
    slopes = torch.autograd.grad((wanted * weights).sum(), inputs)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        found = token_divergences(
            hidden, taught.detach(), head, other, reverse_kl, logit_bias=bias, temperature=0.7, chunk_tokens=10
        )
    assert (10, 9) not in [tuple(tensor.shape) for reference in packed if (tensor := reference()) is not None]
    assert_close(found.detach(), wanted.detach(), rtol=1e-5, atol=1e-6)
    for actual, slope in zip(torch.autograd.grad((found * weights).sum(), inputs), slopes, strict=True):
        assert_close(actual, slope, rtol=1e-4, atol=1e-6)
    assert other.weight.grad is None
