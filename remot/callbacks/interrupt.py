"""Ctrl-C and the signals that end a process keep the work: finish the step, save, say how to go on."""

import os
import signal
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from rich.console import Console

from remot.callbacks.progress import PhaseProgressBar
from remot.errors import NonFiniteError

Handler = Callable[[int, FrameType | None], object]


def _known(*names: str) -> tuple[signal.Signals, ...]:
    return tuple(signal.Signals[name] for name in names if name in signal.Signals.__members__)


#: Signals by which a batch system says that time is nearly up; lightning saves and queues the job again then.
BATCH_SIGNALS = _known("SIGUSR1", "SIGUSR2")
#: Signals that end a process: of a batch system or a container, of a closed terminal, of a keyboard.
STOP_SIGNALS = _known("SIGTERM", "SIGHUP", "SIGQUIT")


class StoppedBySignal(SystemExit):
    """Ends the process with the exit code that shells give for a signal, 143 for SIGTERM.

    Args:
        number: Of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)


class InterruptCheckpoint(Callback):
    """Saves ``last.ckpt`` when training is interrupted: from the keyboard, by a signal to end, by an error.

    A step is not divisible: weights in the middle of an update are no place to continue from. The first Ctrl-C within
    a step therefore takes effect when the step is done; a second one takes effect at once. Outside of steps the first
    one does. SIGTERM, SIGHUP and SIGQUIT do the same, and SIGUSR1 and SIGUSR2 where no batch system uses them, but a
    second one changes nothing. A signal that the process ignores, as SIGHUP is under ``nohup``, stays ignored. Several
    processes stop after the same step, whichever was signalled. What lightning does on the signal of a batch system
    waits for the end of the step, too, and is then done by all processes. After an error of a single process the state
    is saved if it is that of a whole step; losses that are not finite are :class:`~remot.callbacks.FaultRecord`'s.

    Args:
        finish_step: False lets the first signal take effect at once; the step it fell into is repeated on resuming,
            from weights it may have changed already.
    """

    def __init__(self, finish_step: bool = True) -> None:  # noqa: FBT001, FBT002 (a key of the configuration)
        super().__init__()
        self.finish_step = finish_step
        self._asked_to_stop = False
        self._previous_handler: object = None
        self._of_batch_system: dict[int, Handler] = {}
        self._received: set[int] = set()
        self._trainer: Trainer | None = None
        self._process = 0
        self._is_within_step = False
        self._stopped_by: int | None = None
        self._before_stops: dict[int, object] = {}
        self._updates_before_step: int | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Take over the signals that end a process, also while the base model is evaluated before the first step."""
        self._trainer, self._process, self._stopped_by = trainer, os.getpid(), None
        self._updates_before_step = None
        if stage == TrainerFn.FITTING:
            self._take_stop_signals(STOP_SIGNALS)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Take them over again: lightning's own handler of SIGTERM ends with exit code 0 and saves nothing."""
        unused = [number for number in BATCH_SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
        self._take_stop_signals([*STOP_SIGNALS, *unused])

    def on_train_batch_start(self, trainer: Trainer, *_: object, **__: object) -> None:
        """Take over Ctrl-C for the length of the step."""
        self._updates_before_step = trainer.global_step
        self._is_within_step = self.finish_step
        if not self.finish_step or threading.current_thread() is not threading.main_thread():
            return

        def ask(_signal: int, _frame: FrameType | None) -> None:
            if self._asked_to_stop:
                raise KeyboardInterrupt
            self._asked_to_stop = True
            print_line(trainer, "Stopping when this step is done; press Ctrl-C again to stop at once.")

        self._asked_to_stop = False
        self._previous_handler = signal.signal(signal.SIGINT, ask)
        for number in BATCH_SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler) and number not in self._before_stops:
                self._of_batch_system[number] = handler
                signal.signal(number, lambda received, _frame: self._received.add(received))

    def on_train_batch_end(self, trainer: Trainer, *_: object, **__: object) -> None:
        """Give signals back, and do what they asked for, whichever process was asked: all do it after the same step."""
        self._is_within_step = False
        handlers = dict(self._of_batch_system)
        self._give_back()
        for number, handler in handlers.items():
            if trainer.strategy.reduce_boolean_decision(number in self._received, all=False):
                handler(number, None)
        self._received.clear()
        if trainer.strategy.reduce_boolean_decision(self._stopped_by is not None, all=False):
            raise StoppedBySignal(self._stopped_by or signal.SIGTERM)
        if self.finish_step and trainer.strategy.reduce_boolean_decision(self._asked_to_stop, all=False):
            self._asked_to_stop = False
            raise KeyboardInterrupt

    def on_exception(self, trainer: Trainer, _module: LightningModule, exception: BaseException) -> None:
        """Save and print how to go on, if training was interrupted."""
        self._give_back_batch_signals()
        if not isinstance(exception, StoppedBySignal):  # after one, others are ignored until all is saved and closed
            self._give_back_stop_signals()
        if not isinstance(exception, KeyboardInterrupt | StoppedBySignal):
            self._give_back()
            if isinstance(exception, Exception) and self._is_state_of_whole_step(trainer, exception):
                _save_after_error(trainer)
            return
        self._previous_handler = None  # lightning shields the shutdown from further Ctrl-C; leave it so
        if trainer.state.fn != TrainerFn.FITTING:
            return
        if trainer.global_step == 0:
            print_line(trainer, "Stopped before the first step was done; there is nothing to continue from.")
            return
        _save(trainer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Give back the signals that end a process."""
        self._give_back_stop_signals()

    def _is_state_of_whole_step(self, trainer: Trainer, error: Exception) -> bool:
        """False between the updates of a step, before training, and where other processes would wait for this one."""
        if self._updates_before_step is None or not trainer.training or trainer.global_step == 0:
            return False
        if isinstance(error, NonFiniteError) or trainer.world_size > 1 or not trainer.checkpoint_callbacks:
            return False
        batch = trainer.fit_loop.epoch_loop.batch_progress.state_dict()["current"]
        return bool(batch["processed"] == batch["ready"]) or trainer.global_step == self._updates_before_step

    def _take_stop_signals(self, numbers: Iterable[int]) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in numbers:
            handler = signal.getsignal(number)
            if handler is not signal.SIG_IGN and handler is not None:
                self._before_stops.setdefault(number, handler)
                signal.signal(number, self._stop)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        """Stop now, or when the step is done; with several processes always then, as the others are in the step."""
        if os.getpid() != self._process:  # a worker of a data loader, which is ended by the same signal
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        assert self._trainer is not None
        if self._stopped_by is not None:  # launchers repeat a signal; what does not wait is SIGKILL
            return
        self._stopped_by = number
        if not (self._is_within_step or self._trainer.world_size > 1):
            raise StoppedBySignal(number)
        print_line(self._trainer, f"Stopping when this step is done, as {signal.Signals(number).name} asks.")

    def _give_back(self) -> None:
        if self._previous_handler is not None:
            signal.signal(signal.SIGINT, self._previous_handler)  # type: ignore[arg-type]
            self._previous_handler = None
        self._give_back_batch_signals()

    def _give_back_batch_signals(self) -> None:
        while self._of_batch_system:
            signal.signal(*self._of_batch_system.popitem())

    def _give_back_stop_signals(self) -> None:
        while self._before_stops:
            signal.signal(*self._before_stops.popitem())  # type: ignore[arg-type]


def _save(trainer: Trainer) -> None:
    path, name = checkpoint_to_write(trainer)
    trainer.save_checkpoint(path)
    go_on = f"remot fit --config … --ckpt_path {name}"
    print_line(trainer, f"Stopped after step {trainer.global_step} and saved {path}; to continue: {go_on}")


def _save_after_error(trainer: Trainer) -> None:
    """Save if that works: a full disk or a broken device must not hide the error that is being raised."""
    try:
        _save(trainer)
    except Exception as error:  # noqa: BLE001 (the first error goes on)
        print_line(trainer, f"The state after step {trainer.global_step} could not be saved: {error}")


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


def print_line(trainer: Trainer, sentence: str) -> None:
    """Print a line of the first process above the progress bar, or to stderr where there is none."""
    bar = trainer.progress_bar_callback
    if isinstance(bar, PhaseProgressBar):
        bar.print_above(sentence)
    elif trainer.is_global_zero:
        Console(stderr=True, soft_wrap=True).print(sentence, markup=False, highlight=False)
