"""Two processes skip the same steps, whichever of them met what is not finite, and go back to the same state."""

import math
import warnings

import pytest
from lightning.pytorch import Callback

from remot.errors import NonFiniteError
from remot.losses import DAPOLoss
from remot.strategies import SFT
from tests.devices.launch import in_two_processes
from tests.devices.runs import ADAMW, FULL, Case, Dealt, weights
from tests.devices.test_two_processes import ddp, fsdp2
from tests.strategies.test_module import Notebook, make_trainer
from tests.tiny import model_folder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]


class SpoilsInOneProcess(Callback):
    """The second process's first gradient becomes NaN in some batches, after gradients were exchanged."""

    def __init__(self, batches):
        self.batches = batches

    def on_before_optimizer_step(self, trainer, module, optimizer):  # noqa: ARG002
        if trainer.global_rank == 1 and trainer.fit_loop.epoch_loop.batch_progress.total.ready - 1 in self.batches:
            parameter = next(p for p in module.policy.parameters() if p.grad is not None)
            gradient = parameter.grad.to_local() if hasattr(parameter.grad, "to_local") else parameter.grad
            gradient.view(-1)[0] = math.nan


class RaisesRate(Callback):
    """The third batch's update spoils the weights."""

    def on_train_batch_start(self, trainer, module, batch, number):  # noqa: ARG002
        for group in trainer.optimizers[0].param_groups:
            group["lr"] = 1e30 if number >= 2 else group["lr"]


def work(rank, arguments):  # noqa: ARG001
    warnings.simplefilter("ignore")
    folder, make_strategy = arguments
    found = {}
    for name, callback in (("skips", SpoilsInOneProcess({1})), ("absurd", RaisesRate())):
        case = Case(str(model_folder()), optimizer=ADAMW, strategy=SFT(), loss=DAPOLoss(), **FULL)
        notebook, module = Notebook(), case.module()
        trainer = make_trainer(
            folder, logger=notebook, max_steps=4 if name == "skips" else 9, devices=2, strategy=make_strategy(),
            use_distributed_sampler=False, callbacks=[callback],
        )  # fmt: skip
        try:
            trainer.fit(module, Dealt())
            error = None
        except NonFiniteError as told:
            error = (told.restored_step, [p["prompt_id"] for p in told.record["steps"][0]["prompts"]])
        logged = [step["train/skipped_steps"] for step in notebook.logged]
        total = sum(float(weight.double().abs().sum()) for weight in weights(module).values())
        found[name] = (error, logged, total)
    return found


@pytest.mark.parametrize("make_strategy", [ddp, fsdp2])
def test_all_processes_skip_and_go_back_together(make_strategy, tmp_path):
    """The prompts of both are recorded: each has two of the four of a batch."""
    first, second = in_two_processes(work, (tmp_path, make_strategy))
    assert first == second
    error, logged, total = first["skips"]
    assert (error, logged) == (None, [0, 1, 1, 1])
    assert math.isfinite(total)
    error, _, total = first["absurd"]
    assert error == (2, ["3-0", "3-1", "3-2", "3-3"])
    assert total < 1e6
