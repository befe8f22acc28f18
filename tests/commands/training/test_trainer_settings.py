"""Lightning's own switches, one by one: each is in the table, and works or is refused in a sentence that names it."""

import inspect
from functools import partial

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch import callbacks as lightning_callbacks
from lightning.pytorch.callbacks import EarlyStopping, LearningRateMonitor, ModelSummary, RichModelSummary, Timer

from remot.callbacks import RunSummary
from remot.cli import main
from remot.commands.training.trainer_settings import (
    ARGUMENTS,
    CALLBACKS,
    require_arguments,
    require_callbacks,
    require_scheduler,
    tables,
)
from remot.errors import ConfigError
from remot.strategies import SFT
from tests.helpers import PROJECT
from tests.strategies.test_module import fit, ready_module

ROOT = PROJECT
QUICKSTART = str(ROOT / "configs" / "quickstart.yaml")
#: A value that is refused, for each argument that refuses any.
REFUSED = {
    "precision": "16-true",
    "overfit_batches": 1,
    "accumulate_grad_batches": 2,
    "gradient_clip_val": 0.5,
    "gradient_clip_algorithm": "value",
    "use_distributed_sampler": True,
    "barebones": True,
    "model_registry": "mine",
}


def signature():
    return {name: p.default for name, p in inspect.signature(Trainer.__init__).parameters.items() if name != "self"}


def test_the_tables_hold_what_lightning_has():
    """A new argument or callback of Lightning's fails here until the tables say what it does."""
    assert list(ARGUMENTS) == list(signature())
    assert sorted(CALLBACKS) == sorted(lightning_callbacks.__all__)
    assert tables() in (ROOT / "docs" / "trainer.md").read_text()


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments(name):
    """The default is accepted, but for the distributed sampler, which the command line turns off."""
    if name != "use_distributed_sampler":
        require_arguments({name: signature()[name]})
    refuses = not all(ARGUMENTS[name].accepts(value) for value in (0.25, "16-true", True, "mine", 2))
    assert refuses == (name in REFUSED)
    if refuses:
        with pytest.raises(ConfigError, match=rf"trainer\.{name} .*{REFUSED[name]}"):
            require_arguments({name: REFUSED[name]})


@pytest.mark.parametrize("name", CALLBACKS)
def test_callbacks(name):
    """A class derived from one that is refused is refused as well."""
    path = f"lightning.pytorch.callbacks.{name}"
    if CALLBACKS[name].works:
        require_callbacks([path])
    else:
        with pytest.raises(ConfigError, match=name):
            require_callbacks([path])


class OwnBar(lightning_callbacks.TQDMProgressBar):
    pass


class OwnTimer(Timer):
    pass


def test_derived_callbacks():
    require_callbacks([f"{__name__}.OwnTimer", "remot.callbacks.RunSummary"])
    with pytest.raises(ConfigError, match="OwnBar"):
        require_callbacks([f"{__name__}.OwnBar"])


@pytest.mark.parametrize("path", ["torch.optim.lr_scheduler", "lightning.pytorch.cli"])
def test_schedules_that_need_a_metric(path):
    require_scheduler("torch.optim.lr_scheduler.StepLR")
    with pytest.raises(ConfigError, match=r"model\.scheduler: ReduceLROnPlateau"):
        require_scheduler(f"{path}.ReduceLROnPlateau")


def test_a_schedule_of_a_users_own_code():
    module = ready_module(SFT(), scheduler=torch.optim.lr_scheduler.ReduceLROnPlateau)
    with pytest.raises(ConfigError, match="ReduceLROnPlateau"):
        module.configure_optimizers()


def test_half_weights_in_a_users_own_code(tmp_path):
    with pytest.raises(ConfigError, match="16-true"):
        fit(ready_module(SFT()), tmp_path, precision="16-true")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--trainer.overfit_batches", "1"], "overfit_batches"),
        (["--trainer.precision", "16-true"], "16-true"),
        (["--trainer.barebones", "true"], "barebones"),
        (["--trainer.callbacks", "StochasticWeightAveraging", "--trainer.callbacks.swa_lrs", "0.1"], "Stochastic"),
        (["--model.scheduler", "torch.optim.lr_scheduler.ReduceLROnPlateau"], "ReduceLROnPlateau"),
    ],
)
def test_refused_by_the_command_line(words, named, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", QUICKSTART, *words])
    assert stop.value.code == 2
    assert named in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_callbacks_of_lightning_that_work(tmp_path, capsys):
    """Two steps with all of them at once; EarlyStopping says why it stopped."""
    stops = EarlyStopping("train/loss", patience=1, check_on_train_epoch_end=True, min_delta=1e9)
    callbacks = [stops, LearningRateMonitor(), ModelSummary(), Timer("00:01:00:00"), RunSummary(export=False)]
    _, trainer = fit(ready_module(SFT()), tmp_path, max_steps=20, limit_train_batches=1, callbacks=callbacks)
    assert trainer.global_step == 2
    assert "EarlyStopping ended training at step 2: Monitored metric train/loss" in capsys.readouterr().out
    fit(ready_module(SFT()), tmp_path, max_steps=1, callbacks=[RichModelSummary()])


def test_switches_that_leave_callbacks_out(monkeypatch, tmp_path):
    """Without checkpoints and without a bar; nothing but the trainer is made."""
    from lightning.pytorch.callbacks import ModelCheckpoint, ProgressBar

    from remot.commands.training.cli import RemotCLI

    made = partial(RemotCLI._instantiate_trainer, RemotCLI.__new__(RemotCLI))
    monkeypatch.setattr(RemotCLI, "trainer_defaults", {}, raising=False)
    monkeypatch.setattr(RemotCLI, "save_config_callback", None, raising=False)
    monkeypatch.setattr(RemotCLI, "trainer_class", Trainer, raising=False)
    from remot.callbacks import PhaseProgressBar

    for off, kind in (("enable_checkpointing", ModelCheckpoint), ("enable_progress_bar", ProgressBar)):
        config = {"callbacks": None, "logger": False, "accelerator": "cpu", "default_root_dir": tmp_path, off: False}
        trainer = made(config, [PhaseProgressBar(), ModelCheckpoint(tmp_path / "run")])
        assert not any(isinstance(callback, kind) for callback in trainer.callbacks)
        assert len(trainer.callbacks) >= 1
