"""The evaluation before and after training, in a trainer on the CPU."""

import pytest
import torch

from remot.callbacks import HeldOutEvaluation
from remot.strategies import SFT
from tests.strategies.test_module import RandomPrompts, make_trainer, ready_module


@pytest.mark.parametrize(("precision", "is_cast"), [("bf16-mixed", True), ("32-true", False)])
def test_it_computes_in_the_precision_of_the_run(tmp_path, precision, is_cast):
    """As validation does: scores of another arithmetic would be those of another policy, and slower to get."""
    module, seen = ready_module(SFT()), []
    real = module.policy.prefill
    module.policy.prefill = lambda *arguments, **settings: (
        seen.append(torch.is_autocast_enabled("cpu")),
        real(*arguments, **settings),
    )[1]
    trainer = make_trainer(tmp_path, max_steps=1, callbacks=[HeldOutEvaluation()], precision=precision)
    trainer.fit(module, RandomPrompts())
    assert len(seen) >= 4  # two batches, before and after
    assert set(seen) == {is_cast}
