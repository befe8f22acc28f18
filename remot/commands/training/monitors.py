"""Callbacks that follow a metric: one that the run never gives them is named before a model is loaded."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from lightning.pytorch import callbacks as lightning_callbacks
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelCheckpoint

from remot.callbacks.best import BestPolicy, require_one
from remot.callbacks.checkpoint import RunCheckpoint
from remot.errors import ConfigError, did_you_mean
from remot.evaluation.scores import METRICS, MIXED, PERCEPTION_METRICS, TASK_METRICS
from remot.motion import ATTRIBUTES

#: Packages whose callbacks log what is known here, or nothing.
KNOWN_PACKAGES = ("lightning", "pytorch_lightning", "remot")
#: What a validation can give callbacks, as docs/metrics.md lists it; names of tasks follow from the data.
VALIDATION = tuple(f"val/{name}" for name in METRICS)
OF_TASKS = re.compile(rf"val/task/(success|.+/({'|'.join(TASK_METRICS + PERCEPTION_METRICS)}))")
REPLACED = "val/replaced_prompts"
OF_ATTRIBUTES = re.compile(r"val/attribute/.+/partial")
#: A metric of every training step.
TRAINING = "train/loss"

_OF_CHECKPOINT = re.compile(r"ModelCheckpoint\(monitor='(.+?)'\) could not find .*? metrics: \[(.*?)\]")
_OF_STOPPING = re.compile(r"Early stopping conditioned on metric (.+?) which is not available.*? following: (.*)")


@dataclass(frozen=True)
class PlannedCallback:
    """A callback of the configuration that is not made yet.

    Args:
        key: Where it stands, for messages.
        kind: Its class.
        settings: Its arguments by name.
    """

    key: str
    kind: type
    settings: dict[str, Any]

    @property
    def is_known(self) -> bool:
        """False for a class of the user's own, which may log anything and set its own monitor."""
        return self.kind.__module__.partition(".")[0] in KNOWN_PACKAGES

    @property
    def keeps_files(self) -> bool:
        """True for a checkpoint that keeps some files besides ``last.ckpt``."""
        return issubclass(self.kind, ModelCheckpoint) and self.settings.get("save_top_k", 1) != 0

    @property
    def monitor(self) -> str | None:
        """The metric without which the callback ends the run; None if there is none."""
        if issubclass(self.kind, EarlyStopping):
            return self.settings.get("monitor") if self.settings.get("strict", True) else None
        return self.settings.get("monitor") if self.keeps_files else None


def require_callbacks_fit(config: Any) -> None:  # noqa: ANN401 (jsonargparse's namespaces)
    """Refuse callbacks that need what the run has not: a checkpoint of a best step, or a metric.

    What cannot be known from the configuration passes: names of tasks and rewards, and all runs with callbacks of
    one's own.

    Args:
        config: Of ``remot fit``.

    Raises:
        ConfigError: Naming the callback, with the nearest metric that exists.
    """
    planned = list(_planned(config))
    if not all(one.is_known for one in planned):
        return
    if any(issubclass(one.kind, BestPolicy) for one in planned):
        require_one(sum(one.keeps_files and one.monitor is not None for one in planned))
    reason = _why_never_validated(config.trainer, config.data)
    known = _known_attributes(config.data)
    has_rates = any(issubclass(one.kind, LearningRateMonitor) for one in planned)
    for one in planned:
        if one.monitor is not None and not (has_rates and one.monitor.startswith("lr-")):
            _require_metric(one, one.monitor, reason, known)


def complaint_about_metric(text: str) -> str | None:
    """What Lightning says of a metric that was not there, in one sentence with the nearest one.

    Args:
        text: Its whole complaint.

    Returns:
        None if the text is about something else.
    """
    text = " ".join(text.replace("`", "").split())
    for pattern, name in ((_OF_CHECKPOINT, "ModelCheckpoint"), (_OF_STOPPING, "EarlyStopping")):
        if (found := pattern.search(text)) is not None:
            logged = [one.strip(" '") for one in found[2].split(",")]
            nearest = did_you_mean(found[1], logged)
            return f"trainer.callbacks: {name} has the monitor {found[1]!r}, which this run has not logged; {nearest}"
    return None


def _planned(config: Any) -> Iterator[PlannedCallback]:  # noqa: ANN401 (as above)
    """Callbacks of ``trainer.callbacks``, and the run's own checkpoint; without those that are switched off."""
    callbacks = config.trainer.callbacks  # one, several or none, as the parser leaves them
    listed = callbacks if isinstance(callbacks, list) else [callbacks]
    keeps_checkpoints = config.trainer.enable_checkpointing is not False
    for one in (one for one in listed if hasattr(one, "class_path")):
        module, _, name = one.class_path.rpartition(".")
        kind = getattr(import_module(module) if module else lightning_callbacks, name)
        if isinstance(kind, type) and (keeps_checkpoints or not issubclass(kind, ModelCheckpoint)):
            held = one.get("init_args")
            yield PlannedCallback(f"trainer.callbacks: {name}", kind, {} if held is None else vars(held))
    if keeps_checkpoints:
        yield PlannedCallback("checkpoint", RunCheckpoint, {"save_top_k": 0} | vars(config.checkpoint))


def _require_metric(planned: PlannedCallback, monitor: str, reason: str | None, known: Iterable[str]) -> None:
    """Refuse a metric that callbacks are never given.

    Args:
        planned: The callback, for the message.
        monitor: Its metric.
        reason: Why there is no validation; None if there is one.
        known: Metrics of attributes; none if only the data tell.
    """
    if reason is not None and monitor.startswith("val/"):
        msg = (
            f"{planned.key} has the monitor {monitor!r}, and this run never validates ({reason}); change that, or "
            f"monitor a metric of training such as {TRAINING}"
        )
        raise ConfigError(msg)
    of_steps = ("epoch", "step") if issubclass(planned.kind, ModelCheckpoint) else ()
    if monitor.startswith("train/") or monitor in (*of_steps, *VALIDATION, *known, REPLACED):
        return
    if OF_TASKS.fullmatch(monitor) or (not known and OF_ATTRIBUTES.fullmatch(monitor)):
        return
    shown = [TRAINING] if reason is not None else [*VALIDATION, TRAINING]
    nearest = did_you_mean(monitor, shown if reason is not None else [*shown, *known], shown=shown)
    msg = f"{planned.key} has the monitor {monitor!r}, which this run gives to no callback; {nearest}"
    raise ConfigError(msg)


def _known_attributes(data: Any) -> list[str]:  # noqa: ANN401 (as above)
    """Metrics of attributes where all prompts are triplets; none where the data may hold others."""
    if data.get("tasks") is not None or data.get("records") is not None:
        return []
    return [f"val/attribute/{name}/partial" for name in (*ATTRIBUTES, MIXED)]


def _why_never_validated(trainer: Any, data: Any) -> str | None:  # noqa: ANN401 (as above)
    """The settings by which no validation can ever run; None if one may, or the run is only cut short to try it."""
    if trainer.fast_dev_run:
        return None  # which validates whatever is set, and keeps no checkpoint
    if trainer.limit_val_batches == 0:
        return "trainer.limit_val_batches is 0"
    if data.get("records") is None and data.get("val_fraction") == 0:
        return "data.val_fraction is 0"
    return None
