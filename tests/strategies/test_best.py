"""The best checkpoint by a validation score, and a run that ends when it rises no more, by Lightning's callbacks."""

import json
from pathlib import Path

import lightning
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from safetensors.torch import load_file

from remot.callbacks import BestPolicy, RunCheckpoint, RunSummary
from remot.errors import ConfigError
from remot.strategies import SFT
from tests.strategies.test_module import fit, ready_module

SCORES = (0.2, 0.5, 0.4, 0.3)  # after four steps: the second is the best, and two without a rise are enough


class Scored:
    """A run whose validation scores are given, and the first trained weight at each."""

    def __init__(self, folder, monkeypatch, callbacks=()):
        self.module, self.weights = ready_module(SFT()), []
        self.scores = iter((*SCORES, 0.9))
        monkeypatch.setattr(self.module, "on_validation_epoch_end", self._score)
        self.best = ModelCheckpoint(
            folder, monitor="val/overall", mode="max", save_top_k=1, filename="best", save_on_train_epoch_end=False
        )
        stops = EarlyStopping("val/overall", mode="max", patience=2, check_on_train_epoch_end=False)
        self.callbacks = [self.best, stops, *callbacks]
        self.settings = {
            "limit_val_batches": 1,
            "val_check_interval": 1,
            "max_steps": 5,
            "min_epochs": 0,
            "enable_checkpointing": True,
        }

    def _score(self):
        self.weights.append(next(p.detach().clone() for p in self.module.policy.trainable_parameters()))
        self.module.log("val/overall", next(self.scores), batch_size=1)

    def fit(self, folder):
        return fit(self.module, folder, callbacks=self.callbacks, **self.settings)[1]


def first_of(held, module):
    first = next(name for name, p in module.policy.named_parameters() if p.requires_grad)
    return next(tensor for name, tensor in held["state_dict"].items() if name.endswith(first))


def test_the_best_step_is_kept_and_the_run_ends(tmp_path, monkeypatch):
    run = Scored(tmp_path, monkeypatch)
    trainer = run.fit(tmp_path)
    assert trainer.global_step == 4
    assert run.best.best_model_score.item() == torch.tensor(0.5).item()
    held = torch.load(run.best.best_model_path, weights_only=True)
    assert held["global_step"] == 2
    assert torch.equal(first_of(held, run.module), run.weights[1])
    assert not torch.equal(run.weights[1], run.weights[3])


def test_the_best_step_is_exported_and_the_last_one_continued(tmp_path, monkeypatch, capsys):
    last = RunCheckpoint(dirpath=tmp_path)
    run = Scored(tmp_path, monkeypatch, [BestPolicy(), RunSummary(), last])
    run.fit(tmp_path)
    assert f"the best val/overall is 0.5, of step 2: evaluating and exporting its weights, {tmp_path}" in (
        " ".join(capsys.readouterr().err.split())
    )
    assert run.module.held_step == 2
    assert torch.equal(next(iter(run.module.policy.trainable_parameters())), run.weights[1])
    exported = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert any(
        tensor.shape == run.weights[1].shape and torch.equal(tensor, run.weights[1]) for tensor in exported.values()
    )
    assert json.loads((tmp_path / "adapter" / "remot.json").read_text())["step"] == 2
    held = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert held["global_step"] == 4
    assert torch.equal(first_of(held, run.module), run.weights[3])


class Interrupted(lightning.Callback):
    """Ctrl-C while the best policy is evaluated."""

    def on_fit_end(self, *_):
        raise KeyboardInterrupt


def test_what_is_left_by_an_interruption_is_the_last_step(tmp_path, monkeypatch):
    run = Scored(tmp_path, monkeypatch, [BestPolicy(), Interrupted()])
    with pytest.raises(SystemExit):
        run.fit(tmp_path)
    assert run.module.held_step == 4
    assert torch.equal(next(iter(run.module.policy.trainable_parameters())), run.weights[3])


def test_a_best_checkpoint_that_is_gone_leaves_the_last_step(tmp_path, monkeypatch, capsys):
    class Removed(lightning.Callback):
        def on_train_end(self, *_):
            Path(run.best.best_model_path).write_bytes(b"")

    run = Scored(tmp_path, monkeypatch, [Removed(), BestPolicy(), RunSummary(), RunCheckpoint(dirpath=tmp_path)])
    run.fit(tmp_path)
    assert "exporting the weights of the last step" in " ".join(capsys.readouterr().err.split())
    assert run.module.held_step == 4
    assert json.loads((tmp_path / "adapter" / "remot.json").read_text())["step"] == 4


@pytest.mark.parametrize("others", [[], [{"monitor": "val/overall", "save_top_k": 0}], [{"save_top_k": -1}]])
def test_nothing_to_choose_the_best_by(tmp_path, others):
    callbacks = [BestPolicy(), *(ModelCheckpoint(tmp_path, **settings) for settings in others)]
    with pytest.raises(ConfigError, match="there are 0 such"):
        fit(ready_module(SFT()), tmp_path, callbacks=callbacks, enable_checkpointing=bool(others))


@pytest.mark.filterwarnings("ignore:Using ModelCheckpoint with manual optimization")
def test_the_last_step_is_in_its_own_file_whatever_others_have_saved(tmp_path, capsys):
    others = ModelCheckpoint(tmp_path / "others", every_n_train_steps=1, save_top_k=-1)
    callbacks = [RunSummary(export=False), RunCheckpoint(dirpath=tmp_path), others]
    fit(ready_module(SFT()), tmp_path, callbacks=callbacks, max_steps=3, enable_checkpointing=True)
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 3
    assert f"checkpoint  {tmp_path / 'last.ckpt'}" in capsys.readouterr().out.splitlines()
