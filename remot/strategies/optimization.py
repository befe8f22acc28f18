"""Settings of optimiser and schedule on resuming: their state dicts hold them too, and would restore the old ones.

Moments and counts belong to the checkpoint; the learning rate, the weight decay and the schedule to the configuration.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from remot.errors import ConfigError

MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]
MakeScheduler = Callable[[Optimizer], Any]


def make_optimization(
    parameters: Iterable[nn.Parameter], make_optimizer: MakeOptimizer, make_scheduler: MakeScheduler | None
) -> tuple[Optimizer, LRScheduler | None]:
    """The optimizer of ``parameters``, and its schedule if there is one.

    Raises:
        ConfigError: If a setting is out of its range, which torch checks here.
    """
    try:
        optimizer = make_optimizer(parameters)
        require_finite_settings(optimizer)
        scheduler = None if make_scheduler is None else make_scheduler(optimizer)
    except (ValueError, TypeError) as error:
        msg = f"model.optimizer or model.scheduler: {error}"
        raise ConfigError(msg) from error
    if isinstance(scheduler, ReduceLROnPlateau):
        msg = "model.scheduler: ReduceLROnPlateau needs a metric at each step; choose a schedule of the step alone"
        raise ConfigError(msg)
    return optimizer, scheduler


def require_usable_settings(make_optimizer: MakeOptimizer, make_scheduler: MakeScheduler | None) -> None:
    """Make three updates of a small weight, before the policy is loaded, which takes minutes.

    Optimizers of other packages are made and not used, as some of them update nothing without a GPU. A function of
    one's own is not called, as it may want the policy's weights; configurations give a class with its settings.

    Raises:
        ConfigError: If a setting is out of its range, or makes weights that are not finite.
    """
    if not isinstance(make_optimizer, partial):
        return
    weight = nn.Parameter(torch.ones(2, 2))
    optimizer, _ = make_optimization([weight], make_optimizer, make_scheduler)
    if not type(optimizer).__module__.startswith("torch.optim."):
        return
    try:
        for _ in range(3):
            weight.grad = torch.tensor([[0.0, 1.0], [-1.0, 0.5]])
            optimizer.step()
        is_usable = bool(weight.isfinite().all())
    except Exception as error:  # noqa: BLE001 (what some need is not here, as a GPU or sparse gradients)
        is_usable = not (isinstance(error, OverflowError) or "overflow" in str(error))
    if not is_usable:
        numbers = (f"{name} {value}" for name, value in optimizer.defaults.items() if isinstance(value, float | tuple))
        msg = f"model.optimizer: a weight of 1 becomes infinite or NaN within three updates, with {', '.join(numbers)}"
        raise ConfigError(msg)


def require_finite_settings(optimizer: Optimizer) -> None:
    """Refuse an optimizer with a setting that is NaN or infinite; PyTorch's own checks let some through.

    Raises:
        ConfigError: Naming the setting.
    """
    for name, value in (pair for group in optimizer.param_groups for pair in group.items() if pair[0] != "params"):
        for number in value if isinstance(value, tuple | list) else [value]:
            if isinstance(number, float) and not math.isfinite(number):
                msg = f"model.optimizer: {name} is {number}, give a finite number"
                raise ConfigError(msg)


def describe_optimization(optimizer: Optimizer, scheduler: LRScheduler | None) -> dict[str, str]:
    """The settings of an optimiser and a schedule that have taken no step, as text to compare."""
    groups = [_settings(group) for group in optimizer.param_groups]
    name, schedule_name = (f"{type(one).__module__}.{type(one).__qualname__}" for one in (optimizer, scheduler))
    schedule = "None" if scheduler is None else f"{schedule_name} {scheduler.state_dict()!r}"
    return {"optimizer": name, "settings": repr(groups), "scheduler": schedule}


def is_another_optimizer(before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """True if the optimiser's class is known to have changed, so that it cannot use the other one's state.

    ``before`` is :func:`describe_optimization` in the checkpoint, empty in those of older versions; ``now`` this run's.
    """
    return before.get("optimizer", now["optimizer"]) != now["optimizer"]


def apply_settings(
    optimizer: Optimizer, scheduler: LRScheduler | None, make: tuple[MakeOptimizer, MakeScheduler | None], steps: int
) -> None:
    """Set a restored optimiser and schedule to what a run with the present settings would have after ``steps`` updates.

    The optimiser's moments stay. The schedule is stepped from its beginning on a fresh optimiser without gradients, so
    that any schedule that depends on the number of steps alone comes out as if it had always been the one. ``make``
    holds the present settings: the factories of optimiser and schedule.
    """
    make_optimizer, make_scheduler = make
    fresh = make_optimizer([one for group in optimizer.param_groups for one in group["params"]])
    if scheduler is not None and make_scheduler is not None:
        schedule = make_scheduler(fresh)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch misses a step of the optimiser before each of the schedule
            for _ in range(steps):
                schedule.step()
        scheduler.load_state_dict(schedule.state_dict())
    for group, wanted in zip(optimizer.param_groups, fresh.param_groups, strict=True):
        parameters = group["params"]
        group.clear()
        group.update({**_settings(wanted), "params": parameters})


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name != "params"}
