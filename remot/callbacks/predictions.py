"""``remot predict`` leaves its answers in a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch import Trainer
from rich.console import Console

from remot.distributed import all_gather_objects, interleave
from remot.strict_json import json_text

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
            Console(soft_wrap=True, highlight=False).print(f"answers     {self._path}", markup=False)

    def _write(self, batches: Sequence[Sequence[dict[str, Any]]]) -> None:
        assert self._path is not None
        with self._path.open("a", encoding="utf-8") as file:
            file.writelines(json_text(answer, ensure_ascii=True) + "\n" for batch in batches for answer in batch)
