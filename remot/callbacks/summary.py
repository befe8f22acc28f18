"""What a run is and where it leaves its results: tags at the start, the exported policy and a few lines at the end."""

from functools import partial
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch import Trainer
from rich.console import Console

from remot.callbacks.interrupt import checkpoint_to_write, print_line, run_folder
from remot.strategies.module import PostTrainingModule
from remot.tracking import guard_logger, log_run_facts, mlflow_loggers

#: Where checkpoints name their run; apart from what the module keeps, which is written after the callbacks' part.
RUN_KEY = "remot_run"


class RunSummary(lightning.Callback):
    """Tags the MLflow run, puts its id into checkpoints, exports the trained policy and says where everything is.

    Args:
        export: Write the trained adapters or weights beside the checkpoint, for PEFT and transformers to load.
    """

    def __init__(self, export: bool = True) -> None:  # noqa: FBT001, FBT002 (a config key)
        self.export = export
        self._export_folder: Path | None = None
        self._saved_step: int | None = None

    def setup(self, trainer: Trainer, pl_module: lightning.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Let the run outlive its loggers; what they do not take goes into the run's folder."""
        for logger in trainer.loggers:
            guard_logger(logger, run_folder(trainer) or Path(trainer.default_root_dir), partial(print_line, trainer))

    def on_fit_start(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        """Tag the run, and say how many prompts each task has if there are several."""
        assert isinstance(pl_module, PostTrainingModule)
        describe = getattr(getattr(trainer, "datamodule", None), "describe", None)
        if describe is not None and trainer.is_global_zero:
            for line in describe():
                Console(soft_wrap=True, highlight=False).print(line, markup=False)
        tags = {
            "remot.strategy": pl_module.strategy.name,
            "remot.base_model": pl_module.base_model,
            "remot.adaptation": type(pl_module.loaded_policy.adaptation).__name__,
            "remot.seed": str(pl_module.seed),
        }
        log_run_facts(trainer.loggers, config_text=None, tags=tags)

    def on_save_checkpoint(
        self,
        trainer: Trainer,
        pl_module: lightning.LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],
    ) -> None:
        """Remember the MLflow run, so that a continued run goes on in it."""
        self._saved_step = trainer.global_step
        for logger in mlflow_loggers(trainer.loggers):
            checkpoint[RUN_KEY] = {"mlflow_run_id": logger.run_id}

    def on_train_start(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Let ``last.ckpt`` be replaced by a continued run: the newest state has one name, whatever has been saved."""
        checkpoint_to_write(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        """Say why training ended early, and save once more if steps came after the last checkpoint.

        Lightning saves at the end only what never was.
        """
        for callback in trainer.early_stopping_callbacks:
            if reason := getattr(callback, "stopping_reason_message", None):
                pl_module.print(f"EarlyStopping ended training at step {trainer.global_step}: {reason}")
        keeps_last = any(getattr(callback, "save_last", None) for callback in trainer.checkpoint_callbacks)
        if keeps_last and self._saved_step not in (None, trainer.global_step):
            path, _ = checkpoint_to_write(trainer)
            trainer.save_checkpoint(path)

    def on_fit_end(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        """Export the policy; every process takes part where its weights are divided, the first one writes."""
        folder = run_folder(trainer)
        if self.export and folder is not None:
            assert isinstance(pl_module, PostTrainingModule)
            adapted = pl_module.loaded_policy.adaptation.reference_is_base
            self._export_folder = pl_module.save_policy(folder / ("adapter" if adapted else "policy"))

    def teardown(
        self,
        trainer: Trainer,
        pl_module: lightning.LightningModule,  # noqa: ARG002
        stage: str,
    ) -> None:
        """Say where everything is; last, so that it is what stays on the screen."""
        if stage != "fit" or self._export_folder is None or not trainer.is_global_zero:
            return
        console = Console(soft_wrap=True, highlight=False)
        checkpoint = self._export_folder.parent / "last.ckpt"
        console.print(f"policy      {self._export_folder}", markup=False)
        console.print(f"checkpoint  {checkpoint}", markup=False)
        for logger in mlflow_loggers(trainer.loggers):
            uri = logger._tracking_uri
            console.print(f"MLflow      run {logger.run_id}: mlflow ui --backend-store-uri {uri}", markup=False)
            console.print(f"compare     remot compare --experiment {logger._experiment_name}", markup=False)
