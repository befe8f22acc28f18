"""The guard in a trainer on the CPU."""

import pytest

from remot.callbacks import VisionGuard
from remot.callbacks import vision_guard as guard_module
from remot.errors import ConfigError
from remot.strategies import SFT
from tests.evaluation.test_vision_use import accuracy
from tests.strategies.test_module import RandomPrompts, make_trainer, ready_module


def run(tmp_path, monkeypatch, guard, found=None, max_steps=4):
    """Steps at which the guard measured, and the trainer."""
    steps = []
    trainer = make_trainer(tmp_path, max_steps=max_steps, callbacks=[guard])
    real = guard_module.measure_vision_use

    def measure(*arguments):
        steps.append(trainer.global_step)
        return real(*arguments) if found is None else found

    monkeypatch.setattr(guard_module, "measure_vision_use", measure)
    trainer.fit(ready_module(SFT()), RandomPrompts())
    return sorted(set(steps)), trainer


def test_it_measures_every_so_many_steps(tmp_path, monkeypatch):
    assert run(tmp_path, monkeypatch, VisionGuard(every_n_steps=2))[0] == [2, 4]


def test_it_is_off_by_default(tmp_path, monkeypatch):
    assert run(tmp_path, monkeypatch, VisionGuard())[0] == []


def test_a_blind_policy_is_reported(tmp_path, monkeypatch, capsys):
    steps, trainer = run(tmp_path, monkeypatch, VisionGuard(every_n_steps=2), accuracy(0.9, 0.9, 0.9))
    assert steps == [2, 4]
    assert trainer.global_step == 4
    said = capsys.readouterr().err
    assert "step 2: 90% of the letters are right (chance 33%), and 90% with blank frames" in said


def test_a_blind_policy_stops(tmp_path, monkeypatch, capsys):
    _, trainer = run(tmp_path, monkeypatch, VisionGuard(every_n_steps=2, on_blind="stop"), accuracy(0.9, 0.9, 0.9))
    assert trainer.global_step == 2
    assert "training ends" in capsys.readouterr().err


def test_a_seeing_policy_is_left_alone(tmp_path, monkeypatch, capsys):
    run(tmp_path, monkeypatch, VisionGuard(every_n_steps=2, on_blind="stop"), accuracy(0.9, 0.3, 0.3))
    assert "blank" not in capsys.readouterr().err


def test_it_needs_validation_prompts(tmp_path, monkeypatch):
    monkeypatch.setattr(RandomPrompts, "val_dataloader", lambda _: [], raising=False)
    with pytest.raises(ConfigError, match="num_val_prompts"):
        run(tmp_path, monkeypatch, VisionGuard(every_n_steps=2))


@pytest.mark.parametrize("settings", [{"every_n_steps": -1}, {"num_prompts": 1}])
def test_settings_have_ranges(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        VisionGuard(**settings)
