"""Lightning's own switches: which of the Trainer's arguments and of Lightning's callbacks work with this library.

``docs/trainer.md`` holds the two tables; a test compares them with Lightning's signature and list of callbacks.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from lightning.pytorch import callbacks as lightning_callbacks
from torch.optim.lr_scheduler import ReduceLROnPlateau

from remot.errors import ConfigError


def _accepts_all(_value: object) -> bool:
    return True


@dataclass(frozen=True)
class Argument:
    """One argument of the Trainer.

    Args:
        note: What it does here, or why it is refused and what there is instead.
        accepts: True for values that work; the others are refused with the note.
    """

    note: str
    accepts: Callable[[Any], bool] = _accepts_all


@dataclass(frozen=True)
class BuiltInCallback:
    """One of Lightning's callbacks.

    Args:
        note: What it does here, or why it is refused and what there is instead.
        works: False if it is refused.
    """

    note: str
    works: bool = True


def is_off(value: object) -> bool:
    """Accepts false and null."""
    return not value


def only(*values: object) -> Callable[[Any], bool]:
    """Accepts these values."""
    return lambda value: value in values


WORKS = "works as Lightning documents it"
HALF = ("16", 16, "16-true", "transformer-engine", "transformer-engine-float16")

ARGUMENTS: Mapping[str, Argument] = {
    "accelerator": Argument(WORKS),
    "strategy": Argument("one process, DDP, FSDP2, DeepSpeed up to ZeRO stage 2; see devices"),
    "devices": Argument(WORKS),
    "num_nodes": Argument(WORKS),
    "precision": Argument(
        "`32-true`, `bf16-mixed`, `bf16-true`, `16-mixed`, `64-true`. Weights in float16 (`16-true`) become NaN within "
        "a few steps, and Transformer Engine replaces layers that adapters need: take bf16-mixed or 16-mixed",
        lambda value: value not in HALF,
    ),
    "logger": Argument("MLflow's in the recipes; any of Lightning's works, false for none"),
    "callbacks": Argument("the table below"),
    "fast_dev_run": Argument(WORKS),
    "max_epochs": Argument(WORKS),
    "min_epochs": Argument(WORKS),
    "max_steps": Argument("optimizer steps, skipped ones included"),
    "min_steps": Argument(WORKS),
    "max_time": Argument("DD:HH:MM:SS, or a mapping of weeks to seconds"),
    "limit_train_batches": Argument("batches in an epoch; training prompts never repeat"),
    "limit_val_batches": Argument(WORKS),
    "limit_test_batches": Argument("for `remot test`; the evaluation before and after training takes all"),
    "limit_predict_batches": Argument(WORKS),
    "overfit_batches": Argument(
        "training prompts never repeat, so that each epoch would have new ones: write some with remot data build and "
        "train on them with data.records",
        only(0, None),
    ),
    "val_check_interval": Argument("1 is after each batch, 1.0 once an epoch"),
    "check_val_every_n_epoch": Argument(WORKS),
    "num_sanity_val_steps": Argument(WORKS),
    "log_every_n_steps": Argument(WORKS),
    "enable_checkpointing": Argument("false keeps no checkpoint and exports no adapter"),
    "enable_progress_bar": Argument("false prints no lines of progress"),
    "enable_model_summary": Argument(WORKS),
    "accumulate_grad_batches": Argument(
        "data.batch_size is the whole batch, model.micro_batch_prompts what is computed at once", only(None, 1)
    ),
    "gradient_clip_val": Argument("model.gradient_clip_norm clips gradients", only(None, 0)),
    "gradient_clip_algorithm": Argument("model.gradient_clip_norm clips gradients by their norm", only(None)),
    "deterministic": Argument(WORKS),
    "benchmark": Argument(WORKS),
    "inference_mode": Argument(WORKS),
    "use_distributed_sampler": Argument("the loaders divide the prompts among processes already", is_off),
    "profiler": Argument(WORKS),
    "detect_anomaly": Argument("stops with PyTorch's traceback at the first NaN of a backward pass"),
    "barebones": Argument(
        "it turns off logging, progress and checkpoints, which a run is read by; choose them one by one with "
        "trainer.logger, enable_progress_bar, enable_checkpointing and enable_model_summary",
        is_off,
    ),
    "plugins": Argument(WORKS),
    "sync_batchnorm": Argument("the models have no batch norm; changes nothing"),
    "reload_dataloaders_every_n_epochs": Argument("changes no prompt"),
    "default_root_dir": Argument("runs are kept below `runs` in it"),
    "enable_autolog_hparams": Argument("the whole configuration is logged anyway"),
    "model_registry": Argument("it uploads checkpoints to a service, which is not supported", only(None)),
}

_ONE_BAR = "a progress bar is there, with its settings under progress; trainer.enable_progress_bar: false leaves it out"
_BASE = "a base class for callbacks of your own"

CALLBACKS: Mapping[str, BuiltInCallback] = {
    "BackboneFinetuning": BuiltInCallback("model.policy.adaptation and train_vision say what is trained", works=False),
    "BaseFinetuning": BuiltInCallback("model.policy.adaptation and train_vision say what is trained", works=False),
    "BasePredictionWriter": BuiltInCallback(_BASE),
    "BatchSizeFinder": BuiltInCallback("model.micro_batch_prompts: auto takes what fits into memory", works=False),
    "Callback": BuiltInCallback(_BASE),
    "Checkpoint": BuiltInCallback(_BASE),
    "DeviceStatsMonitor": BuiltInCallback("works with a logger"),
    "EarlyStopping": BuiltInCallback(
        "works; the reason is printed when it stops. `monitor` is a metric of this run; set `trainer.min_epochs: 0`, "
        "or Lightning waits for the end of an epoch. See `configs/quickstart_best.yaml`"
    ),
    "GradientAccumulationScheduler": BuiltInCallback(
        "data.batch_size is the whole batch, model.micro_batch_prompts what is computed at once", works=False
    ),
    "LambdaCallback": BuiltInCallback(WORKS),
    "LearningRateFinder": BuiltInCallback(
        "it trains by automatic optimization, which the module does not use: compare short runs with remot compare",
        works=False,
    ),
    "LearningRateMonitor": BuiltInCallback("works with a logger"),
    "ModelCheckpoint": BuiltInCallback(
        "works; settings of the built-in one are under checkpoint. With a `monitor`, `remot.callbacks.BestPolicy` "
        "beside it has the best step evaluated and exported"
    ),
    "ModelPruning": BuiltInCallback("it renames the weights that checkpoints and exports are made of", works=False),
    "ModelSummary": BuiltInCallback(WORKS),
    "OnExceptionCheckpoint": BuiltInCallback(
        "it continues from an older run's file unasked; every error leaves last.ckpt of the step before it",
        works=False,
    ),
    "ProgressBar": BuiltInCallback(_ONE_BAR, works=False),
    "RichModelSummary": BuiltInCallback(WORKS),
    "RichProgressBar": BuiltInCallback(_ONE_BAR, works=False),
    "StochasticWeightAveraging": BuiltInCallback(
        "it copies the module before the policy is loaded, and averages into weights that are not exported", works=False
    ),
    "SpikeDetection": BuiltInCallback(
        "it needs the loss that training_step returns; model.max_skipped_in_a_row ends runs that are not finite",
        works=False,
    ),
    "ThroughputMonitor": BuiltInCallback(
        "it needs a function of the batch; train/seconds_per_step and train/rollout/tokens_per_second are logged",
        works=False,
    ),
    "Timer": BuiltInCallback(WORKS),
    "TQDMProgressBar": BuiltInCallback(_ONE_BAR, works=False),
    "EMAWeightAveraging": BuiltInCallback(
        "it copies the module before the policy is loaded, and averages into weights that are not exported", works=False
    ),
    "WeightAveraging": BuiltInCallback(
        "it copies the module before the policy is loaded, and averages into weights that are not exported", works=False
    ),
}


def require_arguments(settings: Mapping[str, Any]) -> None:
    """Refuse arguments of the Trainer that do not work with this library.

    Raises:
        ConfigError: Naming the argument and what there is instead.
    """
    for name, argument in ARGUMENTS.items():
        if name in settings and not argument.accepts(settings[name]):
            msg = f"trainer.{name} {settings[name]!r} is not for this library: {argument.note}"
            raise ConfigError(msg)


def require_callbacks(class_paths: Iterable[str]) -> None:
    """Refuse Lightning's callbacks that do not work with this library, and classes derived from them.

    Raises:
        ConfigError: Naming the callback and what there is instead.
    """
    for class_path in class_paths:
        module, _, name = class_path.rpartition(".")
        chosen = getattr(import_module(module), name) if module else getattr(lightning_callbacks, name)
        for parent in chosen.__mro__:
            entry = CALLBACKS.get(parent.__name__) if parent.__module__.startswith("lightning.") else None
            if entry is not None and not entry.works:
                msg = f"trainer.callbacks: {name} is not for this library: {entry.note}"
                raise ConfigError(msg)
            if entry is not None:
                break  # the nearest of Lightning's own counts


def require_scheduler(class_path: str) -> None:
    """Refuse a schedule that needs a metric at each step.

    Raises:
        ConfigError: If it does.
    """
    module, _, name = class_path.rpartition(".")
    if issubclass(getattr(import_module(module), name), ReduceLROnPlateau):
        msg = (
            f"model.scheduler: {name} needs a metric at each step, and schedules here follow the step alone; choose "
            "one such as torch.optim.lr_scheduler.CosineAnnealingLR"
        )
        raise ConfigError(msg)


def tables() -> str:
    """Both tables in Markdown."""
    lines = ["| argument | accepted | |", "|---|---|---|"]
    for name, argument in ARGUMENTS.items():
        accepted = "yes" if argument.accepts is _accepts_all else "in part" if name == "precision" else "refused"
        lines.append(f"| `{name}` | {accepted} | {argument.note} |")
    lines += ["", "| callback | accepted | |", "|---|---|---|"]
    lines += [f"| `{name}` | {'yes' if one.works else 'refused'} | {one.note} |" for name, one in CALLBACKS.items()]
    return "\n".join(lines) + "\n"
