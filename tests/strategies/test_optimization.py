"""Resuming with other settings of the optimiser or the schedule: they take effect, and the moments go on."""

import re
from functools import partial

import pytest
import torch
from torch.optim.lr_scheduler import LinearLR, SequentialLR, StepLR

from remot.errors import ConfigError
from remot.strategies import SFT, PostTrainingModule
from remot.strategies.optimization import require_usable_settings
from tests.helpers import assert_close
from tests.strategies.test_module import fit, ready_module

ADAM = partial(torch.optim.AdamW, lr=0.01, weight_decay=0.0)
HALVED = partial(StepLR, step_size=1, gamma=0.5)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("lr", 1e38, "lr 1e+38"),
        ("lr", -1.0, "learning rate: -1.0"),
        ("weight_decay", 1e38, "weight_decay 1e+38"),
        ("betas", (0.9, 2.0), "index 1: 2.0"),
        ("eps", 0.0, "eps 0.0"),
    ],
)
def test_numbers_that_no_weight_survives_are_refused_before_the_model_is_loaded(tmp_path, name, value, shown):
    """PyTorch takes some of them, and fails in the step, or makes NaN of a weight without gradient."""
    module = PostTrainingModule(strategy=SFT(), optimizer=partial(torch.optim.AdamW, **{name: value}))
    with pytest.raises(ConfigError, match=rf"model\.optimizer.*{re.escape(shown)}"):
        fit(module, tmp_path, max_steps=1)
    assert module.policy is None


@pytest.mark.parametrize("name", torch.optim.__all__)
def test_optimizers_of_torch_are_usable_as_they_are(name):
    kind = getattr(torch.optim, name)
    if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer:
        require_usable_settings(partial(kind, lr=0.01), None)


def test_a_function_of_ones_own_sees_the_weights_of_the_policy_only():
    """It may take some of them, and would get none of a weight that is only tried."""
    called = []
    require_usable_settings(called.append, None)
    assert called == []


def saved_after_two(folder, **settings):
    _, trainer = fit(ready_module(SFT(), **settings), folder, max_steps=2)
    trainer.save_checkpoint(folder / "two.ckpt")
    return torch.load(folder / "two.ckpt", weights_only=True)


def third_step(folder, **settings):
    """The module and the optimiser after one step more."""
    module = ready_module(SFT(), **settings)
    _, trainer = fit(module, folder, max_steps=3, ckpt_path=folder / "two.ckpt", adapter_seed=99)
    return module, trainer.optimizers[0]


def test_rate_and_decay_of_the_configuration_move_the_weights(tmp_path):
    """The third step is AdamW's by hand: p (1 - lr·wd) - lr · m̂ / (√v̂ + eps), with the moments of all three."""
    held = saved_after_two(tmp_path, optimizer=ADAM)["state_dict"]
    rate, decay = 0.03, 0.5
    module, optimizer = third_step(tmp_path, optimizer=partial(torch.optim.AdamW, lr=rate, weight_decay=decay))
    group = optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"]) == (rate, decay)
    name, parameter = next((name, one) for name, one in module.named_parameters() if "lora_A" in name)
    state = optimizer.state[parameter]
    assert state["step"] == 3
    mean, square = state["exp_avg"] / (1 - 0.9**3), state["exp_avg_sq"] / (1 - 0.999**3)
    assert_close(parameter.detach(), held[name] * (1 - rate * decay) - rate * mean / (square.sqrt() + 1e-8), atol=1e-6)


@pytest.mark.parametrize(
    ("before", "optimizer", "after", "wanted"),
    [
        (HALVED, partial(torch.optim.AdamW, lr=0.04), HALVED, 0.04 * 0.5**3),
        (HALVED, ADAM, partial(StepLR, step_size=2, gamma=0.1), 0.01 * 0.1),
        (None, ADAM, HALVED, 0.01 * 0.5**3),
        pytest.param(HALVED, ADAM, None, 0.01, marks=pytest.mark.slow),
        pytest.param(HALVED, ADAM, HALVED, 0.01 * 0.5**3, marks=pytest.mark.slow),
    ],
    ids=["rate", "schedule", "schedule where there was none", "none where there was a schedule", "nothing"],
)
def test_schedule_goes_on_as_if_it_had_always_been_the_one(tmp_path, before, optimizer, after, wanted):
    """Three updates: the rate is the new schedule's after three steps."""
    saved_after_two(tmp_path, optimizer=ADAM, scheduler=before)
    _, restored = third_step(tmp_path, optimizer=optimizer, scheduler=after)
    assert_close(restored.param_groups[0]["lr"], wanted)


def test_schedules_made_of_several(tmp_path):
    """Warm-up over two steps from a tenth, then halved at each: after three updates 0.02 · 0.5."""

    def make(optimizer):
        parts = [LinearLR(optimizer, start_factor=0.1, total_iters=2), HALVED(optimizer)]
        return SequentialLR(optimizer, parts, milestones=[2])

    saved_after_two(tmp_path, optimizer=ADAM, scheduler=HALVED)
    _, restored = third_step(tmp_path, optimizer=partial(torch.optim.AdamW, lr=0.02), scheduler=make)
    assert_close(restored.param_groups[0]["lr"], 0.02 * 0.5)


def test_another_optimiser_begins_without_moments(tmp_path):
    saved_after_two(tmp_path, optimizer=ADAM)
    _, optimizer = third_step(tmp_path, optimizer=partial(torch.optim.SGD, lr=0.1, momentum=0.9))
    assert {name for state in optimizer.state.values() for name in state} == {"momentum_buffer"}
    assert optimizer.param_groups[0]["momentum"] == 0.9
    assert "betas" not in optimizer.param_groups[0]


def test_what_a_run_has_changed_itself_is_kept(tmp_path):
    """The same settings: a rate that a callback has set in the middle of the run stays."""
    _, trainer = fit(ready_module(SFT(), optimizer=ADAM), tmp_path, max_steps=2)
    trainer.optimizers[0].param_groups[0]["lr"] = 0.007
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    _, optimizer = third_step(tmp_path, optimizer=ADAM)
    assert optimizer.param_groups[0]["lr"] == 0.007
