"""Ctrl-C and the signals that end a process keep the work: finish the step, save, say how to go on."""

import os
import signal
import threading
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn

from remot.callbacks.progress import PhaseProgressBar
from remot.distributed import alone, least_over_processes
from remot.errors import NonFiniteError, RemotError, text_of
from remot.locks import locked
from remot.stopping import BATCH_SIGNALS, STOP_SIGNALS, Handler, StoppedBySignal, is_unclaimed, watched
from remot.strategies.checkpoint_io import read_checkpoint
from remot.strategies.distributed import is_deepspeed
from remot.strategies.module import PostTrainingModule
from remot.terminal import console, printable
from remot.tracking import mark_killed

#: A step that takes longer after a signal is given up, then interrupted so often and so far apart.
FINISH_SECONDS, INTERRUPT_SECONDS, NUM_INTERRUPTS = 20.0, 2.0, 3
MAX_REASON_CHARS = 300
#: A main thread that takes longer to begin with the handler waits in a library.
STUCK_SECONDS = 1.0
#: What processes lock that save, or export, one after another, and how long each waits for the others.
SAVING, SAVE_SECONDS = ".saving", 600.0


class InterruptCheckpoint(Callback):
    """Saves ``last.ckpt`` when training is interrupted: from the keyboard, by a signal to end, by an error.

    A step is not divisible: weights in the middle of an update are no place to continue from. The first Ctrl-C within
    a step therefore takes effect when the step is done; a second one takes effect at once. Outside of steps the first
    one does. SIGTERM, SIGHUP, SIGQUIT and SIGXCPU do the same, SIGUSR1 and SIGUSR2 where no batch system uses them; a
    second one changes nothing. Where a step takes longer than :data:`FINISH_SECONDS` after the signal, as in a rollout
    or a reward that hangs, it is given up, and the state before it is saved. A signal that the process ignores, as
    SIGHUP is under ``nohup``, stays ignored. Several processes stop after the same step, whichever was signalled, or
    when all is done if no step is left; one whose step takes longer saves the state before it by itself, as each that
    fails does, and those that wait for it fail. What lightning does on the signal of a batch system waits for the end
    of the step, too, is then done by all processes, and saves in the run's folder. After an error the state before the
    step that failed is saved, by any process that fails where each has all weights; losses that are not finite are
    :class:`~remot.callbacks.FaultRecord`'s.

    Args:
        finish_step: False lets the first signal take effect at once; the step it fell into is repeated on resuming.
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
        self._is_overdue = False
        self._has_reacted = threading.Event()
        self._is_agreed = False  # all processes stop after the same step
        self._is_finished = False  # all that was to do is done, and saved
        self._before_alarm: object = None
        self._watch = ExitStack()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Take over the signals that end a process, also while the base model is evaluated before the first step."""
        self._trainer, self._process, self._stopped_by = trainer, os.getpid(), None
        self._updates_before_step, self._is_within_step, self._is_overdue = None, False, False
        self._is_agreed = self._is_finished = False
        self._has_reacted.clear()
        self._watch.close()
        self._watch.enter_context(watched(self._end_if_stuck))
        _set_signal_of_observer(signal.SIGTERM)
        self._take_stop_signals(STOP_SIGNALS if SLURMEnvironment.detect() else [*STOP_SIGNALS, *_unused_signals()])

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Take them over again: lightning's own handler of SIGTERM ends with exit code 0 and saves nothing."""
        self._take_stop_signals([*STOP_SIGNALS, *_unused_signals()])
        if run_folder(trainer) is not None:  # where lightning saves before it queues a job again
            last = str(checkpoint_to_write(trainer)[0])
            trainer._checkpoint_connector.hpc_save_path = lambda folderpath: last  # type: ignore[method-assign]  # noqa: ARG005

    on_sanity_check_start = on_train_start

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The same, in front of lightning's handler."""
        if trainer.state.fn != TrainerFn.FITTING:
            self.on_train_start(trainer, pl_module)

    on_test_start = on_predict_start = on_validation_start

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
            self._is_agreed = True
            raise StoppedBySignal(-least_over_processes(-(self._stopped_by or 0), trainer.strategy.root_device))
        if self.finish_step and trainer.strategy.reduce_boolean_decision(self._asked_to_stop, all=False):
            self._asked_to_stop, self._is_agreed = False, True
            raise KeyboardInterrupt

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Go back to the state before the step that was left, save it, and print how to go on."""
        self._react()
        self._give_back_batch_signals()
        is_stop = isinstance(exception, KeyboardInterrupt | StoppedBySignal)
        if is_stop:
            self._previous_handler = None  # lightning shields the shutdown from further Ctrl-C; leave it so
        else:
            self._give_back()
        if trainer.state.fn != TrainerFn.FITTING or isinstance(exception, NonFiniteError) or self._is_finished:
            return
        if is_stop or self._updates_before_step is not None:
            is_undone = isinstance(pl_module, PostTrainingModule) and not pl_module.is_between_steps
            step = self._updates_before_step if is_undone else trainer.global_step
            reason = "" if is_stop else f"The step after {step} failed with {_described(exception)}. "
            with report_failure(trainer):
                self._save_state(trainer, pl_module, reason)

    def _save_state(self, trainer: Trainer, module: LightningModule, reason: str) -> None:
        is_own_save = trainer.world_size > 1 and not self._is_agreed
        if is_own_save and is_sharded(trainer, module):
            why = "the weights are divided over processes, so only an earlier checkpoint can be continued"
            print_line(trainer, f"{reason}Stopped without the other processes; {why}.", everywhere=True)
        elif not self._back_to_whole_step(trainer, module):
            why = "its weights are too large to be kept twice, so only an earlier checkpoint can be continued"
            print_line(trainer, f"{reason}Stopped within the updates of a step; {why}.")
        elif trainer.global_step == 0:
            print_line(trainer, f"{reason}Stopped before the first step was done; there is nothing to continue from.")
        elif reason and not trainer.checkpoint_callbacks:
            print_line(trainer, f"{reason}Nothing is saved, as the run keeps no checkpoints.")
        elif is_own_save:
            with alone():
                _save_alone(trainer, reason)
        else:
            _save(trainer, reason)

    def _back_to_whole_step(self, trainer: Trainer, module: LightningModule) -> bool:
        """Undo what a step has done that was left; False if that cannot be."""
        if isinstance(module, PostTrainingModule):
            return module.undo_step()
        batch = trainer.fit_loop.epoch_loop.batch_progress.state_dict()["current"]
        return bool(batch["processed"] == batch["ready"]) or trainer.global_step == self._updates_before_step

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:  # noqa: ARG002
        """Give back the signals that end a process, and end with the code of one that found no step left to stop at."""
        number = -least_over_processes(-(self._stopped_by or 0), trainer.strategy.root_device)
        self._react()
        self._watch.close()
        while self._before_stops:
            signal.signal(*self._before_stops.popitem())  # type: ignore[arg-type]
        if number := number or self._stopped_by or 0:
            self._is_finished = True
            name = signal.Signals(number).name
            print_line(trainer, f"Finished what was left when {name} came; the exit code is that of the signal.")
            raise StoppedBySignal(number)

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
        if self._is_overdue and not self._has_reacted.is_set():
            assert self._stopped_by is not None
            raise StoppedBySignal(self._stopped_by)
        # launchers repeat a signal, and send one when an error is being saved; what does not wait is SIGKILL
        if self._stopped_by is not None or self._has_reacted.is_set():
            return
        self._stopped_by = number
        if (launcher := self._trainer.strategy.launcher) is not None:
            launcher.kill(number)  # the processes that this one has started
        if self._trainer.world_size == 1 and not self._is_within_step:
            self._interrupt_after(INTERRUPT_SECONDS)
            raise StoppedBySignal(number)
        what = "this step" if self._is_within_step else "the next step, or what is left after the last one,"
        print_line(self._trainer, f"Stopping when {what} is done, as {signal.Signals(number).name} asks.")
        self._interrupt_after(FINISH_SECONDS)
        threading.Thread(target=self._give_up_step, args=(self._trainer, number), daemon=True).start()

    def _interrupt_after(self, seconds: float) -> None:
        """Raise then, and again until the run reacts.

        What a signal handler raises is lost where Python calls back from its collector, as for weak references, and
        where a library catches everything. An alarm needs no other thread: a library that keeps Python's lock, as
        regular expressions do, lets none run, but looks for signals.
        """
        if hasattr(signal, "setitimer"):
            self._before_alarm = signal.signal(signal.SIGALRM, self._interrupt)
            signal.setitimer(signal.ITIMER_REAL, seconds, INTERRUPT_SECONDS)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self._has_reacted.is_set():
            return
        assert self._trainer is not None
        assert self._stopped_by is not None
        is_first, self._is_overdue = not self._is_overdue, True
        if is_first and (self._is_within_step or self._trainer.world_size > 1):
            sentence = f"The step takes longer than {FINISH_SECONDS:g} s: going back to the state before it."
            print_line(self._trainer, sentence)
        raise StoppedBySignal(self._stopped_by)

    def _react(self) -> None:
        """Let no alarm come any more, and no signal because another process has ended."""
        self._has_reacted.set()
        _set_signal_of_observer(0)
        if self._before_alarm is not None and threading.current_thread() is threading.main_thread():
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, self._before_alarm)  # type: ignore[arg-type]
            self._before_alarm = None

    def _give_up_step(self, trainer: Trainer, number: int) -> None:
        """If interrupting a step does nothing, save from this thread and end the process.

        A signal interrupts Python, and what waits in the operating system. It does not interrupt a library that keeps
        the main thread, as a deadlock in one does, or waiting for another process.
        """
        if self._has_reacted.wait(FINISH_SECONDS + NUM_INTERRUPTS * INTERRUPT_SECONDS):
            return
        try:
            self._save_state(trainer, trainer.lightning_module, "")
            mark_killed(trainer.loggers)
        finally:
            os._exit(128 + number)

    def _end_if_stuck(self, number: int) -> None:
        """Do, in another thread, what the handler would, which the system runs only where Python goes on."""
        if signal.getsignal(number) != self._stop:
            return
        time.sleep(STUCK_SECONDS)
        if self._stopped_by is None and not self._has_reacted.is_set():
            assert self._trainer is not None
            self._stopped_by = number
            self._give_up_step(self._trainer, number)

    def _give_back(self) -> None:
        if self._previous_handler is not None:
            signal.signal(signal.SIGINT, self._previous_handler)  # type: ignore[arg-type]
            self._previous_handler = None
        self._give_back_batch_signals()

    def _give_back_batch_signals(self) -> None:
        while self._of_batch_system:
            signal.signal(*self._of_batch_system.popitem())


def _set_signal_of_observer(number: int) -> None:
    """Lightning's observer of the processes that it starts kills all of them when one ends, whatever is being saved."""
    for thread in threading.enumerate():
        if thread.name == "child-process-observer":
            thread._termination_signal = number  # type: ignore[attr-defined]


def _unused_signals() -> list[signal.Signals]:
    """Signals of batch systems that would end the process, as no batch system uses them."""
    return [number for number in BATCH_SIGNALS if is_unclaimed(number)]


def _described(error: BaseException) -> str:
    """The error, and the line where it did, which errors of this library do not need."""
    frames = [] if isinstance(error, RemotError) else traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    text = printable((text_of(error).strip().splitlines() or [""])[-1])[:MAX_REASON_CHARS]
    notes = "".join(f"; {printable(note)}" for note in getattr(error, "__notes__", ()))[:MAX_REASON_CHARS]
    return f"{type(error).__name__}: {text}{notes}{where}"


def _save(trainer: Trainer, reason: str) -> None:
    path, name = checkpoint_to_write(trainer)
    if not is_saved(trainer, path):
        trainer.save_checkpoint(path, weights_only=False)
    go_on = f"remot fit --config … --ckpt_path {name}"
    print_line(trainer, f"{reason}Stopped after step {trainer.global_step} and saved {path}; to continue: {go_on}")


def _save_alone(trainer: Trainer, reason: str) -> None:
    """Save what this process has: several that fail do so one after another, and one file is enough.

    That of the first process is taken in any case, as it names the run in MLflow.
    """
    path, name = checkpoint_to_write(trainer)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_name(SAVING), SAVE_SECONDS):
        if trainer.is_global_zero or not _holds_step(path, trainer.global_step):
            held = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
            trainer.strategy.checkpoint_io.save_checkpoint(held, path)
    go_on = f"remot fit --config … --ckpt_path {name}"
    sentence = f"{reason}Stopped after step {trainer.global_step} and saved {path}; to continue: {go_on}"
    print_line(trainer, sentence, everywhere=True)


def _holds_step(path: Path, step: int) -> bool:
    try:
        return bool(read_checkpoint(path)["global_step"] == step)
    except (RemotError, OSError, KeyError):
        return False


def is_sharded(trainer: Trainer, module: LightningModule) -> bool:
    """True if no process has all weights."""
    return module.device_mesh is not None or is_deepspeed(trainer.model)


def is_saved(trainer: Trainer, path: Path) -> bool:
    """True if the file is of this step already."""
    return path.exists() and any(
        isinstance(one, ModelCheckpoint)
        and one._last_checkpoint_saved == str(path)
        and one._last_global_step_saved == trainer.global_step
        for one in trainer.checkpoint_callbacks
    )


@contextmanager
def report_failure(trainer: Trainer) -> Iterator[None]:
    """A full disk or a broken device must not hide the error that is being raised."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 (the first error goes on)
        print_line(trainer, f"The state after step {trainer.global_step} could not be saved: {error}")


def run_folder(trainer: Trainer) -> Path | None:
    """Folder of the run's checkpoints, None if it keeps none."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.dirpath:
            return Path(callback.dirpath)
    return None


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


def print_line(trainer: Trainer, sentence: str, *, everywhere: bool = False) -> None:
    """Print a line of the first process, or of any, above the progress bar, or to stderr where there is none."""
    bar = trainer.progress_bar_callback
    if everywhere and not trainer.is_global_zero:
        line = f"process {trainer.global_rank}: {sentence}"
        console(stderr=True, soft_wrap=True).print(line, markup=False, highlight=False)
    elif isinstance(bar, PhaseProgressBar):
        bar.print_above(sentence)
    elif trainer.is_global_zero:
        console(stderr=True, soft_wrap=True).print(sentence, markup=False, highlight=False)
