"""Ctrl-C keeps the work: finish the step, save, say how to go on."""

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from rich.console import Console

from remot.callbacks.progress import PhaseProgressBar

#: Signals by which a batch system says that time is nearly up; lightning saves and queues the job again then.
BATCH_SIGNALS = tuple(signal.Signals[name] for name in ("SIGUSR1", "SIGUSR2") if name in signal.Signals.__members__)


class InterruptCheckpoint(Callback):
    """Saves ``last.ckpt`` when training is interrupted from the keyboard.

    A step is not divisible: weights in the middle of an update are no place to continue from. The first Ctrl-C within
    a step therefore takes effect when the step is done; a second one takes effect at once. Outside of steps the first
    one does. What lightning does on the signal of a batch system waits for the end of the step, too, and is then done
    by all processes, whichever was told first.

    Args:
        finish_step: False lets the first Ctrl-C take effect at once; the step it fell into is repeated on resuming,
            from weights it may have changed already.
    """

    def __init__(self, finish_step: bool = True) -> None:  # noqa: FBT001, FBT002 (a key of the configuration)
        super().__init__()
        self.finish_step = finish_step
        self._asked_to_stop = False
        self._previous_handler: object = None
        self._of_batch_system: dict[int, Callable[[int, FrameType | None], object]] = {}
        self._told: set[int] = set()

    def on_train_batch_start(self, trainer: Trainer, *_: object, **__: object) -> None:
        """Take over Ctrl-C for the length of the step."""
        if not self.finish_step or threading.current_thread() is not threading.main_thread():
            return

        def ask(_signal: int, _frame: FrameType | None) -> None:
            if self._asked_to_stop:
                raise KeyboardInterrupt
            self._asked_to_stop = True
            _tell(trainer, "Stopping when this step is done; press Ctrl-C again to stop at once.")

        self._asked_to_stop = False
        self._previous_handler = signal.signal(signal.SIGINT, ask)
        for number in BATCH_SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):
                self._of_batch_system[number] = handler
                signal.signal(number, lambda told, _frame: self._told.add(told))

    def on_train_batch_end(self, trainer: Trainer, *_: object, **__: object) -> None:
        """Give signals back, and do what they asked for, whichever process was asked: all do it after the same step."""
        handlers = dict(self._of_batch_system)
        self._give_back()
        for number, handler in handlers.items():
            if trainer.strategy.reduce_boolean_decision(number in self._told, all=False):
                handler(number, None)
        self._told.clear()
        if self.finish_step and trainer.strategy.reduce_boolean_decision(self._asked_to_stop, all=False):
            self._asked_to_stop = False
            raise KeyboardInterrupt

    def on_exception(self, trainer: Trainer, _module: LightningModule, exception: BaseException) -> None:
        """Save and say how to go on, if training was interrupted."""
        self._give_back_batch_signals()
        if not isinstance(exception, KeyboardInterrupt):
            self._give_back()
            return
        self._previous_handler = None  # lightning shields the shutdown from further Ctrl-C; leave it so
        if trainer.state.fn != TrainerFn.FITTING:
            return
        if trainer.global_step == 0:
            _tell(trainer, "Stopped before the first step was done; there is nothing to continue from.")
            return
        path, name = checkpoint_to_write(trainer)
        trainer.save_checkpoint(path)
        go_on = f"remot fit --config … --ckpt_path {name}"
        _tell(trainer, f"Stopped after step {trainer.global_step} and saved {path}; to continue: {go_on}")

    def _give_back(self) -> None:
        if self._previous_handler is not None:
            signal.signal(signal.SIGINT, self._previous_handler)  # type: ignore[arg-type]
            self._previous_handler = None
        self._give_back_batch_signals()

    def _give_back_batch_signals(self) -> None:
        while self._of_batch_system:
            signal.signal(*self._of_batch_system.popitem())


def checkpoint_to_write(trainer: Trainer) -> tuple[Path, str]:
    """Where to save, and what ``--ckpt_path`` finds it again.

    The folder is that of the first :class:`ModelCheckpoint`, whose ``last`` the file becomes: a continued run must
    replace it, not put ``last-v1`` beside it, which lightning does where the interval of saving is another one. Without
    a :class:`ModelCheckpoint` the folder is ``checkpoints`` below the trainer's root, and the path has to be named.
    """
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.dirpath:
            callback.last_model_path = str(Path(callback.dirpath) / "last.ckpt")
            return Path(callback.last_model_path), "last"
    path = Path(trainer.default_root_dir) / "checkpoints" / "last.ckpt"
    return path, str(path)


def _tell(trainer: Trainer, sentence: str) -> None:
    bar = trainer.progress_bar_callback
    if isinstance(bar, PhaseProgressBar):
        bar.print_above(sentence)
    elif trainer.is_global_zero:
        Console(stderr=True, soft_wrap=True).print(sentence, markup=False, highlight=False)
