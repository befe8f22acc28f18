"""States of checkpoints and stopping rules, given to callbacks with other settings."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn

from remot.callbacks import ResumedCallbacks, RunCheckpoint
from remot.strategies import SFT
from tests.helpers import assert_close
from tests.strategies.test_module import ready_module


@pytest.fixture
def told(monkeypatch):
    lines = []
    monkeypatch.setattr("remot.callbacks.resumed.print_line", lambda _, line: lines.append(line))
    return lines


def checkpoint(save_top_k=1, every_n_train_steps=None, mode="max", monitor="val/overall"):
    return ModelCheckpoint(
        dirpath="kept", monitor=monitor, mode=mode, save_top_k=save_top_k, every_n_train_steps=every_n_train_steps
    )


def with_scores(callback, **scores):
    """The state of a callback that has kept files with these scores, as a checkpoint holds it."""
    callback.best_k_models = {name: torch.tensor(score) for name, score in scores.items()}
    best = (max if callback.mode == "max" else min)(scores, key=scores.get)
    callback.best_model_path, callback.best_model_score = best, callback.best_k_models[best]
    return {callback.state_key: callback.state_dict()}


def loaded(callback, states, *others, fn=TrainerFn.FITTING):
    """What Lightning does with a checkpoint's states."""
    trainer = SimpleNamespace(state=SimpleNamespace(fn=fn), callbacks=[callback, *others])
    ResumedCallbacks().on_load_checkpoint(trainer, ready_module(SFT()), {"callbacks": states})
    if callback.state_key in states:
        callback.load_state_dict(states[callback.state_key])
    return callback


def test_another_interval_keeps_the_state(told):
    states = with_scores(checkpoint(), a=0.5)
    found = loaded(checkpoint(every_n_train_steps=5), states, RunCheckpoint(dirpath="kept"))
    assert list(found.best_k_models) == ["a"]
    assert_close(found.best_model_score, torch.tensor(0.5))
    assert told == []


@pytest.mark.parametrize(("mode", "kept", "worst"), [("max", {"b", "c"}, "b"), ("min", {"a", "b"}, "b")])
def test_fewer_files_are_the_best_ones(told, mode, kept, worst):
    """Lightning would keep one more with each better score, as it removes one only where their number is the limit."""
    states = with_scores(checkpoint(3, mode=mode), a=0.25, b=0.5, c=0.75)
    found = loaded(checkpoint(2, mode=mode), states)
    assert set(found.best_k_models) == kept
    assert found.kth_best_model_path == worst
    assert_close(found.kth_value, torch.tensor(0.5))
    (line,) = told
    folder = Path("kept").absolute()
    assert line.startswith("trainer.callbacks: ModelCheckpoint keeps 2 from now on; ")
    assert line.endswith(f"; 1 of the files that it has kept in {folder} stay until you remove them")


def test_more_files_change_nothing(told):
    states = with_scores(checkpoint(1), a=0.5)
    assert list(loaded(checkpoint(3), states).best_k_models) == ["a"]
    assert told == []


@pytest.mark.parametrize("changed", [{"monitor": "val/partial"}, {"mode": "min"}])
def test_another_monitor_begins_anew_with_a_line(told, changed):
    found = loaded(checkpoint(**changed), with_scores(checkpoint(), a=0.5))
    assert found.best_k_models == {}
    (line,) = told
    assert f"ModelCheckpoint with the monitor {found.monitor!r} begins anew" in line


def test_a_callback_that_is_new_says_nothing(told):
    """Its state is not missing: that of the other one belongs to the other one."""
    other = checkpoint()
    loaded(checkpoint(monitor="val/partial"), with_scores(checkpoint(), a=0.5), other)
    loaded(EarlyStopping("val/overall"), with_scores(checkpoint(), a=0.5), other)
    assert told == []


def test_patience_is_the_one_of_now(told):
    before = EarlyStopping("val/overall", patience=3)
    before.wait_count = 2
    found = loaded(EarlyStopping("val/overall", patience=9), {before.state_key: before.state_dict()})
    assert (found.patience, found.wait_count) == (9, 2)
    assert told == []


def test_an_evaluation_changes_nothing(told):
    states = with_scores(checkpoint(), a=0.5)
    found = loaded(checkpoint(every_n_train_steps=5), states, fn=TrainerFn.VALIDATING)
    assert (found.best_k_models, told) == ({}, [])
