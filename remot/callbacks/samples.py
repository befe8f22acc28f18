"""Prompts and completions of a run: some are printed and logged, those of ``remot predict`` are written to a file."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch import Trainer
from rich.text import Text

from remot.callbacks.interrupt import run_folder
from remot.distributed import all_gather_objects, interleave
from remot.errors import ConfigError
from remot.evaluation.viewer import SampleRecord, completions_html
from remot.strategies.module import PostTrainingModule
from remot.strategies.objective import ScoredCompletions
from remot.strict_json import json_text
from remot.structures import PromptBatch
from remot.terminal import console, printable
from remot.tracking import log_samples_html

MAX_SHOWN_CHARS = 300


class CompletionSamples(lightning.Callback):
    """Prints a triplet's question with its completions and rewards, and logs a page with the images and videos.

    Args:
        every_n_steps: Optimiser steps between two samples; 0 shows none.
        num_shown: Completions printed of the group.
        num_prompts: Prompts on the page.
    """

    def __init__(self, every_n_steps: int = 20, num_shown: int = 4, num_prompts: int = 4) -> None:
        given = every_n_steps, num_shown, num_prompts
        if min(given) < 0:
            msg = f"samples: every_n_steps, num_shown and num_prompts are at least 0, got {given}"
            raise ConfigError(msg)
        self.every_n_steps = every_n_steps
        self.num_shown = num_shown
        self.num_prompts = num_prompts
        self._last_shown = -1

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: lightning.LightningModule, *_: object, **__: object
    ) -> None:
        """Show a sample if one is due and the step sampled any."""
        assert isinstance(pl_module, PostTrainingModule)
        due = self._last_shown < 0 or trainer.global_step - self._last_shown >= self.every_n_steps
        if self.every_n_steps <= 0 or not due or not pl_module.last_samples or not trainer.is_global_zero:
            return
        self._last_shown = trainer.global_step
        write = getattr(trainer.progress_bar_callback, "print_above", None) or console().print
        write(sample_text(pl_module.last_samples[0], trainer.global_step, self.num_shown))
        if pl_module.last_batch is not None:
            records = [_record(pl_module.last_batch, one) for one in pl_module.last_samples[: self.num_prompts]]
            page = completions_html(records, f"step {trainer.global_step}")
            log_samples_html(trainer.loggers, page, f"step_{trainer.global_step:06d}", run_folder(trainer))
        pl_module.last_samples, pl_module.last_batch = (), None


def _record(batch: PromptBatch, one: ScoredCompletions) -> SampleRecord:
    shown = one.prompt_index
    return SampleRecord(batch.images[shown], one.question, one.completions, one.rewards, batch.videos[shown])


def sample_text(sample: ScoredCompletions, step: int, num_shown: int) -> Text:
    """One prompt, its solution, and its first completions with their rewards. Completions are shown as inert text."""
    text = Text(f"\n— step {step}, prompt {sample.question.prompt_id} —\n", style="bold")
    text.append(sample.question.text.strip() + "\n", style="")
    text.append(f"solution {printable(sample.question.solution or sample.question.target)}\n", style="cyan")
    for completion, rewards in list(zip(sample.completions, sample.rewards, strict=True))[:num_shown]:
        text.append(f"  {rewards['total']:+6.2f}  ", style="bold")
        flat = " ".join(completion[: 2 * MAX_SHOWN_CHARS].split())
        text.append((flat if len(flat) <= MAX_SHOWN_CHARS else flat[:MAX_SHOWN_CHARS] + " …") + "\n")
        parts = "  ".join(f"{name} {_number(value)}" for name, value in rewards.items() if name != "total")
        text.append(f"          {parts}\n", style="dim")
    return text


def _number(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:z.2f}"  # z: no sign before a zero


FILE_NAME = "predictions.jsonl"


class PredictionFile(lightning.Callback):
    """Writes each answer with its question's id, solution and scores as a line of ``predictions.jsonl``.

    The file lies beside the checkpoint that answered, or in the trainer's root folder if there is none. With several
    processes it is written at the end, in the order one process would have answered in.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._held: list[list[dict[str, Any]]] = []  # by batch

    def on_predict_start(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Begin a new file."""
        folder = Path(trainer.ckpt_path).parent if trainer.ckpt_path else Path(trainer.default_root_dir)
        self._path, self._held = folder / FILE_NAME, []
        if trainer.is_global_zero:
            self._path.write_text("", encoding="utf-8")

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: lightning.LightningModule,  # noqa: ARG002
        outputs: list[dict[str, Any]],
        *_: object,
        **__: object,
    ) -> None:
        """Write a batch, or keep it where there are batches of other processes in between."""
        if trainer.world_size == 1:
            self._write([outputs])
        else:
            self._held.append(outputs)

    def on_predict_end(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Write what was kept, and say where the file is."""
        batches = interleave(all_gather_objects(self._held))
        if trainer.is_global_zero:
            self._write(batches)
            console(soft_wrap=True, highlight=False).print(f"answers     {self._path}", markup=False)

    def _write(self, batches: Sequence[Sequence[dict[str, Any]]]) -> None:
        assert self._path is not None
        with self._path.open("a", encoding="utf-8") as file:
            file.writelines(json_text(answer, ensure_ascii=True) + "\n" for batch in batches for answer in batch)
