"""The best checkpoint by a validation score, and a run that ends when it rises no more, by Lightning's callbacks."""

import torch
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from remot.strategies import SFT
from tests.strategies.test_module import fit, ready_module


def test_the_best_step_is_kept_and_the_run_ends(tmp_path, monkeypatch):
    """Scores 0.2, 0.5, 0.4, 0.3 after four steps: the second is the best, and two without a rise are enough."""
    module = ready_module(SFT())
    scores = iter((0.2, 0.5, 0.4, 0.3, 0.9))
    weights = []

    def scored(*_):
        weights.append(next(p.detach().clone() for p in module.policy.trainable_parameters()))
        module.log("val/overall", next(scores), batch_size=1)

    monkeypatch.setattr(module, "on_validation_epoch_end", scored)
    best = ModelCheckpoint(
        tmp_path, monitor="val/overall", mode="max", save_top_k=1, filename="best", save_on_train_epoch_end=False
    )
    stops = EarlyStopping("val/overall", mode="max", patience=2, check_on_train_epoch_end=False)
    settings = {
        "limit_val_batches": 1,
        "val_check_interval": 1,
        "max_steps": 5,
        "min_epochs": 0,
        "enable_checkpointing": True,
    }
    _, trainer = fit(module, tmp_path, callbacks=[best, stops], **settings)
    assert trainer.global_step == 4
    assert best.best_model_score.item() == torch.tensor(0.5).item()
    held = torch.load(best.best_model_path, weights_only=True)
    assert held["global_step"] == 2
    first = next(name for name, p in module.policy.named_parameters() if p.requires_grad)
    saved = next(tensor for name, tensor in held["state_dict"].items() if name.endswith(first))
    assert torch.equal(saved, weights[1])
    assert not torch.equal(weights[1], weights[3])
