"""When a run is saved: soon after the first step, then by time and by steps, the newest two files kept."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from remot.callbacks.interrupt import print_line
from remot.errors import CheckpointError

MAX_MINUTES, MAX_STEPS = 5, 50


class RunCheckpoint(ModelCheckpoint):
    """Saves ``last.ckpt`` after the first step, then every five minutes and at least every 50 steps.

    The file that it replaces is kept as ``previous.ckpt``. Lightning's :class:`ModelCheckpoint` takes a time or a
    number of steps, and no time where updates are made by hand; here both count, whichever comes first. A disk that is
    full ends no run: the failure is reported, the next save is tried when it is due, and the end of training tries once
    more.

    Args:
        every_n_train_steps: Optimizer steps from one save to the next; null for none.
        train_time_interval: Time from one save to the next, such as ``0:05:00``; null for none.
        save_last: Keep ``last.ckpt``.
        save_top_k: As in Lightning: further files, 0 for none.
        **settings: Of :class:`ModelCheckpoint`.
    """

    def __init__(
        self,
        every_n_train_steps: int | None = MAX_STEPS,
        train_time_interval: timedelta | None = timedelta(minutes=MAX_MINUTES),
        save_last: bool | None = True,  # noqa: FBT001, FBT002 (Lightning's signature)
        save_top_k: int = 0,
        **settings: Any,  # noqa: ANN401 (Lightning's)
    ) -> None:
        if every_n_train_steps is None and train_time_interval is not None:
            every_n_train_steps = 0  # with null Lightning would take the end of each epoch
        super().__init__(
            every_n_train_steps=every_n_train_steps, save_last=save_last, save_top_k=save_top_k, **settings
        )
        self.max_seconds = None if train_time_interval is None else train_time_interval.total_seconds()
        self._tried_step: int | None = None  # of the newest save, or attempt; None before the first
        self._failed_step: int | None = None

    @property
    def state_key(self) -> str:
        """The same for every interval, which a continued run may change."""
        return type(self).__name__

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A run that continues has saved the step it continues from."""
        super().on_train_start(trainer, pl_module)
        self._tried_step = trainer.global_step if trainer.global_step > 0 else None

    def on_train_batch_end(self, trainer: Trainer, *_: object, **__: object) -> None:
        """Save if it is due."""
        if not self._is_due(trainer) or self._should_skip_saving_checkpoint(trainer):
            return
        candidates = self._monitor_candidates(trainer)
        if self.monitor is not None and self.monitor not in candidates:
            self._defer_save_until_validation = True  # Lightning does it when there is a value
            return
        self._save_topk_checkpoint(trainer, candidates)
        self._save_last_checkpoint(trainer, candidates)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what the disk has not taken before.

        Raises:
            CheckpointError: If it does not take it now.
        """
        if self._failed_step == trainer.global_step and self.save_last:
            path = Path(str(self.dirpath)) / f"{self.CHECKPOINT_NAME_LAST}{self.FILE_EXTENSION}"
            trainer.save_checkpoint(path, weights_only=False)
            self._last_checkpoint_saved = self.last_model_path = str(path)
        super().on_train_end(trainer, pl_module)

    def _is_due(self, trainer: Trainer) -> bool:
        """The first step, so many steps, or so much time; steps of several updates may pass over a multiple."""
        if self._every_n_train_steps < 1 and self.max_seconds is None:
            return False
        if self._tried_step is None:
            return True
        every, step = self._every_n_train_steps, trainer.global_step
        by_steps = every > 0 and step // every > self._tried_step // every
        waited = time.monotonic() - (self._last_time_checked or 0.0)
        by_time = self.max_seconds is not None and waited >= self.max_seconds
        return trainer.strategy.reduce_boolean_decision(by_steps or by_time, all=False)

    def _save_checkpoint(self, trainer: Trainer, filepath: str) -> None:
        """Save; a disk that does not take the file is reported."""
        self._tried_step, self._last_time_checked = trainer.global_step, time.monotonic()
        try:
            super()._save_checkpoint(trainer, filepath)
        except CheckpointError as error:
            self._failed_step = trainer.global_step
            trainer.strategy.barrier("Trainer.save_checkpoint")  # the one that other processes wait at
            if not Path(filepath).is_file():
                self.last_model_path = ""
            print_line(trainer, f"step {trainer.global_step}: {error}; the run goes on, and tries again later")
