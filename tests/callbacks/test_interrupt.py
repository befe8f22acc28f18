import gc
import os
import signal
import time
import weakref
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.demos.boring_classes import BoringModel

from remot.callbacks import InterruptCheckpoint, PhaseProgressBar, RunSummary, StoppedBySignal
from remot.callbacks.interrupt import BATCH_SIGNALS, STOP_SIGNALS

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(autouse=True)
def restored_sigint():
    """Lightning ignores SIGINT after an interrupt and leaves it so; shells do for what runs in the background."""
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, *STOP_SIGNALS, *BATCH_SIGNALS)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in previous.items():
        signal.signal(number, handler)


class Interrupted(BoringModel):
    """Presses Ctrl-C in the middle of chosen steps, between backward and the optimiser's step."""

    def __init__(self, at_step, presses=1, number=signal.SIGINT):
        super().__init__()
        self.automatic_optimization = False
        self.at_step, self.presses, self.batches, self.number = at_step, presses, [], number

    def training_step(self, batch, batch_idx):
        optimizer = self.optimizers()
        optimizer.zero_grad()
        self.manual_backward(self.step(batch))
        if self.global_step == self.at_step:
            for _ in range(self.presses):
                os.kill(os.getpid(), self.number)
        optimizer.step()
        self.batches.append(batch_idx)


def trainer_in(folder, *callbacks, **arguments):
    return Trainer(
        max_steps=8,
        limit_val_batches=0,
        logger=False,
        callbacks=list(callbacks),
        enable_model_summary=False,
        enable_progress_bar=any(isinstance(one, PhaseProgressBar) for one in callbacks),
        accelerator="cpu",
        default_root_dir=folder,
        **arguments,
    )


def fit_until_interrupted(model, trainer, **arguments):
    with pytest.raises(SystemExit) as stop:
        trainer.fit(model, **arguments)
    assert stop.value.code == 1


def fit_until_stopped(model, trainer, number):
    with pytest.raises(StoppedBySignal) as stop:
        trainer.fit(model)
    assert stop.value.code == 128 + number


def saver(folder):
    return ModelCheckpoint(dirpath=folder, save_last=True, save_top_k=0, every_n_train_steps=100)


def test_step_is_finished_then_saved(tmp_path, capsys):
    """Ctrl-C within the fourth step (number 3): its update is in the checkpoint."""
    model, folder = Interrupted(at_step=3), tmp_path / "kept"
    fit_until_interrupted(model, trainer_in(tmp_path, saver(folder), InterruptCheckpoint()))
    saved = torch.load(folder / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 4
    assert torch.equal(saved["state_dict"]["layer.weight"], model.layer.weight)
    err = " ".join(capsys.readouterr().err.split())
    assert "Stopping when this step is done" in err
    assert f"Stopped after step 4 and saved {folder}/last.ckpt; to continue:" in err
    assert "remot fit --config … --ckpt_path last" in err


def test_continued_run_equals_one_in_one_go(tmp_path):
    """Eight steps with and without an interruption end in the same weights, and no step is done twice."""

    def fresh(at_step):
        torch.manual_seed(0)
        return Interrupted(at_step)

    data = torch.utils.data.DataLoader(
        torch.randn(8, 1, 32, generator=torch.Generator().manual_seed(1)), batch_size=None
    )
    whole = fresh(-1)
    trainer_in(tmp_path / "a", enable_checkpointing=False).fit(whole, data)
    first, second = fresh(3), fresh(-1)
    fit_until_interrupted(
        first, trainer_in(tmp_path / "b", saver(tmp_path / "c"), InterruptCheckpoint()), train_dataloaders=data
    )
    trainer_in(tmp_path / "b", saver(tmp_path / "c")).fit(second, data, ckpt_path="last")
    assert len(first.batches) + len(second.batches) == 8
    assert [path.name for path in (tmp_path / "c").iterdir()] == ["last.ckpt"]
    assert second.global_step == whole.global_step == 8


def test_second_press_does_not_wait(tmp_path):
    """Two presses within the fourth step: its update never happens."""
    model = Interrupted(at_step=3, presses=2)
    fit_until_interrupted(model, trainer_in(tmp_path, saver(tmp_path), InterruptCheckpoint()))
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 3


STOPS = [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGXCPU, signal.SIGUSR1]


@pytest.mark.parametrize("number", STOPS, ids=lambda number: number.name)
def test_signals_that_end_a_process_finish_the_step_and_save(tmp_path, capsys, number):
    """Within the fourth step (number 3): its update is in the checkpoint, and shells see the signal."""
    model = Interrupted(at_step=3, number=number)
    before = signal.signal(number, signal.SIG_DFL)  # `nohup` and `&` leave some of them ignored
    try:
        fit_until_stopped(model, trainer_in(tmp_path, saver(tmp_path / "kept"), InterruptCheckpoint()), number)
    finally:
        signal.signal(number, before)
    saved = torch.load(tmp_path / "kept" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 4
    assert torch.equal(saved["state_dict"]["layer.weight"], model.layer.weight)
    err = " ".join(capsys.readouterr().err.split())
    assert f"as {number.name} asks" in err
    assert f"Stopped after step 4 and saved {tmp_path / 'kept' / 'last.ckpt'}" in err


def test_a_repeated_signal_changes_nothing(tmp_path):
    """Launchers send it to a group of processes and to each of them."""
    model = Interrupted(at_step=3, presses=2, number=signal.SIGTERM)
    fit_until_stopped(model, trainer_in(tmp_path, saver(tmp_path), InterruptCheckpoint()), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)  # while loggers are closed
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 4


def test_signals_outside_of_steps_take_effect_at_once(tmp_path, capsys):
    """Such as in the evaluation of the base model, before lightning has handlers of its own."""

    class Before(Callback):
        def on_fit_start(self, *_):
            os.kill(os.getpid(), signal.SIGTERM)
            raise AssertionError

    trainer = trainer_in(tmp_path, saver(tmp_path / "kept"), InterruptCheckpoint(), Before())
    fit_until_stopped(Interrupted(at_step=-1), trainer, signal.SIGTERM)
    assert "nothing to continue from" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "kept").exists()


def collect_while_a_signal_comes():
    """What a handler raises while Python calls back for a weak reference is printed and dropped."""

    class Collected: ...

    weakref.finalize(Collected(), os.kill, os.getpid(), signal.SIGTERM)
    gc.collect()


def swallow_all_while_a_signal_comes():
    with suppress(BaseException):
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("lose", [collect_while_a_signal_comes, swallow_all_while_a_signal_comes])
def test_a_signal_whose_exception_is_lost_takes_effect_later(tmp_path, monkeypatch, capsys, lose):
    monkeypatch.setattr("remot.callbacks.interrupt.INTERRUPT_SECONDS", 0.1)

    class Before(Callback):
        def on_fit_start(self, *_):
            lose()
            time.sleep(30)
            raise AssertionError

    trainer = trainer_in(tmp_path, saver(tmp_path / "kept"), InterruptCheckpoint(), Before())
    fit_until_stopped(Interrupted(at_step=-1), trainer, signal.SIGTERM)
    lines = " ".join(capsys.readouterr().err.split())
    assert "nothing to continue from" in lines
    assert "takes longer" not in lines


class SignalledWhileSaving(Callback):
    """Gets SIGTERM when the last step is done, and is there for what comes after it."""

    def __init__(self):
        self.seen = []

    def on_save_checkpoint(self, trainer, *_):
        self.seen.append(trainer.global_step)
        if len(self.seen) == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    def on_fit_end(self, *_):
        self.seen.append("end")


@pytest.mark.parametrize(("world_size", "seen"), [(1, [8, 8]), (2, [8, "end"])])
def test_a_signal_in_the_final_save_ends_with_its_code(tmp_path, monkeypatch, capsys, world_size, seen):
    """One process stops and saves again; several, of which each might be elsewhere, finish what is left before."""
    monkeypatch.setattr(Trainer, "world_size", world_size)
    callback = SignalledWhileSaving()
    trainer = trainer_in(tmp_path, saver(tmp_path / "kept"), InterruptCheckpoint(), callback)
    fit_until_stopped(Interrupted(at_step=-1), trainer, signal.SIGTERM)
    assert callback.seen == seen
    assert torch.load(tmp_path / "kept" / "last.ckpt", weights_only=True)["global_step"] == 8
    lines = " ".join(capsys.readouterr().err.split())
    assert ("Finished what was left when SIGTERM came" in lines) == (world_size == 2)
    assert ("to continue" in lines) == (world_size == 1)


def test_a_signal_that_is_lost_until_the_end_gives_its_code(tmp_path, capsys):
    """What was raised was caught by a library, and the run ended before it was raised again."""

    class AtEnd(Callback):
        def on_fit_end(self, *_):
            swallow_all_while_a_signal_comes()

    trainer = trainer_in(tmp_path, saver(tmp_path / "kept"), InterruptCheckpoint(), AtEnd())
    fit_until_stopped(Interrupted(at_step=-1), trainer, signal.SIGTERM)
    assert "Finished what was left when SIGTERM came" in " ".join(capsys.readouterr().err.split())


def test_ignored_signals_stay_ignored(tmp_path):
    """As SIGHUP is under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    trainer = trainer_in(tmp_path, saver(tmp_path), InterruptCheckpoint())
    trainer.fit(Interrupted(at_step=3, number=signal.SIGHUP))
    assert trainer.global_step == 8
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_signals_are_given_back(tmp_path):
    before = [signal.getsignal(number) for number in STOPS]
    trainer_in(tmp_path, saver(tmp_path), InterruptCheckpoint()).fit(Interrupted(at_step=-1))
    assert [signal.getsignal(number) for number in STOPS] == before


def test_the_signal_of_a_batch_system_waits_for_the_end_of_the_step(tmp_path):
    """What lightning does on SLURM's warning, to save, happens between steps 3 and 4 and not within step 3."""
    trainer = trainer_in(tmp_path, saver(tmp_path), InterruptCheckpoint())
    done, within = [], []

    def save(number, _frame):
        done.append((number, trainer.global_step, tuple(within)))

    class Told(Interrupted):
        def training_step(self, batch, batch_idx):
            within.append(batch_idx)
            if self.global_step == 3:
                os.kill(os.getpid(), signal.SIGUSR1)
            super().training_step(batch, batch_idx)
            within.clear()

    previous = signal.signal(signal.SIGUSR1, save)
    try:
        model = Told(at_step=-1)
        trainer.fit(model)
        assert done == [(signal.SIGUSR1, 4, ())]
        assert signal.getsignal(signal.SIGUSR1) is save
        os.kill(os.getpid(), signal.SIGUSR1)
        assert len(done) == 2
    finally:
        signal.signal(signal.SIGUSR1, previous)


def test_without_model_checkpoint_the_path_is_spelt_out(tmp_path, capsys):
    trainer = trainer_in(tmp_path, InterruptCheckpoint(), enable_checkpointing=False)
    fit_until_interrupted(Interrupted(at_step=0), trainer)
    path = tmp_path / "checkpoints" / "last.ckpt"
    assert path.is_file()
    assert f"--ckpt_path {path}" in " ".join(capsys.readouterr().err.split())


def test_immediate_mode_stops_within_the_step(tmp_path):
    trainer = trainer_in(tmp_path, saver(tmp_path), InterruptCheckpoint(finish_step=False))
    fit_until_interrupted(Interrupted(at_step=3), trainer)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 3


def test_nothing_is_saved_before_the_first_step(tmp_path, capsys):
    fit_until_interrupted(
        Interrupted(at_step=0, presses=2), trainer_in(tmp_path, saver(tmp_path), InterruptCheckpoint())
    )
    assert list(tmp_path.iterdir()) == []
    assert "nothing to continue from" in " ".join(capsys.readouterr().err.split())


def test_sentence_goes_through_the_bar(tmp_path, capsys):
    trainer = trainer_in(tmp_path, saver(tmp_path), InterruptCheckpoint(), PhaseProgressBar())
    fit_until_interrupted(Interrupted(at_step=1), trainer)
    assert "Stopped after step 2" in capsys.readouterr().err


def test_handler_is_given_back(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    trainer_in(tmp_path, InterruptCheckpoint(), enable_checkpointing=False).fit(Interrupted(at_step=-1))
    assert signal.getsignal(signal.SIGINT) is before


class Failing(Interrupted):
    """Raises in a step with the number ``at_step``, before or after its update."""

    def __init__(self, at_step, where):
        super().__init__(-1)
        self.fails_at, self.where = at_step, where

    def training_step(self, batch, batch_idx):
        if self.where == "before" and self.global_step == self.fails_at:
            raise ValueError(self.where)
        super().training_step(batch, batch_idx)
        if self.where == "within" and self.global_step == self.fails_at + 1:
            raise ValueError(self.where)

    def on_train_batch_end(self, *_):
        if self.where == "after" and self.global_step == self.fails_at + 1:
            raise ValueError(self.where)


@pytest.mark.parametrize(("where", "saved_step"), [("before", 3), ("after", 4), ("within", None)])
def test_an_error_keeps_the_last_whole_step(tmp_path, capsys, where, saved_step):
    """Step number 3 fails: before or after its update the weights are those of a whole step."""
    model, folder = Failing(3, where), tmp_path / "kept"
    with pytest.raises(ValueError, match=where):
        trainer_in(tmp_path, saver(folder), InterruptCheckpoint()).fit(model)
    assert (folder / "last.ckpt").exists() == (saved_step is not None)
    if saved_step is not None:
        saved = torch.load(folder / "last.ckpt", weights_only=True)
        assert saved["global_step"] == saved_step
        assert torch.equal(saved["state_dict"]["layer.weight"], model.layer.weight)
        assert f"after step {saved_step} and saved {folder}/last.ckpt" in " ".join(capsys.readouterr().err.split())
        continued = Interrupted(-1)
        trainer_in(tmp_path, saver(folder)).fit(continued, ckpt_path=folder / "last.ckpt")
        assert continued.batches == list(range(saved_step, 8))


def test_an_error_before_the_first_step_of_a_continued_run_saves_nothing(tmp_path):
    folder = tmp_path / "kept"
    with pytest.raises(ValueError, match="before"):
        trainer_in(tmp_path, saver(folder), InterruptCheckpoint()).fit(Failing(3, "before"))
    before = (folder / "last.ckpt").read_bytes()

    class Early(Interrupted):
        def on_train_start(self):
            raise ValueError("early")

    with pytest.raises(ValueError, match="early"):
        trainer_in(tmp_path, saver(folder), InterruptCheckpoint()).fit(Early(-1), ckpt_path=folder / "last.ckpt")
    assert (folder / "last.ckpt").read_bytes() == before


def test_handler_is_given_back_after_an_error(tmp_path):
    class Failing(Interrupted):
        def training_step(self, *_):
            raise RuntimeError("no luck")

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(RuntimeError, match="no luck"):
        trainer_in(tmp_path, InterruptCheckpoint(), enable_checkpointing=False).fit(Failing(at_step=-1))
    assert signal.getsignal(signal.SIGINT) is before
    assert not list(Path(tmp_path).glob("**/*.ckpt"))


class Whole(Interrupted):
    """Is never interrupted."""

    def __init__(self):
        super().__init__(at_step=-1)


@pytest.mark.parametrize(("every", "saved_first"), [(3, True), (4, True), (100, False)])
def test_the_last_checkpoint_is_of_the_last_step(tmp_path, every, saved_first):
    """Saved at steps 3 and 6, 4 and 8, or never before the end: it holds step 8 each time."""
    model, folder, seen = Whole(), tmp_path / "kept", []
    keeper = ModelCheckpoint(dirpath=folder, save_last=True, save_top_k=0, every_n_train_steps=every)
    trainer = trainer_in(tmp_path, keeper, RunSummary(export=False))
    trainer.callbacks[0].on_fit_start = lambda *_: None  # asks for a policy
    save = trainer.save_checkpoint
    trainer.save_checkpoint = lambda *a, **k: (seen.append(trainer.global_step), save(*a, **k))[1]
    trainer.fit(model)
    saved = torch.load(folder / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 8
    assert torch.equal(saved["state_dict"]["layer.weight"], model.layer.weight)
    assert [path.name for path in folder.iterdir()] == ["last.ckpt"]
    assert (seen[:-1] != []) == saved_first
    assert len(seen) == len(set(seen)), "saved twice at one step"


def test_nothing_is_saved_where_no_last_checkpoint_is_wanted(tmp_path):
    keeper = ModelCheckpoint(dirpath=tmp_path / "kept", save_last=False, save_top_k=-1, every_n_train_steps=3)
    trainer = trainer_in(tmp_path, keeper, RunSummary(export=False))
    trainer.callbacks[0].on_fit_start = lambda *_: None
    trainer.fit(Whole())
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == ["epoch=0-step=3.ckpt", "epoch=0-step=6.ckpt"]
