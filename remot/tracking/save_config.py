"""The resolved configuration as an MLflow artifact and as MLflow parameters."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import LightningArgumentParser, SaveConfigCallback
from lightning.pytorch.loggers import MLFlowLogger
from lightning.pytorch.trainer.states import TrainerFn

from remot.strict_json import json_text
from remot.tracking.courier import LONG_SETTINGS_FILE, SpoolingClient, short, store_settings
from remot.tracking.run_log import CONFIG_FILE, log_text, versions

#: Where a checkpoint keeps the resolved configuration, as JSON.
CONFIG_KEY = "remot_config"
#: Where it keeps the versions of libraries that compute.
VERSIONS_KEY = "remot_versions"


class MLflowSaveConfig(SaveConfigCallback):
    """Keeps what a run was configured with: in MLflow, in its folder as ``config.yaml``, and in its checkpoints.

    Other loggers that have a folder get a ``config.yaml`` there. Lightning's own callback needs a ``log_dir``, which
    :class:`MLFlowLogger` has none of.

    Args:
        parser: Parser of the subcommand.
        config: The parsed configuration.
        config_filename: Name of the file for other loggers.
        overwrite: Accepted for compatibility; every run has a place of its own.
        multifile: Accepted for compatibility; one file is written.
        save_to_log_dir: Accepted for compatibility; see above for what is saved where.
        changes: Settings that are not those of the checkpoint this run continues from, such as ``lr: 1 → 2``.
        changed_at_step: Step of that checkpoint.
    """

    def __init__(
        self,
        parser: LightningArgumentParser,
        config: Namespace,
        config_filename: str = CONFIG_FILE,
        overwrite: bool = True,  # noqa: FBT001, FBT002 (lightning's signature)
        multifile: bool = False,  # noqa: FBT001, FBT002 (lightning's signature)
        save_to_log_dir: bool = False,  # noqa: ARG002, FBT001, FBT002 (lightning's signature)
        changes: Sequence[str] = (),
        changed_at_step: int = 0,
    ) -> None:
        super().__init__(parser, config, config_filename, overwrite, multifile, save_to_log_dir=False)
        self.changes = tuple(changes)
        self.changed_at_step = changed_at_step
        self._config_json = parser.dump(config, skip_none=False, format="json")

    @property
    def tags(self) -> dict[str, str]:
        """Tags that the configuration gives the run."""
        return {name: str(value) for name, value in (self.config.get("tags") or {}).items()}

    @property
    def settings(self) -> dict[str, str]:
        """Every setting as text by its dotted key."""
        return {name: str(value) for name, value in flatten(self.config.as_dict())}

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Log the configuration; called on rank zero only.

        A test of a trained policy goes on in the run of its training, whose own configuration must stay: it is stored
        as ``config_test.yaml``.
        """
        name = CONFIG_FILE if stage == "fit" else f"config_{TrainerFn(stage).value}.yaml"
        text = self.parser.dump(self.config, skip_none=False)
        # a parameter of its own: those that a run has can not be changed in MLflow
        resumed = {"resumed": {f"step_{self.changed_at_step}": "; ".join(self.changes)}} if self.changes else {}
        for logger in trainer.loggers:
            if isinstance(logger, MLFlowLogger):
                log_text(logger, text, name)
                log_params(logger, self.config.as_dict() | resumed)
            elif (log_dir := getattr(logger, "log_dir", None)) is not None:
                Path(log_dir).mkdir(parents=True, exist_ok=True)
                (Path(log_dir) / self.config_filename).write_text(text, encoding="utf-8")
        if stage == "fit":
            self._write_to_folder(trainer, text)

    def on_save_checkpoint(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],
    ) -> None:
        """Keep configuration and versions, which a continued run is compared with."""
        checkpoint[CONFIG_KEY] = self._config_json
        checkpoint[VERSIONS_KEY] = versions()

    def _write_to_folder(self, trainer: Trainer, text: str) -> None:
        """The configuration beside the checkpoints; where it has changed, what was there until then is kept."""
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.dirpath:
                file = Path(callback.dirpath) / CONFIG_FILE
                file.parent.mkdir(parents=True, exist_ok=True)
                if self.changes and file.is_file():
                    file.replace(file.with_stem(f"{file.stem}_until_step_{self.changed_at_step}"))
                file.write_text(text, encoding="utf-8")
                return


def flatten(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings as (dotted key, value); nested mappings are entered, lists of mappings too, None is left out.

    Files, such as those of ``--config``, stand by their paths and not by the parser's own objects.
    """
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from flatten(value, f"{name}.")
        elif isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
            yield from flatten({str(i): one for i, one in enumerate(value)}, f"{name}.")
        elif isinstance(value, list):
            yield name, [str(one) if isinstance(one, os.PathLike) else one for one in value]
        elif value is not None:
            yield name, value


def log_params(logger: MLFlowLogger, settings: Mapping[str, Any]) -> None:
    """Log settings as MLflow parameters, by :func:`~remot.tracking.courier.store_settings`."""
    whole = {name: str(value) for name, value in flatten(settings)}
    flat = {name: short(text) for name, text in whole.items()}
    if long := {name: text for name, text in whole.items() if flat[name] != text}:
        log_text(logger, json_text(long, indent=1) + "\n", LONG_SETTINGS_FILE)
    client = logger.experiment
    if isinstance(client, SpoolingClient):
        client.log_settings(flat)
    else:
        store_settings(client, str(logger.run_id), flat)
