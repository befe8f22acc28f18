"""What a run leaves behind that ended because losses or gradients were not finite."""

import json
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer

from remot.callbacks.interrupt import checkpoint_to_write, run_folder
from remot.errors import NonFiniteError

FAULT_FILE = "not_finite.json"


class FaultRecord(Callback):
    """On a ``NonFiniteError``: saves the last good state as ``last.ckpt``, and the prompts for a replay.

    ``not_finite.json`` lies beside the checkpoint. It holds the reason, the seed, and for each step in question its
    number, phase, reason and prompts: id, clip, text, response, and the completions that were sampled.
    """

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
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
            trainer.save_checkpoint(path)
            pl_module.print(f"the last good state, of step {exception.restored_step}, is saved: {path}")
