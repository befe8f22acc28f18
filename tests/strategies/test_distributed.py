"""What the module knows of strategies, without a second process; with one see tests/devices."""

import copy

import pytest
import torch
from lightning.pytorch.strategies import FSDPStrategy, SingleDeviceStrategy
from torch import nn

from remot.errors import CheckpointError, ConfigError
from remot.strategies.checkpoint import named_optimizer_state, require_same
from remot.strategies.distributed import backward_context, clip_gradients
from remot.strategies.evaluation import require_supported


class Engine(nn.Module):
    """As much of DeepSpeed's engine as is used."""

    def __init__(self):
        super().__init__()
        self.told = []

    def set_gradient_accumulation_boundary(self, is_boundary):
        self.told.append(is_boundary)


def test_an_engine_gets_the_last_backward_pass():
    engine = Engine()
    for is_last in (False, False, True):
        with backward_context(engine, is_last=is_last):
            assert engine.told[-1] is is_last
    assert engine.told == [False, False, True]
    for wrapper in (None, nn.Linear(1, 1)):
        with backward_context(wrapper, is_last=False):
            pass


def test_gradients_are_clipped_here_or_by_the_engine():
    """Norm of (3, 4) is 5; half of it leaves half of each."""
    weight = nn.Parameter(torch.zeros(2))
    weight.grad = torch.tensor([3.0, 4.0])
    assert clip_gradients(Engine(), [weight], 2.5) == {}
    assert weight.grad.tolist() == [3.0, 4.0]
    assert clip_gradients(None, [weight], 2.5) == {"grad_norm": 5.0}
    assert weight.grad.tolist() == pytest.approx([1.5, 2.0], rel=1e-5)


def test_strategies_that_cannot_sample_are_refused():
    require_supported(SingleDeviceStrategy("cpu"))
    with pytest.raises(ConfigError, match=r"FSDPStrategy cannot sample.*ModelParallelStrategy.*fsdp2\.yaml"):
        require_supported(FSDPStrategy())


def test_an_optimizer_reads_its_state_by_name():
    """Adam's step after loading is the one it would have made."""
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))

    def step(model, optimizer):
        optimizer.zero_grad()
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()

    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    step(model, optimizer)
    names = [name for name, _ in model.named_parameters()]
    held = named_optimizer_state(copy.deepcopy(optimizer.state_dict()), names)
    assert list(held["state"]) == held["param_groups"][0]["params"] == names
    assert named_optimizer_state(held, names) == held
    assert named_optimizer_state({}, names) == {}
    other = copy.deepcopy(model)
    loaded = torch.optim.Adam(other.parameters(), lr=0.5)
    loaded.load_state_dict(held)
    step(model, optimizer)
    step(other, loaded)
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


def test_names_that_differ():
    """Only held, of another shape, only wanted; what is the same on both sides is not named."""
    for held, wanted, name in (({"a": [1]}, {}, "a"), ({"c": [3]}, {"c": [4]}, "c"), ({}, {"d": [5]}, "d")):
        with pytest.raises(CheckpointError, match=f"1 differ, such as {name};"):
            require_same("base", {"b": [2], **held}, "base", {"b": [2], **wanted})
    require_same("base", {"b": [2]}, "base", {"b": [2]})
