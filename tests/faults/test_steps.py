"""A step that fails or is given up: the state before it is saved, and going on equals a run without faults."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback

from remot.callbacks import InterruptCheckpoint, RunCheckpoint, StoppedBySignal, interrupt
from remot.callbacks.interrupt import STOP_SIGNALS
from remot.errors import CheckpointError, RewardError
from remot.losses import GRPOLoss
from remot.models import LoRA
from remot.strategies import GRPO, SFT, GRPOObjective, checkpoint_io
from remot.strategies import module as module_file
from remot.strategies.checkpoint_io import read_checkpoint, write_checkpoint
from tests.helpers import PROJECT
from tests.strategies.grpo.test_objective import FirstLetterReward
from tests.strategies.test_module import AddressedBatches, fit, ready_module
from tests.tiny import make_batch

pytestmark = [
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint.*:UserWarning"),
]
ADAMW = partial(torch.optim.AdamW, lr=0.01)
MAX_STEPS, FAILS_AT = 4, 2
OTHERS = ("HUP", "QUIT", "USR1")


class Faulty(FirstLetterReward):
    """Calls ``fault`` when completions of a step are scored for the n-th time; all steps before are as ever."""

    def __init__(self, fault=lambda: None, at_call=FAILS_AT):
        self.fault, self.at_call, self.calls = fault, at_call, 0

    def __call__(self, completions, questions):
        self.calls += 1
        if self.calls == self.at_call + 1:
            self.fault()
        return super().__call__(completions, questions)


class AtUpdate(Callback):
    """Calls ``fault`` after so many updates of the run, which is within a step of several."""

    def __init__(self, fault, after):
        self.fault, self.after = fault, after

    def on_before_backward(self, trainer, module, loss):  # noqa: ARG002
        if module.global_step == self.after:
            self.fault()


def make(reward=None, strategy=None, updates=1):
    grpo = GRPOObjective(
        num_completions=3, max_new_tokens=5, loss=GRPOLoss(beta=0.05), reward=reward or Faulty(),
        updates_per_rollout=updates,
    )  # fmt: skip
    return ready_module(strategy or GRPO(), LoRA(rank=2), grpo=grpo, optimizer=ADAMW)


def saver(folder, **settings):
    return RunCheckpoint(dirpath=folder, **{"every_n_train_steps": 100, **settings})


def run(module, folder, *callbacks, ckpt_path=None, **settings):
    kept = [saver(folder), InterruptCheckpoint(), *callbacks]
    settings = {"max_steps": MAX_STEPS, "enable_checkpointing": True} | settings
    return fit(module, folder, callbacks=kept, ckpt_path=ckpt_path, **settings)


def weights(module):
    return {name: p.detach().clone() for name, p in module.policy.named_parameters() if p.requires_grad}


def assert_goes_on_as_without_fault(folder, step, *, trainer_settings=None, **settings):
    """From ``last.ckpt``, which is of ``step``: the steps and weights of a run without a fault, bit for bit."""
    assert read_checkpoint(folder / "last.ckpt")["global_step"] == step
    whole, second = make(**settings), make(**settings)
    wanted, _ = run(whole, folder.parent / "whole", **trainer_settings or {})
    found, _ = run(second, folder, ckpt_path=folder / "last.ckpt", **trainer_settings or {})
    assert found.steps == [number for number in wanted.steps if number >= step]
    torch.testing.assert_close(weights(second), weights(whole), rtol=0, atol=0)


def told(capsys):
    return " ".join(capsys.readouterr().err.split())


def fail():
    raise KeyError("no such word")


def test_a_reward_that_raises_costs_no_step(tmp_path, capsys):
    """In the third step (number 2): step 2 is saved, the sentence has the reason, the place and how to go on."""
    with pytest.raises(RewardError, match="no such word"):
        run(make(Faulty(fail)), tmp_path / "run")
    said = told(capsys)
    for part in (
        "step after 2 failed with RewardError: the reward tests.faults.test_steps.Faulty raised KeyError",
        "test_steps.py:",
        "Stopped after step 2 and saved",
    ):
        assert part in said
    assert "--ckpt_path last" in said
    assert_goes_on_as_without_fault(tmp_path / "run", 2)


def test_memory_that_runs_out_in_the_loss_costs_no_step(tmp_path, capsys):
    def no_memory():
        raise torch.OutOfMemoryError("tried to allocate 2 GiB")

    with pytest.raises(torch.OutOfMemoryError):
        run(make(strategy=SFT()), tmp_path / "run", AtUpdate(no_memory, after=2))
    assert "OutOfMemoryError: tried to allocate 2 GiB" in told(capsys)
    assert_goes_on_as_without_fault(tmp_path / "run", 2, strategy=SFT())


@pytest.mark.parametrize("kind", [pytest.param(GeneratorExit, marks=pytest.mark.slow), SystemExit])
def test_what_ends_a_step_and_is_no_exception_costs_no_step(tmp_path, capsys, kind):
    """As ``sys.exit`` in a callback, or an error of a library that derives from ``BaseException``."""

    def leave():
        raise kind(3)

    with pytest.raises(kind):
        run(make(strategy=SFT()), tmp_path / "run", AtUpdate(leave, FAILS_AT))
    assert read_checkpoint(tmp_path / "run" / "last.ckpt")["global_step"] == FAILS_AT
    assert f"failed with {kind.__name__}" in told(capsys)


@pytest.mark.parametrize("step", [2, *(pytest.param(step, marks=pytest.mark.slow) for step in (1, 3, 4, 5))])
def test_errors_at_the_ends_of_epochs_cost_no_step(tmp_path, monkeypatch, step):
    """Epochs of two batches, with validation between them; each step of six fails once."""

    def two_batches(self):
        first = self.data.trainer.fit_loop.epoch_loop.batch_progress.total.ready
        return iter(make_batch(2, seed=number) for number in range(first, first - first % 2 + 2))

    monkeypatch.setattr(AddressedBatches, "__iter__", two_batches)
    settings = {"max_steps": 6, "limit_train_batches": 2, "limit_val_batches": 1}
    with pytest.raises(RewardError):
        run(make(Faulty(fail, step)), tmp_path / "run", **settings)
    assert_goes_on_as_without_fault(tmp_path / "run", step, trainer_settings=settings)


@pytest.mark.parametrize("after", [5, *(pytest.param(after, marks=pytest.mark.slow) for after in (3, 4))])
def test_an_error_between_the_updates_of_a_step_undoes_them(tmp_path, capsys, after):
    """Steps of three updates: after the first step, or one or two updates of the second, all end at update 3."""
    with pytest.raises(KeyError):
        run(make(updates=3), tmp_path / "run", AtUpdate(fail, after), max_steps=9)
    assert "The step after 3 failed with KeyError" in told(capsys)
    assert_goes_on_as_without_fault(tmp_path / "run", 3, trainer_settings={"max_steps": 9}, updates=3)


def test_updates_of_a_step_end_with_the_run(tmp_path):
    """A billion updates of the second rollout would be the same batch for days."""
    module = make(updates=3)
    _, trainer = run(module, tmp_path / "run", max_steps=4)
    assert trainer.global_step == 4


@pytest.mark.slow
def test_weights_too_large_to_keep_twice_leave_the_checkpoint_before(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(module_file, "MAX_KEPT_BYTES", 0)
    with pytest.raises(KeyError):
        run(make(updates=3), tmp_path / "run", AtUpdate(fail, after=5), max_steps=9)
    assert "too large to be kept twice" in told(capsys)
    assert_goes_on_as_without_fault(
        tmp_path / "run", 3, trainer_settings={"max_steps": 9}, updates=3
    )  # that of the first step


# -- signals -------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def signals_as_before():
    previous = {number: signal.getsignal(number) for number in (*STOP_SIGNALS, signal.SIGUSR1, signal.SIGINT)}
    yield
    for number, handler in previous.items():
        signal.signal(number, handler)


def hang(number):
    """The signal arrives, and nothing happens for a long time that Python could be interrupted in."""

    def fault():
        os.kill(os.getpid(), number)
        time.sleep(60)

    return fault


SIGNALS = [signal.SIGTERM, *(pytest.param(signal.Signals[f"SIG{name}"], marks=pytest.mark.slow) for name in OTHERS)]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_a_reward_hangs_goes_back_to_the_step_before(tmp_path, monkeypatch, capsys, number):
    signal.signal(number, signal.SIG_DFL)
    monkeypatch.setattr(interrupt, "FINISH_SECONDS", 0.3)
    started = time.monotonic()
    with pytest.raises(StoppedBySignal) as stop:
        run(make(Faulty(hang(number))), tmp_path / "run")
    assert stop.value.code == 128 + number
    assert time.monotonic() - started < 30
    assert "takes longer than 0.3 s" in told(capsys)
    assert_goes_on_as_without_fault(tmp_path / "run", 2)


def test_a_reward_that_catches_everything_is_interrupted_again(tmp_path, monkeypatch):
    monkeypatch.setattr(interrupt, "FINISH_SECONDS", 0.3)
    monkeypatch.setattr(interrupt, "INTERRUPT_SECONDS", 0.3)

    def stubborn():
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            time.sleep(60)
        except:  # noqa: E722
            time.sleep(60)

    with pytest.raises(StoppedBySignal):
        run(make(Faulty(stubborn)), tmp_path / "run")
    assert read_checkpoint(tmp_path / "run" / "last.ckpt")["global_step"] == 2


def search():
    os.kill(os.getpid(), signal.SIGTERM)
    re.match(r"(a+)+$", "a" * 60 + "b")


def keep():
    os.kill(os.getpid(), signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGALRM})
    time.sleep(60)


def run_faulty(name, folder):
    """What the process of :func:`exit_code` does: a run whose reward is one of the functions above."""
    interrupt.FINISH_SECONDS, interrupt.INTERRUPT_SECONDS = 0.3, 0.3
    run(make(Faulty({"search": search, "keep": keep}[name])), Path(folder))


def exit_code(name, folder):
    source = f"from tests.faults.test_steps import run_faulty\nrun_faulty({name!r}, {str(folder)!r})"
    return subprocess.run([sys.executable, "-c", source], cwd=PROJECT, timeout=120, capture_output=True).returncode


@pytest.mark.slow
def test_a_reward_whose_pattern_never_ends_is_interrupted(tmp_path):
    """Regular expressions keep Python's lock, so that no other thread runs, and look for signals."""
    assert exit_code("search", tmp_path / "run") == 128 + signal.SIGTERM
    assert_goes_on_as_without_fault(tmp_path / "run", 2)


@pytest.mark.slow
def test_a_library_that_keeps_the_main_thread_does_not_keep_the_state(tmp_path):
    """No Python runs in the main thread: another thread saves and ends the process, with the signal's code."""
    assert exit_code("keep", tmp_path / "run") == 128 + signal.SIGTERM
    assert_goes_on_as_without_fault(tmp_path / "run", 2)


def test_a_short_step_is_finished_after_a_signal(tmp_path):
    with pytest.raises(StoppedBySignal):
        run(make(Faulty(lambda: os.kill(os.getpid(), signal.SIGTERM))), tmp_path / "run")
    assert not [one for one in threading.enumerate() if one.name.endswith("(_give_up_step)")]
    assert_goes_on_as_without_fault(tmp_path / "run", 3)


def test_a_signal_keeps_its_code_where_the_disk_is_full(tmp_path, monkeypatch, capsys):
    def full(_held, path):
        msg = f"the checkpoint {path} cannot be written: No space left on device"
        raise CheckpointError(msg)

    monkeypatch.setattr(checkpoint_io, "write_checkpoint", full)
    with pytest.raises(StoppedBySignal) as stop:
        run(make(Faulty(lambda: os.kill(os.getpid(), signal.SIGTERM))), tmp_path / "run")
    assert stop.value.code == 143
    assert "could not be saved" in told(capsys)


@pytest.mark.parametrize("stage", ["validate", "test", "predict"])
def test_a_signal_ends_an_evaluation_with_its_code(tmp_path, stage):
    from tests.strategies.test_module import RandomPrompts, make_trainer

    class Signals(Callback):
        def on_validation_batch_start(self, *_, **__):
            os.kill(os.getpid(), signal.SIGTERM)

        on_test_batch_start = on_predict_batch_start = on_validation_batch_start

    trainer = make_trainer(tmp_path, callbacks=[InterruptCheckpoint(), Signals()], limit_val_batches=1)
    with pytest.raises(StoppedBySignal) as stop:
        getattr(trainer, stage)(ready_module(), RandomPrompts())
    assert stop.value.code == 143


@pytest.mark.parametrize("step", [0, FAILS_AT], ids=["sanity check", "validation"])
def test_a_signal_between_steps_ends_a_fit_at_once(tmp_path, step):
    """In the check of the validation before the first step there is nothing to save, later the newest step."""

    class Signals(Callback):
        def on_validation_batch_start(self, trainer, *_, **__):
            if trainer.global_step == step:
                sent.append(time.monotonic())
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(60)

    settings, sent = {"limit_val_batches": 1, "val_check_interval": FAILS_AT, "check_val_every_n_epoch": None}, []
    with pytest.raises(StoppedBySignal) as stop:
        run(make(strategy=SFT()), tmp_path / "run", Signals(), num_sanity_val_steps=1, **settings)
    assert stop.value.code == 143
    assert time.monotonic() - sent[0] < 20
    last = tmp_path / "run" / "last.ckpt"
    assert (read_checkpoint(last)["global_step"] if last.is_file() else 0) == step


# -- when a run is saved -------------------------------------------------------------------------------------------


class SavedSteps(RunCheckpoint):
    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.steps = []

    def _save_checkpoint(self, trainer, filepath):
        self.steps.append(trainer.global_step)
        super()._save_checkpoint(trainer, filepath)


def saved_steps(folder, max_steps, updates=1, ckpt_path=None, **settings):
    keeper = SavedSteps(dirpath=folder, **settings)
    strategy = GRPO() if updates > 1 else SFT()
    module = make(strategy=strategy, updates=updates)
    fit(module, folder, max_steps=max_steps, enable_checkpointing=True, callbacks=[keeper], ckpt_path=ckpt_path)
    return keeper.steps


def test_defaults_are_five_minutes_and_fifty_steps():
    keeper = RunCheckpoint()
    assert (keeper.max_seconds, keeper._every_n_train_steps, keeper.save_last) == (300, 50, True)


def test_the_first_step_is_saved_then_every_so_many(tmp_path):
    assert saved_steps(tmp_path, 7, every_n_train_steps=3) == [1, 3, 6]
    assert saved_steps(tmp_path, 10, every_n_train_steps=3, ckpt_path=tmp_path / "last.ckpt") == [9]


def test_steps_of_several_updates_pass_over_no_save(tmp_path):
    """Updates 3, 6, 9, 12 end a step: of the multiples of 5 the first ones after them are saved."""
    assert saved_steps(tmp_path, 12, updates=3, every_n_train_steps=5) == [3, 6, 12]


def test_time_counts_where_steps_are_long(tmp_path, monkeypatch):
    """A clock that goes on two minutes at each look: saved when five have passed."""
    from remot.callbacks import checkpoint

    ticks = iter(range(0, 10**6, 40))
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: next(ticks))
    steps = saved_steps(tmp_path, 20)
    assert steps[0] == 1
    assert 1 < len(steps) < 20
    assert saved_steps(tmp_path / "b", 2, every_n_train_steps=None, train_time_interval=timedelta(0)) == [1, 2]


def test_a_full_disk_ends_no_run_but_its_end(tmp_path, monkeypatch, capsys):
    """The second save fails, the third works: training goes on. If the last one fails, the run fails."""
    writes = []

    def full_at(*failing):
        def write(held, path):
            writes.append(held["global_step"])
            if held["global_step"] in failing:
                msg = f"the checkpoint {path} cannot be written: No space left on device"
                raise CheckpointError(msg)
            write_checkpoint(held, path)

        return write

    monkeypatch.setattr(checkpoint_io, "write_checkpoint", full_at(2))
    assert saved_steps(tmp_path / "a", 3, every_n_train_steps=1) == [1, 2, 3]
    said = told(capsys)
    assert "step 2:" in said
    assert "No space left" in said
    assert read_checkpoint(tmp_path / "a" / "last.ckpt")["global_step"] == 3
    monkeypatch.setattr(checkpoint_io, "write_checkpoint", full_at(3))
    with pytest.raises(CheckpointError, match="No space left"):
        saved_steps(tmp_path / "b", 3, every_n_train_steps=1)
    assert read_checkpoint(tmp_path / "b" / "last.ckpt")["global_step"] == 2
