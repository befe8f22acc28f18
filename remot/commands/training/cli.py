"""``remot fit|validate|test|predict``: LightningCLI with this library's module, data, callbacks and run folders."""

import json
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from jsonargparse import ActionYesNo, Namespace
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.utilities import rank_zero_only

from remot.callbacks import (
    CompletionSamples,
    FaultRecord,
    HeldOutEvaluation,
    InterruptCheckpoint,
    PhaseProgressBar,
    PredictionFile,
    ResumedCallbacks,
    RunCheckpoint,
    RunRecord,
    RunSummary,
    VisionGuard,
    WeightsReport,
)
from remot.commands.environment import quiet_libraries
from remot.commands.parsing.errors import constructing, first_words
from remot.commands.parsing.functions import require_numbers
from remot.commands.training.checks import (
    experiment_folder,
    require_feature_store,
    require_folder,
    require_intervals,
    require_seed,
    require_store,
    require_time,
)
from remot.commands.training.monitors import complaint_about_metric, require_callbacks_fit
from remot.commands.training.parser import CheckedConfigFile, RemotParser
from remot.commands.training.resume import (
    Sought,
    changes_since,
    find_checkpoint,
    requeued_checkpoint,
    require_allowed,
    require_readable,
    run_facts,
    version_notes,
)
from remot.commands.training.run_folder import FolderLock, claim_folder, remove_unused
from remot.commands.training.trainer_settings import require_arguments, require_callbacks, require_scheduler
from remot.data.datamodule import MotionDataModule
from remot.errors import ConfigError, RemotError, ResourceError, is_out_of_memory, known_cause, text_of
from remot.models.loading import ModelSource, describe_source
from remot.stopping import StoppedBySignal, follow_launcher
from remot.strategies import AlternatingSFTGRPO, PostTrainingModule
from remot.terminal import write_err
from remot.tracking import (
    COMMAND_TAG,
    MLflowSaveConfig,
    mark_killed,
    mlflow_loggers,
    prepare_store,
    quiet_mlflow,
    require_writable,
    spool_logger,
)
from remot.tracking.journal import FOLDER, known_run_id

#: What gloo, NCCL and PyTorch's store of addresses say when a process has ended; and what to do about it.
OF_CONNECTIONS = ("gloo/transport", "NCCL", "Connection closed by peer", "Connection reset by peer", "TCPStore")
LOST = "its own output or the system's log tells why"
CLI = TypeVar("CLI", bound="RemotCLI")
#: Settings of the trainer that end a run.
ENDS = ("max_steps", "max_epochs", "max_time")


class RemotCLI(LightningCLI):
    """Adds ``--root``, this library's callbacks, one seed for everything, and one folder per run."""

    #: The folder that was made for this run.
    claimed: ClassVar[Path | None] = None
    #: The lock on the folder that this run writes to.
    lock: ClassVar[FolderLock | None] = None

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:  # noqa: ANN401 (Lightning's signature)
        """A parser with suggestions, which takes no beginning of an option for the option."""
        parser = RemotParser(allow_abbrev=False, **kwargs)
        parser.add_argument("-c", "--config", action=CheckedConfigFile, help="Configuration file; later ones win")
        return parser

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Keys that stand beside ``model``, ``data`` and ``trainer``."""
        parser.add_argument("--root", type=str | None, default=None, help="Folder of annotated clips; embedded if null")
        parser.link_arguments("root", "data.root")
        parser.link_arguments("seed_everything", "model.seed", compute_fn=_plain_seed)
        parser.link_arguments("seed_everything", "data.options.seed", compute_fn=_plain_seed)
        parser.add_argument(
            "--resume.allow", nargs="*", type=str, default=[], help="Settings that a continued run may change, by key"
        )
        parser.add_argument(
            "--offline", action=ActionYesNo, default=False, help="Begin without asking MLflow; it gets everything later"
        )
        parser.add_argument(
            "--tags", type=dict[str, str] | None, default=None, help="Tags of the run, in MLflow and in its run.json"
        )
        parser.add_lightning_class_args(WeightsReport, "weights")
        parser.add_lightning_class_args(PhaseProgressBar, "progress")
        parser.add_lightning_class_args(PredictionFile, "predictions")
        parser.add_lightning_class_args(CompletionSamples, "samples")
        parser.add_lightning_class_args(HeldOutEvaluation, "held_out")
        parser.add_lightning_class_args(VisionGuard, "vision")
        parser.add_lightning_class_args(InterruptCheckpoint, "interrupt")
        parser.add_lightning_class_args(RunSummary, "summary")
        parser.add_lightning_class_args(RunCheckpoint, "checkpoint")

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:  # noqa: ANN401 (Lightning's type)
        """Parse, and check what Lightning uses at once, whose errors name neither key nor file.

        Raises:
            ConfigError: If the seed is out of range.
            CheckpointError: If the checkpoint is damaged.
        """
        super().parse_arguments(parser, args)
        config = self.config[self.config.subcommand]
        require_seed(config.seed_everything)
        require_numbers(config)
        require_time(config.trainer.max_time)
        require_intervals(config.trainer)
        require_arguments(config.trainer.as_dict() if isinstance(config.trainer, Namespace) else config.trainer)
        callbacks = config.trainer.callbacks  # one, several or none, as the parser leaves them
        listed = callbacks if isinstance(callbacks, list) else [callbacks]
        require_callbacks([str(one.class_path) for one in listed if hasattr(one, "class_path")])
        if config.model.get("scheduler") is not None:
            require_scheduler(config.model.scheduler.class_path)
        if config.ckpt_path is not None and Path(config.ckpt_path).is_file():
            require_readable(Path(config.ckpt_path))

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """Lightning's, without the switch of its table of results: the callbacks print this library's own."""
        commands = LightningCLI.subcommands()
        return commands | {name: commands[name] | {"verbose"} for name in ("validate", "test")}

    def validate(self, **settings: Any) -> None:  # noqa: ANN401 (arguments of the trainer's method)
        """Validate without Lightning's table."""
        with _stops_marked(self.trainer):
            self.trainer.validate(verbose=False, **settings)

    def test(self, **settings: Any) -> None:  # noqa: ANN401 (arguments of the trainer's method)
        """Test without Lightning's table."""
        with _stops_marked(self.trainer):
            self.trainer.test(verbose=False, **settings)

    def predict(self, **settings: Any) -> None:  # noqa: ANN401 (arguments of the trainer's method)
        """Predict as Lightning does."""
        with _stops_marked(self.trainer):
            self.trainer.predict(**settings)

    def instantiate_classes(self) -> None:
        """Make the objects."""
        with constructing():
            super().instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:  # noqa: ANN401 (Lightning's signature)
        """Make the trainer; its settings are Lightning's, and so are the complaints.

        Raises:
            AnnotationError: If there is no clip: before the trainer's logger begins a run.
            ConfigError: If one does not fit.
        """
        _ = self.datamodule.sources
        try:
            trainer = super().instantiate_trainer(**kwargs)
        except (ValueError, TypeError, RuntimeError, MisconfigurationException) as error:
            msg = f"trainer: {first_words(str(error))}"
            raise ConfigError(msg) from error
        config, journal = self.config[self.subcommand], FOLDER
        if self.subcommand != "fit":  # an evaluation has a folder of its own, as it has a run of its own in MLflow
            journal += f"-{self.subcommand}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
        for logger in mlflow_loggers(trainer.loggers):
            spool_logger(logger, Path(config.checkpoint.dirpath) / journal, _tell, wait_for_store=not config.offline)
        return trainer

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        """Leave out the callbacks that were switched off, about which Lightning would complain.

        The first ``ModelCheckpoint`` names the run's folder: it is this library's, and others without a folder of their
        own write there as well.
        """
        off = {"enable_checkpointing": ModelCheckpoint, "enable_progress_bar": ProgressBar}
        left_out = tuple(kind for key, kind in off.items() if config.get(key) is False)
        kept = [callback for callback in callbacks if not isinstance(callback, left_out)]
        first = [callback for callback in kept if isinstance(callback, RunCheckpoint)]
        rest = [callback for callback in kept if callback not in first]
        given = config.get("callbacks") or []
        given = given if isinstance(given, list) else [given]
        for one in given:
            if isinstance(one, ModelCheckpoint) and one.dirpath is None:
                one.dirpath = str(Path(self.config[self.subcommand].checkpoint.dirpath).resolve())
        return super()._instantiate_trainer(config | {"callbacks": [*first, *given]}, rest)

    def fit(self, model: LightningModule, **settings: Any) -> None:  # noqa: ANN401 (as the trainer takes them)
        """Train."""
        with _stops_marked(self.trainer):
            self.trainer.fit(model, **settings)

    def before_instantiate_classes(self) -> None:
        """Choose the run's folder, find the checkpoint to continue from, and check the rest of the settings."""
        config = self.config[self.subcommand]
        store = getattr(config.trainer.logger, "init_args", None)
        experiment = str(getattr(store, "experiment_name", None) or "default")
        if self.subcommand == "fit" and all(config.trainer.get(key) in (None, -1) for key in ENDS):
            msg = f"the run has no end: set trainer.{' or trainer.'.join(ENDS)}, as the files in configs/ do"
            raise ConfigError(msg)
        runs = experiment_folder(config.trainer.default_root_dir, experiment)
        require_folder(runs)
        _source_of(config).require_found()
        require_feature_store(config.model.policy)
        if self.subcommand == "fit":
            require_callbacks_fit(config)
        checkpoint = find_checkpoint(config.get("ckpt_path"), runs, _sought(config), _tell)
        if checkpoint is None and self.subcommand == "fit":
            checkpoint = requeued_checkpoint(runs, _sought(config), self._resolved)
        config.ckpt_path = None if checkpoint is None else str(checkpoint)
        config.weights_only = True  # a checkpoint is numbers and plain containers; nothing in it is executed
        name = _run_name(config) if self.subcommand == "fit" else f"{self.subcommand}-{_run_name(config)}"
        is_first = getattr(rank_zero_only, "rank", 0) == 0
        if checkpoint is not None:
            folder = checkpoint.parent
        else:  # the checkpoint callback of the first process tells the others its folder
            folder = RemotCLI.claimed = claim_folder(runs, name) if is_first else runs / name
        config.checkpoint.dirpath = str(folder)
        if self.subcommand == "fit" and is_first:
            RemotCLI.lock = FolderLock(folder)
        if self.subcommand == "fit":
            _set_logger(config, run_name=folder.name, checkpoint=checkpoint, tags=config.tags)
        else:
            source = name if checkpoint is None else f"{self.subcommand}-{folder.name}"
            _set_logger(config, run_name=source, tags=_evaluation_tags(str(self.subcommand), checkpoint))
        if checkpoint is not None:
            self._continue(checkpoint)
        if not is_first:
            config.trainer.logger = False  # opening a store makes its tables; one process does that for all
        elif store is not None and "experiment_name" in store and "artifact_location" in store and not config.offline:
            uri = store.tracking_uri or f"file:{store.save_dir}"
            prepare_store(uri, store.experiment_name, store.artifact_location)

    def _resolved(self) -> dict[str, Any]:
        text = self._parser(self.subcommand).dump(self.config[self.subcommand], skip_none=False, format="json")
        resolved: dict[str, Any] = json.loads(text)
        return resolved

    def _continue(self, checkpoint: Path) -> None:
        """Report the checkpoint, and refuse to continue a run with other settings than those that may change."""
        held, config = require_readable(checkpoint), self.config[self.subcommand]
        _tell(f"checkpoint  {checkpoint} (step {held.get('global_step')})")
        if self.subcommand != "fit":
            return
        for note in version_notes(held):
            _tell(note)
        changes = changes_since(held, self._resolved())
        if changes is None:
            _tell("It does not hold the settings it was made with: whether these are the same is not checked.")
            return
        require_allowed(changes, config.resume.allow, checkpoint)
        for change in changes:
            _tell(f"changed     {change}")
        changed = {"changes": [str(change) for change in changes], "changed_at_step": held.get("global_step", 0)}
        self.save_config_kwargs = self.save_config_kwargs | changed


@contextmanager
def _stops_marked(trainer: Trainer) -> Iterator[None]:
    """Mark a run that a signal has ended so, after lightning has marked it as failed."""
    try:
        yield
    except StoppedBySignal:
        mark_killed(trainer.loggers)
        raise


def _plain_seed(seed: bool | int) -> int:  # noqa: FBT001 (Lightning's type for this key)
    return 0 if isinstance(seed, bool) else seed


def _run_name(config: Namespace) -> str:
    strategy = config.model.strategy
    name = "default" if strategy is None else strategy.class_path.rpartition(".")[2]
    return f"{name}-seed{_plain_seed(config.seed_everything)}-{time.strftime('%Y%m%d-%H%M%S')}"


def _set_logger(
    config: Namespace, *, run_name: str, checkpoint: Path | None = None, tags: Mapping[str, str] | None = None
) -> None:
    """Name the MLflow run, or go on with the checkpoint's, in a store that can be written to."""
    init = getattr(config.trainer.logger, "init_args", None)
    if init is None or "run_name" not in init:
        return
    require_store(init.get("tracking_uri"), init.get("experiment_name"))
    if checkpoint is not None:
        init.run_id = known_run_id(checkpoint.parent, run_facts(require_readable(checkpoint)).get("mlflow_run_id"))
    elif init.run_name is None:
        init.run_name = run_name
    if tags:
        init.tags = {**(init.get("tags") or {}), **tags}
    if config.offline:
        return
    tracking_uri = init.get("tracking_uri") or os.environ.get("MLFLOW_TRACKING_URI", "")
    require_writable(tracking_uri, init.get("experiment_name") or "", init.run_id)


def _evaluation_tags(command: str, checkpoint: Path | None) -> dict[str, str]:
    """What tells the run of an evaluation from a training, and where its weights are from."""
    tags = {COMMAND_TAG: command}
    if checkpoint is not None:
        tags["remot.checkpoint"] = str(checkpoint.resolve())
        source_run = run_facts(require_readable(checkpoint)).get("mlflow_run_id")
        source_run = known_run_id(checkpoint.parent, source_run)
        tags |= {} if source_run is None else {"remot.source_run": str(source_run)}
    return tags


def _sought(config: Namespace) -> Sought:
    strategy = config.model.strategy
    name = AlternatingSFTGRPO.__name__ if strategy is None else strategy.class_path.rpartition(".")[2]
    return Sought(name, describe_source(_source_of(config)))


def _source_of(config: Namespace) -> ModelSource:
    policy = config.model.policy
    return ModelSource() if policy is None else ModelSource(**policy.source.as_dict())


def _tell(line: str) -> None:
    if getattr(rank_zero_only, "rank", 0) == 0:
        write_err(f"{line}\n")


def run_training(args: list[str]) -> None:
    """Parse ``args`` and run the subcommand."""
    quiet_mlflow()
    RemotParser.arguments = tuple(args)
    quiet_libraries()
    try:
        with follow_launcher():
            run_cli(args, RemotCLI)
    except MisconfigurationException as error:  # Lightning's own word for settings that do not fit
        raise ConfigError(complaint_about_metric(str(error)) or first_words(str(error))) from error
    except Exception as error:
        found = _known_fault(error)
        if found is None:
            raise
        raise found from error
    finally:
        if RemotCLI.lock is not None:
            RemotCLI.lock.release()
            RemotCLI.lock = None
        if RemotCLI.claimed is not None:
            remove_unused(RemotCLI.claimed)
            RemotCLI.claimed = None


def _known_fault(error: Exception) -> RemotError | None:
    """What a user can do about it; None for a defect, which keeps its traceback, and for errors of this library."""
    if known_cause(error) is not None:
        return None
    whole = text_of(error)
    text = first_words(whole)
    if (about_metric := complaint_about_metric(whole)) is not None:
        return ConfigError(about_metric)
    if is_out_of_memory(error):
        settings = (
            "lower one of model.micro_batch_prompts, model.rollout.prompts_together, model.grpo.max_new_tokens, "
            "data.batch_size"
        )
        advice = "; ".join(getattr(error, "__notes__", ())) or settings
        return ResourceError(f"memory ran out ({text or 'no room for an object'}); {advice}")
    if isinstance(error, RuntimeError) and any(word in whole for word in OF_CONNECTIONS):
        return ResourceError(f"another process of this run has ended, which {LOST}: {text}"[:500])
    # PyTorch raises this wherever the main thread is, and what is there may wrap it.
    if (killed := re.search(r"DataLoader worker \(pid.*?\) [^.\n]*", whole)) is not None:
        hint = "the system may have run out of memory, lower data.num_workers"
        return ResourceError(f"a data worker has ended: {killed[0]}; {hint}")
    return None


class ParsedCLI:
    """Parses command lines of ``remot fit`` one after another, and runs nothing."""

    def __init__(self) -> None:
        self._cli: _NothingRun | None = None

    def settings(self, args: list[str]) -> dict[str, Any]:
        """The resolved configuration.

        Raises:
            ConfigError: If a setting does not exist or does not fit.
        """
        RemotParser.arguments = tuple(args)
        if self._cli is None:
            quiet_mlflow()
            quiet_libraries()
            self._cli = run_cli(args, _NothingRun)
        else:
            self._cli.parse_arguments(self._cli.parser, args)
        return self._cli._resolved()


class _NothingRun(RemotCLI):
    """Stops after parsing."""

    def _set_seed(self) -> None:
        """Leave the generators alone."""

    def before_instantiate_classes(self) -> None:
        """Choose no folder."""

    def instantiate_classes(self) -> None:
        """Make nothing."""

    def _run_subcommand(self, subcommand: str) -> None:
        """Run nothing."""


def run_cli(args: list[str], kind: type[CLI]) -> CLI:
    """Parse the arguments and do what that kind of command line does with them."""
    always = [FaultRecord(), RunRecord(), ResumedCallbacks()]
    return kind(
        PostTrainingModule,
        MotionDataModule,
        save_config_callback=MLflowSaveConfig,
        save_config_kwargs={"save_to_log_dir": False},
        auto_configure_optimizers=False,
        seed_everything_default=0,
        parser_kwargs={"parser_mode": "yaml", "prog": "remot"},
        trainer_defaults={"use_distributed_sampler": False, "callbacks": always},
        args=None if args == sys.argv[1:] else args,
    )
