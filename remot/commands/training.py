"""``remot fit|validate|test|predict``: LightningCLI with this library's module, data, callbacks and run folders."""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_only

from remot.callbacks import (
    RUN_KEY,
    CompletionSamples,
    HeldOutEvaluation,
    InterruptCheckpoint,
    PhaseProgressBar,
    PredictionFile,
    RunSummary,
)
from remot.commands.construction import constructing
from remot.commands.quiet import quiet_libraries
from remot.commands.run_settings import require_folder, require_seed, require_store, require_time
from remot.commands.training_parser import CheckedConfigFile, RemotParser
from remot.commands.wording import first_words
from remot.data.datamodule import TripletDataModule
from remot.errors import CheckpointError, ConfigError
from remot.strategies import PostTrainingModule
from remot.tracking import COMMAND_TAG, MLflowSaveConfig, quiet_mlflow, require_writable

#: Where runs keep checkpoints and exported policies, below the trainer's root folder.
RUNS_FOLDER = "runs"
LAST = "last"
#: Settings of the trainer that end a run.
ENDS = ("max_steps", "max_epochs", "max_time")
#: Settings of the trainer for automatic optimisation: what leaves them off, and what there is instead.
INSTEAD = {
    "gradient_clip_val": ((None, 0), "model.gradient_clip_norm clips gradients"),
    "accumulate_grad_batches": (
        (None, 1),
        "data.batch_size is the whole batch, model.micro_batch_prompts what is computed at once",
    ),
}


class RemotCLI(LightningCLI):
    """Adds ``--root``, this library's callbacks, one seed for everything, and one folder per run."""

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:  # noqa: ANN401 (Lightning's signature)
        """A parser with suggestions."""
        parser = RemotParser(**kwargs)
        parser.add_argument("-c", "--config", action=CheckedConfigFile, help="Configuration file; later ones win")
        return parser

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Keys that stand beside ``model``, ``data`` and ``trainer``."""
        parser.add_argument("--root", type=str | None, default=None, help="Folder of annotated clips; embedded if null")
        parser.link_arguments("root", "data.root")
        parser.link_arguments("seed_everything", "model.seed", compute_fn=_plain_seed)
        parser.link_arguments("seed_everything", "data.seed", compute_fn=_plain_seed)
        parser.add_lightning_class_args(PhaseProgressBar, "progress")
        parser.add_lightning_class_args(PredictionFile, "predictions")
        parser.add_lightning_class_args(CompletionSamples, "samples")
        parser.add_lightning_class_args(HeldOutEvaluation, "held_out")
        parser.add_lightning_class_args(InterruptCheckpoint, "interrupt")
        parser.add_lightning_class_args(RunSummary, "summary")
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.set_defaults({"checkpoint.save_last": True, "checkpoint.save_top_k": 0})

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:  # noqa: ANN401 (Lightning's type)
        """Parse, and check what Lightning uses at once, whose errors name neither key nor file.

        Raises:
            ConfigError: If the seed is out of range.
            CheckpointError: If the checkpoint is damaged.
        """
        super().parse_arguments(parser, args)
        config = self.config[self.config.subcommand]
        require_seed(config.seed_everything)
        require_time(config.trainer.max_time)
        if config.ckpt_path is not None and Path(config.ckpt_path).is_file():
            _checkpoint_facts(Path(config.ckpt_path))

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Lightning's, without the switch of its table of results: the callbacks print this library's own."""
        commands = LightningCLI.subcommands()
        return commands | {name: commands[name] | {"verbose"} for name in ("validate", "test")}

    def validate(self, **settings: Any) -> None:  # noqa: ANN401 (arguments of the trainer's method)
        """Validate without Lightning's table."""
        self.trainer.validate(verbose=False, **settings)

    def test(self, **settings: Any) -> None:  # noqa: ANN401 (arguments of the trainer's method)
        """Test without Lightning's table."""
        self.trainer.test(verbose=False, **settings)

    def instantiate_classes(self) -> None:
        """Make the objects."""
        with constructing():
            super().instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:  # noqa: ANN401 (Lightning's signature)
        """Make the trainer; its settings are Lightning's, and so are the complaints.

        Raises:
            ConfigError: If one does not fit.
        """
        try:
            return super().instantiate_trainer(**kwargs)
        except (ValueError, TypeError, MisconfigurationException) as error:
            msg = f"trainer: {first_words(str(error))}"
            raise ConfigError(msg) from error

    def before_instantiate_classes(self) -> None:
        """Choose the run's folder, find the checkpoint to continue from, and check the rest of the settings."""
        config = self.config[self.subcommand]
        experiment = _experiment(config)
        if self.subcommand == "fit" and all(config.trainer.get(key) in (None, -1) for key in ENDS):
            msg = f"the run has no end: set trainer.{' or trainer.'.join(ENDS)}, as the files in configs/ do"
            raise ConfigError(msg)
        for key, (off, instead) in INSTEAD.items():
            if config.trainer.get(key) not in off:
                msg = f"trainer.{key} is not for this module: {instead}"
                raise ConfigError(msg)
        runs = Path(config.trainer.default_root_dir or ".") / RUNS_FOLDER / experiment
        require_folder(runs)
        checkpoint = find_checkpoint(config.get("ckpt_path"), runs)
        config.ckpt_path = None if checkpoint is None else str(checkpoint)
        config.weights_only = True  # a checkpoint is numbers and plain containers; nothing in it is executed
        name = _run_name(config) if self.subcommand == "fit" else f"{self.subcommand}-{_run_name(config)}"
        folder = checkpoint.parent if checkpoint is not None else runs / name
        config.checkpoint.dirpath = str(folder)
        if self.subcommand == "fit":
            _set_logger(config, run_name=folder.name, checkpoint=checkpoint)
        else:
            source = name if checkpoint is None else f"{self.subcommand}-{folder.name}"
            _set_logger(config, run_name=source, tags=_evaluation_tags(self.subcommand, checkpoint))
        if getattr(rank_zero_only, "rank", 0) > 0:
            config.trainer.logger = False  # opening a store makes its tables; one process does that for all


def _plain_seed(seed: bool | int) -> int:  # noqa: FBT001 (Lightning's type for this key)
    return 0 if isinstance(seed, bool) else seed


def _experiment(config: Namespace) -> str:
    logger = config.trainer.logger
    init = getattr(logger, "init_args", None)
    return str(getattr(init, "experiment_name", None) or "default")


def _run_name(config: Namespace) -> str:
    strategy = config.model.strategy
    name = "default" if strategy is None else strategy.class_path.rpartition(".")[2]
    return f"{name}-seed{_plain_seed(config.seed_everything)}-{time.strftime('%Y%m%d-%H%M%S')}"


def _set_logger(
    config: Namespace, *, run_name: str, checkpoint: Path | None = None, tags: Mapping[str, str] | None = None
) -> None:
    """Name the MLflow run, or go on with the checkpoint's, in a store that can be written to.

    Args:
        config: Of the subcommand.
        run_name: Name of a new run.
        checkpoint: A training to go on with.
        tags: Of a new run.
    """
    init = getattr(config.trainer.logger, "init_args", None)
    if init is None or "run_name" not in init:
        return
    require_store(init.get("tracking_uri"), init.get("experiment_name"))
    if checkpoint is not None:
        init.run_id = _checkpoint_facts(checkpoint).get("mlflow_run_id")
    elif init.run_name is None:
        init.run_name = run_name
    if tags:
        init.tags = {**(init.get("tags") or {}), **tags}
    tracking_uri = init.get("tracking_uri") or os.environ.get("MLFLOW_TRACKING_URI", "")
    require_writable(tracking_uri, init.get("experiment_name") or "", init.run_id)


def _evaluation_tags(command: str, checkpoint: Path | None) -> dict[str, str]:
    """What tells the run of an evaluation from a training, and where its weights are from."""
    tags = {COMMAND_TAG: command}
    if checkpoint is not None:
        tags["remot.checkpoint"] = str(checkpoint.resolve())
        source_run = _checkpoint_facts(checkpoint).get("mlflow_run_id")
        tags |= {} if source_run is None else {"remot.source_run": str(source_run)}
    return tags


def _checkpoint_facts(checkpoint: Path) -> dict[str, Any]:
    try:
        held = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        msg = f"the checkpoint {checkpoint} cannot be read: {str(error).splitlines()[0]}"
        raise CheckpointError(msg) from error
    facts: dict[str, Any] = held.get(RUN_KEY, {})
    return facts


def find_checkpoint(wanted: str | None, runs: Path) -> Path | None:
    """The checkpoint file that ``--ckpt_path`` means; ``last`` is the newest one of the experiment.

    Raises:
        CheckpointError: If there is none.
    """
    if wanted is None:
        return None
    if wanted == LAST:
        candidates = sorted(runs.glob(f"*/{LAST}.ckpt"), key=lambda path: path.stat().st_mtime)
        if not candidates:
            msg = f"--ckpt_path last: no run below {runs} has left a checkpoint; leave the key out to start a new run"
            raise CheckpointError(msg)
        return candidates[-1]
    path = Path(wanted)
    if not path.is_file():
        msg = f"the checkpoint {wanted} does not exist; give a .ckpt file, or `last` for the experiment's newest run"
        raise CheckpointError(msg)
    return path


def run_training(args: list[str]) -> None:
    """Parse ``args`` and run the subcommand."""
    quiet_mlflow()
    RemotParser.arguments = tuple(args)
    quiet_libraries()
    try:
        _run_cli(args)
    except MisconfigurationException as error:  # Lightning's own word for settings that do not fit
        raise ConfigError(first_words(str(error))) from error


def _run_cli(args: list[str]) -> None:
    RemotCLI(
        PostTrainingModule,
        TripletDataModule,
        save_config_callback=MLflowSaveConfig,
        save_config_kwargs={"save_to_log_dir": False},
        auto_configure_optimizers=False,
        seed_everything_default=0,
        parser_kwargs={"parser_mode": "yaml", "prog": "remot"},
        trainer_defaults={"use_distributed_sampler": False},
        args=None if args == sys.argv[1:] else args,
    )
