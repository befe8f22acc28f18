"""What a run is and where it leaves its results: weights and tags at the start, files and a few lines at the end."""

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch import Trainer
from lightning.pytorch.trainer.states import TrainerFn

from remot.callbacks.interrupt import (
    SAVE_SECONDS,
    SAVING,
    checkpoint_to_write,
    is_saved,
    is_sharded,
    print_line,
    report_failure,
    run_folder,
)
from remot.callbacks.run_record import run_tags
from remot.distributed import alone, is_first_process
from remot.errors import NonFiniteError
from remot.evaluation.model_card import CardFacts, read_results, run_config, write_card
from remot.files import number_order
from remot.locks import locked
from remot.stopping import StoppedBySignal
from remot.strategies.module import PostTrainingModule
from remot.strategies.objective import prompt_source
from remot.strict_json import json_text
from remot.terminal import console
from remot.tracking import guard_logger, log_run_facts, mlflow_loggers, where_to_look

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
        self._results: Path | None = None  # the folder of a run that has ended or was exported
        self._has_saved = False  # in this process

    def setup(self, trainer: Trainer, pl_module: lightning.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Let the run outlive its loggers; what they do not take goes into the run's folder."""
        for logger in trainer.loggers:
            guard_logger(logger, run_folder(trainer) or Path(trainer.default_root_dir), partial(print_line, trainer))

    def on_fit_start(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        """Tag the run, and say how many prompts each task has if there are several."""
        assert isinstance(pl_module, PostTrainingModule)
        source = prompt_source(trainer)
        if source is not None and trainer.is_global_zero:
            for line in source.describe():
                console(soft_wrap=True, highlight=False).print(line, markup=False)
        log_run_facts(trainer.loggers, config_text=None, tags=run_tags(pl_module))

    def on_save_checkpoint(
        self,
        trainer: Trainer,
        pl_module: lightning.LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],
    ) -> None:
        """Remember the MLflow run, so that a continued run goes on in it."""
        self._has_saved = True
        for logger in mlflow_loggers(trainer.loggers):
            checkpoint[RUN_KEY] = {"mlflow_run_id": logger.run_id}

    def on_train_start(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Let ``last.ckpt`` be replaced by a continued run: the newest state has one name, whatever has been saved."""
        checkpoint_to_write(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        """Say why training ended early, and save once more if steps came after the last checkpoint.

        Lightning saves at the end only what never was, and another callback may have saved the last step elsewhere.
        """
        for callback in trainer.early_stopping_callbacks:
            if reason := getattr(callback, "stopping_reason_message", None):
                pl_module.print(f"EarlyStopping ended training at step {trainer.global_step}: {reason}")
        keeps_last = any(getattr(callback, "save_last", None) for callback in trainer.checkpoint_callbacks)
        path, _ = checkpoint_to_write(trainer)
        if keeps_last and self._has_saved and not is_saved(trainer, path):
            trainer.save_checkpoint(path, weights_only=False)

    def on_fit_end(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        """Export the policy; every process takes part where its weights are divided, the first one writes."""
        self._results = run_folder(trainer)
        self._export(trainer, pl_module)

    def on_exception(self, trainer: Trainer, pl_module: lightning.LightningModule, exception: BaseException) -> None:
        """Export the state that an error has left, which is that before the step: out of memory, or at the very end.

        Signals leave no time for it, and what is continued exports when it ends. It has to come after
        :class:`~remot.callbacks.InterruptCheckpoint`, which undoes the step.
        """
        is_lost = not isinstance(exception, KeyboardInterrupt | StoppedBySignal | NonFiniteError)
        is_whole = not isinstance(pl_module, PostTrainingModule) or pl_module.is_between_steps
        if not (is_lost and is_whole and trainer.state.fn == TrainerFn.FITTING and trainer.global_step):
            return
        folder = run_folder(trainer)
        if self._export_folder is not None or folder is None or is_sharded(trainer, pl_module):
            return
        try:
            if trainer.world_size == 1:
                self._export(trainer, pl_module)
            else:  # the others may have ended; each that has not writes the same
                with alone(), locked(folder / SAVING, SAVE_SECONDS):
                    self._export(trainer, pl_module)
        except Exception as error:  # noqa: BLE001 (the first error goes on)
            later = "remot export --ckpt_path …/last.ckpt --out …"
            print_line(trainer, f"The policy could not be exported: {error}; later: {later}")

    def _export(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        folder = run_folder(trainer)
        if self.export and folder is not None:
            assert isinstance(pl_module, PostTrainingModule)
            adapted = pl_module.loaded_policy.adaptation.reference_is_base
            self._export_folder = pl_module.save_policy(folder / ("adapter" if adapted else "policy"))
            if is_first_process():
                facts = CardFacts(pl_module.base_model, is_adapter=adapted, step=pl_module.held_step)
                results = read_results(None, folder, pl_module.held_step)
                write_card(self._export_folder, facts, config=run_config(folder), results=results)

    def teardown(
        self,
        trainer: Trainer,
        pl_module: lightning.LightningModule,
        stage: str,
    ) -> None:
        """Say where everything is; last, so that it is what stays on the screen."""
        folder = self._results if self._export_folder is None else self._export_folder.parent
        if stage != "fit" or folder is None or not trainer.is_global_zero:
            return
        out = console(soft_wrap=True, highlight=False)
        if num_replaced := getattr(pl_module, "num_replaced", 0):
            out.print(f"replaced    {num_replaced} training prompts, whose clips could not be read", markup=False)
        policy = getattr(pl_module, "policy", None)
        if (stored := getattr(policy, "stored_features", None)) is not None:
            out.print(f"features    {stored.describe()}", markup=False)
        if self._export_folder is not None:
            out.print(f"policy      {self._export_folder}", markup=False)
        if (checkpoint := folder / "last.ckpt").exists():
            out.print(f"checkpoint  {checkpoint}", markup=False)
        if next(mlflow_loggers(trainer.loggers), None) is None:
            names = ", ".join(type(logger).__name__ for logger in trainer.loggers)
            why = f"{names} takes numbers alone" if names else "there is no logger, so numbers are not kept"
            out.print(f"pages       {folder} (pages and tables; {why})", markup=False)
        for logger in mlflow_loggers(trainer.loggers):
            seen, command = where_to_look(logger._tracking_uri, str(logger.run_id), logger._experiment_name)
            out.print(f"MLflow      {seen}", markup=False)
            out.print(f"compare     {command}", markup=False)


class WeightsReport(lightning.Callback):
    """Prints the weights that fit, validate, test and predict begin with, and for fit what is trained of them.

    Without arguments. It has to come before callbacks that evaluate when a run begins.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        """Weights, trained part, and what KL is measured against."""
        assert isinstance(pl_module, PostTrainingModule)
        policy, reference = pl_module.loaded_policy, pl_module.describe_reference()
        trained = policy.adaptation.describe(policy.model)
        lines = [f"weights: {pl_module.describe_weights()}", f"trained: {trained}"]
        _show(trainer, [*lines, *([] if reference is None else [f"KL reference: {reference}"])])

    def on_validation_start(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:
        """Weights of ``remot validate``; validation within a run has been announced."""
        if trainer.state.fn is not TrainerFn.FITTING:
            assert isinstance(pl_module, PostTrainingModule)
            _show(trainer, [f"weights: {pl_module.describe_weights()}"])

    on_test_start = on_predict_start = on_validation_start


def _show(trainer: Trainer, lines: list[str]) -> None:
    if trainer.is_global_zero:
        out = console(soft_wrap=True, highlight=False)
        for line in lines:
            out.print(line, markup=False)


#: Written when a run ends so; skipped steps, and their weights, are in a folder of their own.
FAULT_FILE, STEPS_FOLDER, STEPS_FILE = "not_finite.json", "not_finite", "steps.jsonl"
MAX_STATES = 2


def _keep_state(trainer: Trainer, path: Path) -> None:
    """Save the state beside the ones before, of which the newest stay."""
    path.parent.mkdir(parents=True, exist_ok=True)
    trainer.save_checkpoint(path, weights_only=False)
    if trainer.is_global_zero:
        states = sorted(path.parent.glob("step-*.ckpt"), key=lambda one: number_order(one.name))
        for old in states[:-MAX_STATES]:
            old.unlink(missing_ok=True)


class FaultRecord(lightning.Callback):
    """Keeps what ``remot replay`` needs of steps that were not finite, and the last good state on a ``NonFiniteError``.

    A skipped step is a line of ``not_finite/steps.jsonl`` in the run's folder, with its prompts, and its weights are in
    ``not_finite/step-N.ckpt``, N the first of skipped steps in a row, which share them. The newest two are kept.

    On a ``NonFiniteError`` the last good state is saved as ``last.ckpt``, and the prompts for a replay.

    ``not_finite.json`` lies beside the checkpoint. It holds the reason, the seed, and for each step in question its
    number, phase, reason and prompts: id, clip, text, response, and the completions that were sampled.
    """

    def __init__(self) -> None:
        self._last_step: int | None = None  # that was skipped
        self._state_step: int | None = None  # whose weights are kept

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: lightning.LightningModule, *_: object, **__: object
    ) -> None:
        """Keep the step if it was skipped, its weights if the one before was not."""
        skipped = getattr(pl_module, "last_skipped", None)
        if skipped is not None and (folder := run_folder(trainer)) is not None:
            with report_failure(trainer):
                if self._last_step != skipped.step - 1:
                    _keep_state(trainer, folder / STEPS_FOLDER / f"step-{skipped.step}.ckpt")
                    self._state_step = skipped.step
                self._last_step = skipped.step
                if trainer.is_global_zero:
                    batch = trainer.fit_loop.epoch_loop.batch_progress.total.ready - 1
                    record = asdict(skipped) | {"batch": batch, "state_step": self._state_step}
                    with (folder / STEPS_FOLDER / STEPS_FILE).open("a", encoding="utf-8") as file:
                        file.write(json_text(record) + "\n")

    def on_exception(self, trainer: Trainer, pl_module: lightning.LightningModule, exception: BaseException) -> None:
        """Write both files."""
        if not isinstance(exception, NonFiniteError):
            return
        folder = run_folder(trainer) or Path(trainer.default_root_dir)
        if trainer.is_global_zero:
            folder.mkdir(parents=True, exist_ok=True)
            text = json.dumps(exception.record, indent=1, ensure_ascii=False, allow_nan=False)
            (folder / FAULT_FILE).write_text(text + "\n", encoding="utf-8")
        pl_module.print(f"steps and prompts that were not finite: {folder / FAULT_FILE}")
        if exception.restored_step is None:
            pl_module.print("the last good state is that of the last checkpoint; none is saved of this one")
        elif trainer.checkpoint_callbacks:
            path, _ = checkpoint_to_write(trainer)
            trainer.save_checkpoint(path, weights_only=False)
            pl_module.print(f"the last good state, of step {exception.restored_step}, is saved: {path}")
