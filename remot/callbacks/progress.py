"""A progress bar that knows the phase of training; plain lines where there is no terminal."""

import math
import time
from collections import deque
from datetime import timedelta

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from remot.errors import ConfigError
from remot.terminal import console


class PhaseProgressBar(ProgressBar):
    """Phase, step, reward, KL, loss, seconds per step and time left, on the standard error.

    The module may have a method ``progress_fields() -> Mapping[str, str | float]``; its ``phase`` comes first, the
    other fields follow in order. Without it the module's ``prog_bar`` metrics are shown.

    Args:
        every_steps: Where there is no terminal, a line is written every so many steps …
        every_seconds: … or after so many seconds, whichever comes first.
    """

    def __init__(self, every_steps: int = 10, every_seconds: float = 15.0) -> None:
        super().__init__()
        if every_steps < 1 or not every_seconds >= 0:
            given = f"{every_steps} and {every_seconds}"
            msg = f"progress: every_steps is at least 1 and every_seconds at least 0, got {given}"
            raise ConfigError(msg)
        self.every_steps, self.every_seconds = every_steps, every_seconds
        self.is_enabled = True  # whether anything is shown; lightning asks before it prints through the bar
        self._console = console(stderr=True)
        self._clock = StepClock()
        self._live: Progress | None = None
        self._training: TaskID | None = None
        self._evaluating: TaskID | None = None
        self._last_line = (-1, -math.inf)

    def disable(self) -> None:
        """Show nothing; lightning calls this where another process shows it."""
        self.is_enabled = False

    def enable(self) -> None:
        """Show again."""
        self.is_enabled = True

    def print(self, *args: object, sep: str = " ", **_: object) -> None:
        """Where ``self.print`` of a module goes."""
        self.print_above(sep.join(str(arg) for arg in args))

    def print_above(self, text: str | Text) -> None:
        """Write lines without breaking the bar; the text may come from anywhere."""
        if self.is_enabled:
            self._console.print(Text(text) if isinstance(text, str) else text, soft_wrap=True)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Only rank zero shows anything."""
        super().setup(trainer, pl_module, stage)
        if not trainer.is_global_zero:
            self.disable()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start counting, at the step of the checkpoint if the run continues."""
        self._clock.start(trainer.global_step, time.monotonic())
        if live := self._open():
            total = total_steps(trainer)
            self._training = live.add_task("training", total=total, completed=trainer.global_step, info="")
            self._update_training(trainer, pl_module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object, **__: object) -> None:
        """Show the step that is done."""
        self._clock.tick(trainer.global_step, time.monotonic())
        if self._live is not None:
            self._update_training(trainer, pl_module)
        elif self.is_enabled and self._line_is_due(trainer):
            self._last_line = (trainer.global_step, time.monotonic())
            phase, info = self._texts(trainer, pl_module)
            total = total_steps(trainer)
            done = f"{trainer.global_step}" if total is None else f"{trainer.global_step}/{total}"
            self.print_above(f"{phase} {done} · {info}" if info else f"{phase} {done}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the finished bar behind and the terminal to others."""
        if self._live is not None:
            self._update_training(trainer, pl_module)
        self.teardown()

    def on_validation_start(self, trainer: Trainer, *_: object, **__: object) -> None:
        """Show the batches of an evaluation, which does not count as training time."""
        if trainer.sanity_checking:
            return
        self._clock.pause(time.monotonic())
        batches = trainer.num_test_batches if trainer.testing else trainer.num_val_batches
        num_batches = sum(batches) if isinstance(batches, list) else batches
        total = None if math.isinf(num_batches) else int(num_batches)
        if live := self._open():
            self._evaluating = live.add_task("evaluating", total=total, info="")
        elif self.is_enabled:
            self.print_above("evaluating …" if total is None else f"evaluating {total} batches …")

    def on_validation_batch_end(self, *_: object, **__: object) -> None:
        """Show the batch that is evaluated."""
        if self._live is not None and self._evaluating is not None:
            self._live.advance(self._evaluating)

    def on_validation_end(self, *_: object, **__: object) -> None:
        """Take the bar of the evaluation away, and count training time again."""
        self._clock.resume(time.monotonic())
        if self._live is not None and self._evaluating is not None:
            self._live.remove_task(self._evaluating)
        self._evaluating = None

    on_test_start = on_validation_start
    on_test_batch_end = on_validation_batch_end
    on_test_end = on_validation_end

    def teardown(self, *_: object, **__: object) -> None:
        """Leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()
        self._live = self._training = self._evaluating = None

    on_exception = teardown

    def _open(self) -> Progress | None:
        """The live bar, started if need be; None where there is no terminal."""
        if self._live is None and self.is_enabled and self._console.is_interactive:
            phase, info = (TextColumn(f"{{task.{name}}}", markup=False) for name in ("description", "fields[info]"))
            self._live = Progress(phase, BarColumn(), MofNCompleteColumn(), info, console=self._console)
            self._live.start()
        return self._live

    def _update_training(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._live is not None and self._training is not None:
            phase, info = self._texts(trainer, pl_module)
            self._live.update(self._training, completed=trainer.global_step, description=phase, info=info)

    def _line_is_due(self, trainer: Trainer) -> bool:
        step, (last_step, last_time) = trainer.global_step, self._last_line
        return (
            step >= last_step + self.every_steps
            or step == total_steps(trainer)
            or time.monotonic() - last_time >= self.every_seconds
        )

    def _texts(self, trainer: Trainer, pl_module: LightningModule) -> tuple[str, str]:
        """The phase, and everything after the step number: the module's own fields, else its ``prog_bar`` metrics."""
        own = getattr(pl_module, "progress_fields", None)
        fields: dict[str, str | float] = dict(trainer.progress_bar_metrics if own is None else own())
        phase = str(fields.pop("phase", "training"))
        texts = {name: value if isinstance(value, str) else f"{value:.3g}" for name, value in fields.items()}
        parts = [f"{name} {text}" for name, text in texts.items()]
        speed, left = self._clock.seconds_per_step, self._clock.seconds_left(total_steps(trainer))
        parts += [] if speed is None else [f"{speed:.3g} s/step"]
        longest = timedelta.max.total_seconds()
        parts += (
            [] if left is None else [f"{timedelta(seconds=round(left)) if left < longest else 'over 9999 years'} left"]
        )
        return phase, " · ".join(parts)


def total_steps(trainer: Trainer) -> int | None:
    """Optimiser steps of the whole run, None if only epochs limit it."""
    return trainer.max_steps if trainer.max_steps > 0 else None


class StepClock:
    """Speed over the last steps, pauses left out.

    All times are seconds of one monotonic clock, handed in by the caller.

    Args:
        window: Calls of :meth:`tick` the speed is taken over; longer than a cycle of an alternating schedule, whose
            phases differ in speed.
    """

    def __init__(self, window: int = 20) -> None:
        self._marks: deque[tuple[int, float]] = deque(maxlen=window + 1)
        self._paused_seconds = 0.0
        self._paused_at: float | None = None

    def start(self, step: int, now: float) -> None:
        """Begin at ``step``, which is not 0 for a run that continues."""
        self._marks.clear()
        self._paused_seconds, self._paused_at = 0.0, None
        self._marks.append((step, now))

    def tick(self, step: int, now: float) -> None:
        """Step number ``step`` is done."""
        self._marks.append((step, now - self._paused_seconds))

    def pause(self, now: float) -> None:
        """Stop counting, for an evaluation."""
        self._paused_at = now

    def resume(self, now: float) -> None:
        """Count again; without a pause nothing happens."""
        if self._paused_at is not None:
            self._paused_seconds += now - self._paused_at
            self._paused_at = None

    @property
    def seconds_per_step(self) -> float | None:
        """Mean over the window, None before the first step."""
        if not self._marks or self._marks[-1][0] <= self._marks[0][0]:
            return None
        (first, began), (last, ended) = self._marks[0], self._marks[-1]
        return (ended - began) / (last - first)

    def seconds_left(self, total_steps: int | None) -> float | None:
        """Time until ``total_steps`` are done, None if unknown."""
        speed = self.seconds_per_step
        if speed is None or total_steps is None:
            return None
        return max(0, total_steps - self._marks[-1][0]) * speed
