"""Steps that are not finite update nothing, are counted, and end the run; what is saved is the last good state."""

import copy
import json
import math
from functools import partial

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins import MixedPrecision

from remot.callbacks import FaultRecord
from remot.callbacks.summary import FAULT_FILE
from remot.errors import ConfigError, NonFiniteError
from remot.losses import GRPOLoss
from remot.models import FullWeights
from remot.strategies import GRPO, SFT, GRPOObjective, SFTObjective
from remot.strategies import module as module_file
from remot.strategies.finite import StateSnapshot
from remot.structures import LossOutput
from tests.strategies.grpo.test_objective import FirstLetterReward
from tests.strategies.test_module import RandomPrompts, fit, make_trainer, ready_module
from tests.tiny import moved, snapshot

pytestmark = [
    pytest.mark.filterwarnings("ignore:Using ModelCheckpoint with manual optimization:UserWarning"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty:UserWarning"),
]

ABSURD = partial(torch.optim.AdamW, lr=1e12)  # a larger one is refused before the model is loaded


def state_of(module):
    """Copies of the weights, and of the optimizer's state in the order of the parameters."""
    optimizer = module.optimizers().optimizer
    states = [copy.deepcopy(optimizer.state.get(p, {})) for p in module.policy.trainable_parameters()]
    return snapshot(module.policy), states


def assert_same_state(one, other):
    torch.testing.assert_close(one[0], other[0], rtol=0, atol=0)
    torch.testing.assert_close(one[1], other[1], rtol=0, atol=0)


class Spoiler(Callback):
    """Makes one gradient NaN in some batches, in one of the two hooks that see gradients, and notes the state."""

    def __init__(self, hook, batches):
        self.batches, self.before, self.after = batches, {}, {}
        setattr(self, hook, self.spoil)

    def spoil(self, trainer, module, *_):
        if trainer.fit_loop.epoch_loop.batch_progress.total.ready - 1 in self.batches:
            parameter = next(p for name, p in module.policy.named_parameters() if "lora_B" in name)
            parameter.grad.view(-1)[0] = math.nan

    def on_train_batch_start(self, trainer, module, batch, number):  # noqa: ARG002
        self.before[number] = state_of(module)

    def on_train_batch_end(self, trainer, module, outputs, batch, number):  # noqa: ARG002
        self.after[number] = state_of(module)


HOOKS = ("on_after_backward", "on_before_optimizer_step")


@pytest.mark.parametrize("hook", HOOKS)
def test_a_gradient_that_is_nan_updates_nothing(hook, tmp_path, capsys):
    """Weights and optimizer state stay; the step number and the schedule go on; the next step trains as ever."""
    spoiler = Spoiler(hook, {1})
    halves = partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    module = ready_module(SFT(), scheduler=halves)
    notebook, trainer = fit(module, tmp_path, max_steps=3, callbacks=[spoiler])
    assert_same_state(spoiler.before[1], spoiler.after[1])
    assert moved(module.policy, spoiler.before[2][0])
    assert [step["train/skipped_steps"] for step in notebook.logged] == [0, 1, 1]
    assert notebook.steps == [0, 1, 2]
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.01 * 0.5**3)
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("step 1:"))
    assert "lora_B" in line
    assert "1 of 28" in line
    assert all(math.isfinite(float(p.detach().sum())) for p in module.policy.parameters())


@pytest.mark.parametrize(("batches", "ended"), [({1, 2, 3}, 3), ({0, 1, 3, 4}, None)])
def test_so_many_in_a_row_end_the_run(batches, ended, tmp_path):
    """Three in a row by default; four of five with a good one between them do not."""
    spoiler = Spoiler(HOOKS[1], batches)
    module = ready_module(SFT())
    if ended is None:
        notebook, _ = fit(module, tmp_path, max_steps=5, callbacks=[spoiler])
        assert notebook.logged[-1]["train/skipped_steps"] == 4
        return
    with pytest.raises(NonFiniteError, match=f"step {ended}") as told:
        fit(module, tmp_path, max_steps=6, callbacks=[spoiler])
    steps = told.value.record["steps"]
    assert [step["step"] for step in steps] == [1, 2, 3]
    assert [prompt["prompt_id"] for prompt in steps[2]["prompts"]] == ["3-0", "3-1"]
    assert "3-0, 3-1" in str(told.value)
    assert told.value.restored_step == 4  # the losses were finite: nothing is undone
    assert_same_state(spoiler.before[1], state_of(module))


def updating(num_updates):
    return GRPOObjective(
        num_completions=3, max_new_tokens=5, loss=GRPOLoss(beta=0.05), reward=FirstLetterReward(),
        updates_per_rollout=num_updates,
    )  # fmt: skip


@pytest.mark.parametrize(("strategy", "num_updates"), [(SFT(), 1), (GRPO(), 1), (GRPO(), 3)])
def test_an_absurd_rate_ends_at_the_last_good_state(strategy, num_updates, tmp_path):
    """After one update by 1e30 the weights are finite and the next forward pass is not: step 0 is the last good one."""
    module = ready_module(strategy, optimizer=ABSURD, grpo=updating(num_updates), max_skipped_in_a_row=2)
    before = snapshot(module.policy)
    with pytest.raises(NonFiniteError) as told:
        fit(module, tmp_path, max_steps=20)
    assert told.value.restored_step == 0
    assert len(told.value.record["steps"]) == 2
    torch.testing.assert_close(snapshot(module.policy), before, rtol=0, atol=0)
    assert not module.optimizers().optimizer.state
    assert module.global_step == 0
    (prompt, _) = told.value.record["steps"][0]["prompts"]
    assert len(prompt["completions"]) == (3 if strategy.name == "GRPO" else 0)


def files(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_what_is_not_verified_is_not_saved(tmp_path):
    """A checkpoint is due after the very update that spoils the weights. What is left can be continued."""
    saves = ModelCheckpoint(tmp_path / "run", every_n_train_steps=1, save_top_k=-1, save_last=True)
    with pytest.raises(NonFiniteError):
        fit(
            ready_module(SFT(), optimizer=ABSURD), tmp_path, max_steps=4, enable_checkpointing=True,
            callbacks=[saves, FaultRecord()],
        )  # fmt: skip
    assert files(tmp_path / "run") == ["last.ckpt", FAULT_FILE]
    held = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert all(weight.abs().max() < 10 for weight in held["state_dict"].values())
    assert held["global_step"] == 0
    assert not held["optimizer_states"][0]["state"]
    record = json.loads((tmp_path / "run" / FAULT_FILE).read_text())
    assert [prompt["prompt_id"] for prompt in record["steps"][0]["prompts"]] == ["0-0", "0-1"]

    class LowersRate(Callback):
        def on_train_start(self, trainer, module):  # noqa: ARG002
            trainer.optimizers[0].param_groups[0]["lr"] = 0.01

    notebook, trainer = fit(
        ready_module(SFT()), tmp_path, max_steps=2, ckpt_path=tmp_path / "run" / "last.ckpt", enable_checkpointing=True,
        callbacks=[LowersRate(), ModelCheckpoint(tmp_path / "run", every_n_train_steps=1, save_last=True)],
    )  # fmt: skip
    assert trainer.global_step == 2
    assert all(math.isfinite(step["train/loss"]) for step in notebook.logged)


def test_the_last_update_is_verified_too(tmp_path):
    with pytest.raises(NonFiniteError) as told:
        fit(ready_module(SFT(), optimizer=ABSURD), tmp_path, max_steps=1)
    assert told.value.restored_step == 0


def test_large_models_keep_no_state_in_memory(tmp_path, monkeypatch):
    """What is left is the checkpoint from before; none is made of the spoilt state."""
    monkeypatch.setattr(module_file, "MAX_KEPT_BYTES", 100)
    saves = ModelCheckpoint(tmp_path / "run", every_n_train_steps=1, save_last=True)

    class Raises(Callback):
        def on_train_batch_start(self, trainer, module, batch, number):  # noqa: ARG002
            if number == 2:
                trainer.optimizers[0].param_groups[0]["lr"] = 1e30

    with pytest.raises(NonFiniteError) as told:
        fit(
            ready_module(SFT(), FullWeights()), tmp_path, max_steps=5, enable_checkpointing=True,
            callbacks=[saves, Raises(), FaultRecord()],
        )  # fmt: skip
    assert told.value.restored_step is None
    held = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert held["global_step"] == 2
    assert all(weight.abs().max() < 10 for weight in held["state_dict"].values())


class SpoiltLoss(SFTObjective):
    """One micro-batch of each batch has a component that is infinite, with a finite gradient."""

    def prepare(self, policy, batch, address, micro_batch_prompts):
        prepared = super().prepare(policy, batch, address, micro_batch_prompts)
        losses = prepared.micro_losses

        def spoilt(size=None):
            for number, output in enumerate(losses(size)):
                yield LossOutput(output.loss + (math.inf if number == 1 else 0.0), output.metrics)

        object.__setattr__(prepared, "micro_losses", spoilt)
        return prepared


def test_one_micro_batch_of_a_custom_loss_is_enough(tmp_path):
    module = ready_module(SFT(), max_skipped_in_a_row=1)
    module.objectives = {**module.objectives, "SFT": SpoiltLoss()}
    before = snapshot(module.policy)
    with pytest.raises(NonFiniteError, match="the loss is inf"):
        fit(module, tmp_path, max_steps=2)
    torch.testing.assert_close(snapshot(module.policy), before, rtol=0, atol=0)


def test_a_rate_that_becomes_nan_moves_nothing(tmp_path):
    """A schedule of the user's own, from its second step on."""
    schedule = partial(torch.optim.lr_scheduler.LambdaLR, lr_lambda=lambda step: math.nan if step else 1.0)
    module = ready_module(SFT(), optimizer=partial(torch.optim.SGD, lr=0.01), scheduler=schedule)
    with pytest.raises(NonFiniteError, match="learning rate is nan"):
        fit(module, tmp_path, max_steps=6)
    assert all(bool(parameter.isfinite().all()) for parameter in module.policy.parameters())


@pytest.mark.parametrize("setting", [{"lr": math.nan}, {"lr": math.inf}, {"lr": 0.1, "weight_decay": math.nan}])
def test_settings_of_the_optimizer_are_finite(setting):
    """PyTorch checks ranges by comparisons, which NaN passes with SGD."""
    module = ready_module(SFT(), optimizer=partial(torch.optim.SGD, **setting))
    with pytest.raises(ConfigError, match=f"{list(setting)[-1]} is {list(setting.values())[-1]}"):
        module.configure_optimizers()


@pytest.mark.parametrize("limit", [-1.0, math.nan, math.inf])
def test_norms_to_clip_to_are_norms(limit):
    with pytest.raises(ConfigError, match="gradient_clip_norm"):
        ready_module(gradient_clip_norm=limit)


def test_at_least_one_step_may_be_skipped():
    with pytest.raises(ConfigError, match="max_skipped_in_a_row"):
        ready_module(max_skipped_in_a_row=0)


def scaled(init_scale):
    return MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=init_scale))


def test_a_scaler_that_seeks_its_scale_is_no_fault(tmp_path):
    """Mixed float16 begins with a scale at which gradients overflow, and halves it: more often than steps may fail."""
    plugin = scaled(2.0**24)
    module = ready_module(SFT(), max_skipped_in_a_row=1)
    notebook, _ = fit(module, tmp_path, max_steps=10, plugins=[plugin])
    overflown = [step for step in notebook.logged if not math.isfinite(step["train/grad_norm"])]
    assert len(overflown) >= 2
    assert plugin.scaler.get_scale() < 2.0**24
    assert {step["train/skipped_steps"] for step in notebook.logged} == {0}


def test_a_scaler_does_not_hide_a_gradient_that_stays_nan(tmp_path):
    """At a scale of 4 two skips are the scaler's own; from 1 on no smaller scale would help."""
    spoiler = Spoiler(HOOKS[0], range(100))
    with pytest.raises(NonFiniteError) as told:
        fit(ready_module(SFT()), tmp_path, max_steps=20, plugins=[scaled(4.0)], callbacks=[spoiler])
    assert [step["step"] for step in told.value.record["steps"]] == [2, 3, 4]


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, partial(torch.optim.SGD, momentum=0.9), torch.optim.RMSprop])
def test_a_snapshot_puts_back_what_was(optimizer):
    """Bit for bit: weights, state, learning rate and schedule go on as if what came between had not been."""

    def steps(weight, one, schedule, gradients):
        for gradient in gradients:
            weight.grad = torch.full_like(weight, gradient)
            one.step()
            schedule.step()
        return weight.detach().clone(), one.param_groups[0]["lr"], schedule.last_epoch

    def fresh():
        weight = torch.nn.Parameter(torch.arange(3.0))
        one = optimizer([weight], lr=0.1)
        return weight, one, torch.optim.lr_scheduler.StepLR(one, 2, gamma=0.5)

    for num_before in (0, 3):
        wanted, found = fresh(), fresh()
        steps(*wanted, [1.0] * num_before)
        steps(*found, [1.0] * num_before)
        kept = StateSnapshot(num_before, [found[0]], found[1], [found[2]])
        steps(*found, [1e30, 5.0, -2.0])
        kept.restore()
        torch.testing.assert_close(steps(*found, [0.5, 2.0]), steps(*wanted, [0.5, 2.0]), rtol=0, atol=0)


def test_verifying_changes_nothing_of_a_run(tmp_path):
    """Weights are bit for bit those of a run that saves, and so verifies, after each step; with dropout, too."""
    from remot.models import LoRA

    plain, saved = (ready_module(SFT(), LoRA(rank=2, dropout=0.2)) for _ in range(2))
    fit(plain, tmp_path, max_steps=3)
    saves = ModelCheckpoint(tmp_path / "run", every_n_train_steps=1, save_last=True)
    fit(saved, tmp_path, max_steps=3, enable_checkpointing=True, callbacks=[saves])
    torch.testing.assert_close(snapshot(saved.policy), snapshot(plain.policy), rtol=0, atol=0)


def test_trainer_of_a_users_own_needs_no_callback(tmp_path):
    module = ready_module(SFT(), optimizer=ABSURD)
    with pytest.raises(NonFiniteError):
        make_trainer(tmp_path, max_steps=2).fit(module, RandomPrompts())
