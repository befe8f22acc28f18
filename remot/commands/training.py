"""``remot fit|validate|test|predict``: LightningCLI with this library's module, data, callbacks and run folders."""

import sys
import time
import warnings
from pathlib import Path
from typing import Any, NoReturn

import torch
from jsonargparse import ActionConfigFile
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

from remot.callbacks import CompletionSamples, HeldOutEvaluation, InterruptCheckpoint, PhaseProgressBar, RunSummary
from remot.commands.messages import explain, keys_of_files
from remot.data.datamodule import TripletDataModule
from remot.errors import CheckpointError, ConfigError
from remot.strategies import PostTrainingModule
from remot.tracking import MLflowSaveConfig, quiet_mlflow

#: Where runs keep checkpoints and exported policies, below the trainer's root folder.
RUNS_FOLDER = "runs"
LAST = "last"


class RemotParser(LightningArgumentParser):
    """Parser that raises one sentence instead of printing its usage."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Turn the parser's complaint into a sentence with a suggestion.

        Raises:
            ConfigError: Always.
        """
        known = {action.dest for action in self._actions} | keys_of_files(sys.argv[1:])
        raise ConfigError(explain(str(message), known)) from ex


class RemotCLI(LightningCLI):
    """Adds ``--root``, this library's callbacks, one seed for everything, and one folder per run."""

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """A parser with suggestions."""
        parser = RemotParser(**kwargs)
        parser.add_argument("-c", "--config", action=ActionConfigFile, help="Configuration file; later ones win")
        return parser

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Keys that stand beside ``model``, ``data`` and ``trainer``."""
        parser.add_argument("--root", type=str | None, default=None, help="Folder of annotated clips; embedded if null")
        parser.link_arguments("root", "data.root")
        parser.link_arguments("seed_everything", "model.seed", compute_fn=_plain_seed)
        parser.link_arguments("seed_everything", "data.seed", compute_fn=_plain_seed)
        parser.add_lightning_class_args(PhaseProgressBar, "progress")
        parser.add_lightning_class_args(CompletionSamples, "samples")
        parser.add_lightning_class_args(HeldOutEvaluation, "held_out")
        parser.add_lightning_class_args(InterruptCheckpoint, "interrupt")
        parser.add_lightning_class_args(RunSummary, "summary")
        parser.add_lightning_class_args(ModelCheckpoint, "checkpoint")
        parser.set_defaults({"checkpoint.save_last": True, "checkpoint.save_top_k": 0})

    def before_instantiate_classes(self) -> None:
        """Choose the run's folder, find the checkpoint to continue from, and check the rest of the settings."""
        config = self.config[self.subcommand]
        experiment = _experiment(config)
        runs = Path(config.trainer.default_root_dir or ".") / RUNS_FOLDER / experiment
        checkpoint = find_checkpoint(config.get("ckpt_path"), runs)
        config.ckpt_path = None if checkpoint is None else str(checkpoint)
        if self.subcommand == "fit":
            folder = checkpoint.parent if checkpoint is not None else runs / _run_name(config)
            config.checkpoint.dirpath = str(folder)
            _set_logger(config, run_name=folder.name, checkpoint=checkpoint)


def _plain_seed(seed: bool | int) -> int:  # noqa: FBT001 (Lightning's type for this key)
    return 0 if isinstance(seed, bool) else seed


def _experiment(config: Any) -> str:
    logger = config.trainer.logger
    init = getattr(logger, "init_args", None)
    return str(getattr(init, "experiment_name", None) or "default")


def _run_name(config: Any) -> str:
    strategy = config.model.strategy
    name = "default" if strategy is None else strategy.class_path.rpartition(".")[2]
    return f"{name}-seed{_plain_seed(config.seed_everything)}-{time.strftime('%Y%m%d-%H%M%S')}"


def _set_logger(config: Any, *, run_name: str, checkpoint: Path | None) -> None:
    init = getattr(config.trainer.logger, "init_args", None)
    if init is None or "run_name" not in init:
        return
    if checkpoint is not None:
        init.run_id = _checkpoint_facts(checkpoint).get("mlflow_run_id")
    elif init.run_name is None:
        init.run_name = run_name


def _checkpoint_facts(checkpoint: Path) -> dict[str, Any]:
    try:
        held = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except Exception as error:
        msg = f"the checkpoint {checkpoint} cannot be read: {str(error).splitlines()[0]}"
        raise CheckpointError(msg) from error
    facts: dict[str, Any] = held.get("remot", {})
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
            msg = f"--ckpt_path last: no run below {runs} has left a checkpoint yet; leave the key out to start a new run"
            raise CheckpointError(msg)
        return candidates[-1]
    path = Path(wanted)
    if not path.is_file():
        msg = f"the checkpoint {wanted} does not exist; give a .ckpt file, or `last` for the newest run of the experiment"
        raise CheckpointError(msg)
    return path


def run_training(args: list[str]) -> None:
    """Parse ``args`` and run the subcommand."""
    quiet_mlflow()
    warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.*")  # lightning 2.6 with torch 2.13+
    warnings.filterwarnings("ignore", message=".*in eval mode at the start of training.*")  # the policy has no dropout
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
