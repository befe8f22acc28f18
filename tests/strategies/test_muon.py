"""Muon and AdamW as one optimizer: the updates of PyTorch's two, schedules, and going on from a saved state."""

import copy

import pytest
import torch
from torch import nn
from torch.optim import AdamW, Muon
from torch.optim.lr_scheduler import OneCycleLR

from remot.errors import ConfigError
from remot.strategies.muon import MuonAdamW
from remot.strategies.optimization import make_optimization


def weights():
    torch.manual_seed(0)
    shapes = ((16, 16), (32, 8), (100, 16), (4, 4), (16,), (2, 3, 8, 8))  # Muon's are the first two
    return [nn.Parameter(torch.randn(shape)) for shape in shapes]


def update(parameters, optimizer, step):
    generator = torch.Generator().manual_seed(step)
    for one in parameters:
        one.grad = torch.randn(one.shape, generator=generator)
    optimizer.step()


def test_updates_are_those_of_pytorchs_two():
    ours, theirs = weights(), weights()
    both = MuonAdamW(ours, lr=0.02, weight_decay=0.1, betas=(0.8, 0.9), momentum=0.7)
    muon = Muon(theirs[:2], 0.02, weight_decay=0.1, momentum=0.7, adjust_lr_fn="match_rms_adamw")
    adamw = AdamW(theirs[2:], 0.02, (0.8, 0.9), weight_decay=0.1)
    for step in range(3):
        update(ours, both, step)
        update(theirs, muon, step)
        adamw.step()
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert not torch.equal(ours[0], weights()[0])


@pytest.mark.parametrize("chosen", [slice(0, 2), slice(2, None)])
def test_matrices_alone_and_none_at_all(chosen):
    parameters = weights()[chosen]
    before = [one.detach().clone() for one in parameters]
    update(parameters, MuonAdamW(parameters), 0)
    assert all(not torch.equal(a, b) for a, b in zip(parameters, before, strict=True))


def test_a_schedule_holds_for_both():
    """OneCycleLR cycles AdamW's first beta too."""
    optimizer, schedule = make_optimization(
        weights(), MuonAdamW, lambda made: OneCycleLR(made, max_lr=0.1, total_steps=10)
    )
    before, after = weights(), optimizer.param_groups[0]["params"]
    for step in range(3):
        optimizer.param_groups[0]["lr"] = 0.0 if step else 0.1
        update(after, optimizer, step)
        schedule.step()
        if not step:
            moved = [one.detach().clone() for one in after]
    assert all(not torch.equal(a, b) for a, b in zip(before, moved, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(after, moved, strict=True))  # a rate of 0 stops both
    assert optimizer.param_groups[0]["betas"][0] != 0.9


def test_parameters_keep_their_order():
    """Checkpoints name the state of a parameter by its number."""
    parameters = weights()[::-1]
    (group,) = MuonAdamW(parameters).param_groups
    assert all(a is b for a, b in zip(group["params"], parameters, strict=True))


def test_divided_weights_are_refused(monkeypatch):
    monkeypatch.setattr("remot.strategies.muon.DTensor", nn.Parameter)
    with pytest.raises(ConfigError, match="FSDP2"):
        MuonAdamW(weights())


def test_it_goes_on_from_a_saved_state_bit_for_bit():
    straight, first = weights(), weights()
    one, two = MuonAdamW(straight), MuonAdamW(first)
    for step in range(2):
        update(straight, one, step)
        update(first, two, step)
    resumed = [nn.Parameter(value.detach().clone()) for value in first]
    three = MuonAdamW(resumed)
    three.load_state_dict(copy.deepcopy(two.state_dict()))
    for step in range(2, 4):
        update(straight, one, step)
        update(resumed, three, step)
    assert all(torch.equal(a, b) for a, b in zip(straight, resumed, strict=True))


def test_a_setting_out_of_range_is_refused():
    with pytest.raises(ConfigError, match="momentum"):
        make_optimization(weights(), lambda one: MuonAdamW(one, momentum=-1.0), None)
