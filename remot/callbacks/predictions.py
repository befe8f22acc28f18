"""``remot predict`` leaves its answers in a file."""

import json
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch import Trainer
from rich.console import Console

FILE_NAME = "predictions.jsonl"


class PredictionFile(lightning.Callback):
    """Writes each answer with its question's id, solution and scores as a line of ``predictions.jsonl``.

    The file lies beside the checkpoint that answered, or in the trainer's root folder if there is none.
    """

    def __init__(self) -> None:
        self._path: Path | None = None

    def on_predict_start(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Begin a new file."""
        folder = Path(trainer.ckpt_path).parent if trainer.ckpt_path else Path(trainer.default_root_dir)
        self._path = folder / FILE_NAME
        self._path.write_text("", encoding="utf-8")

    def on_predict_batch_end(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: lightning.LightningModule,  # noqa: ARG002
        outputs: list[dict[str, Any]],
        *_: object,
        **__: object,
    ) -> None:
        """Write a batch."""
        assert self._path is not None
        with self._path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(answer) + "\n" for answer in outputs)

    def on_predict_end(self, trainer: Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Say where the file is."""
        if trainer.is_global_zero:
            Console(soft_wrap=True, highlight=False).print(f"answers     {self._path}", markup=False)
