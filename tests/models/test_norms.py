"""RMS norms with fewer operations: the results and gradients of transformers' own modules."""

import copy

import pytest
import torch
from torch import nn
from transformers.models.gemma3.modeling_gemma3 import Gemma3RMSNorm
from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLTextRMSNorm

from remot.models import norms
from remot.models.norms import root_mean_square_norm, use_lean_norms
from tests.tiny import FAMILIES, make_policy


def norm_of(size=5, kind=Qwen3VLTextRMSNorm):
    torch.manual_seed(0)
    norm = kind(size, eps=1e-3)
    norm.weight.data = torch.randn(size)
    return norm


def test_by_hand():
    """The root of the mean of 9, 16, 0 and 11 is 3."""
    states = torch.tensor([3.0, 4.0, 0.0, 11**0.5])
    found = root_mean_square_norm(states, torch.tensor([1.0, 3.0, 7.0, 0.0]), 0.0)
    torch.testing.assert_close(found, torch.tensor([1.0, 4.0, 0.0, 0.0]))


@pytest.mark.parametrize("trains_weight", [True, False])
@pytest.mark.parametrize("shape", [(5,), (2, 5), (2, 3, 4, 5)])
def test_results_and_gradients_are_those_of_the_module(shape, trains_weight):
    own = norm_of().requires_grad_(trains_weight)
    lean = copy.deepcopy(own)
    use_lean_norms(lean)
    assert "forward" in vars(lean)
    found = []
    for norm in (own, lean):
        states = (torch.arange(5.0) - torch.ones(shape) * 1.7).requires_grad_()
        result = norm(states)
        (result * torch.arange(5)).sum().backward()
        found.append([result, states.grad, *([norm.weight.grad] if trains_weight else [])])
        with torch.no_grad():
            assert torch.equal(result, norm(states)), "with gradients and without"
    for theirs, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_states_and_gradients_in_any_order_of_memory():
    """As heads have them: [P, S, N, D] that another layer looks at as [P, N, S, D]."""
    own = norm_of()
    lean = copy.deepcopy(own)
    use_lean_norms(lean)
    found = []
    for norm in (own, lean):
        states = torch.arange(120.0).view(2, 3, 4, 5).transpose(1, 2).requires_grad_()
        norm(states).transpose(1, 2).contiguous().square().sum().backward()
        found.append([states.grad, norm.weight.grad])
    for theirs, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-4)


def test_gradients_are_those_of_finite_differences():
    generator = torch.Generator().manual_seed(0)
    states, weight = (torch.randn(*shape, generator=generator).double().requires_grad_() for shape in ((3, 4), (4,)))
    assert torch.autograd.gradcheck(lambda *parts: root_mean_square_norm(*parts, 1e-3), (states, weight))


def test_states_without_a_gradient_leave_one_for_the_weight():
    weight = torch.ones(4, requires_grad=True)
    root_mean_square_norm(torch.arange(4.0), weight, 0.0).sum().backward()
    torch.testing.assert_close(weight.grad, torch.arange(4.0) / 3.5**0.5)


class Gated(Qwen3VLTextRMSNorm):
    def forward(self, hidden_states, gate=None):
        return super().forward(hidden_states if gate is None else hidden_states * gate)


class OtherRMSNorm(Qwen3VLTextRMSNorm):
    def forward(self, hidden_states):
        return super().forward(hidden_states) + 1e-3 * hidden_states


@pytest.mark.parametrize("kind", [Gemma3RMSNorm, Gated, OtherRMSNorm], ids=lambda kind: kind.__name__)
def test_norms_of_another_kind_stay(kind):
    use_lean_norms(norm := norm_of(kind=kind))
    assert "forward" not in vars(norm)


@pytest.mark.parametrize("norm", [norm_of().bfloat16(), nn.LayerNorm(5)], ids=["half", "mean"])
def test_other_norms_stay(norm):
    use_lean_norms(norm)
    assert "forward" not in vars(norm)


def test_other_precisions_and_copies_take_their_own_weight(monkeypatch):
    norm = norm_of()
    use_lean_norms(norm)
    copied = copy.deepcopy(norm)
    copied.weight.data.zero_()
    states = torch.ones(2, 5)
    assert not copied(states).any()
    assert norm(states).any()
    monkeypatch.setattr(norms, "root_mean_square_norm", lambda *_: pytest.fail("not of half precision"))
    norm(states.bfloat16())
    norm.bfloat16()(states.bfloat16())


@pytest.mark.parametrize("family", FAMILIES)
def test_all_norms_of_a_policy_are_lean(family):
    policy = make_policy(family)
    found = [module for module in policy.core.modules() if type(module).__name__.endswith("RMSNorm")]
    assert found
    assert all("forward" in vars(module) for module in found)
