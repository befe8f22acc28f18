"""The module in a real Lightning trainer on the CPU: what moves, what is saved, that a resumed run is the same run."""

import contextlib
import copy
import logging
import math
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import bitsandbytes
import pytest
import torch
import transformers
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins import MixedPrecision
from torch.utils.data import DataLoader

import remot
from remot.errors import CheckpointError, ConfigError
from remot.evaluation.benchmark import EvaluationSettings
from remot.losses import GRPOLoss, RunningStdAdvantages
from remot.models import FullWeights, LoRA, ModelSource, QLoRA
from remot.strategies import (
    GRPO,
    SFT,
    AlternatingSFTGRPO,
    DPOObjective,
    GRPOObjective,
    PolicySettings,
    PostTrainingModule,
    SFTObjective,
    SFTThenDPO,
    SFTThenGRPO,
    WrongLetters,
)
from remot.strategies.checkpoint_io import write_checkpoint
from remot.strategies.objective import StepAddress
from tests.strategies.grpo.test_objective import FirstLetterReward
from tests.tiny import FAMILIES, HYBRID, make_batch, make_policy, model_folder, moved, snapshot

ADAMW = partial(torch.optim.AdamW, lr=0.01)
STRATEGIES = (SFT(), GRPO(), SFTThenGRPO(sft_steps=1), AlternatingSFTGRPO(k_sft=1, k_grpo=1))


class Resumable(DataLoader):
    """Lightning asks a loader for its state if a run is to continue within an epoch."""

    def state_dict(self):
        return {}

    def load_state_dict(self, state_dict):
        pass


class AddressedBatches:
    """Batch number n is a function of n, and the first is the one that the trainer has come to."""

    def __init__(self, data):
        self.data = data

    def __iter__(self):
        first = self.data.trainer.fit_loop.epoch_loop.batch_progress.total.ready
        return iter(make_batch(2, seed=number) for number in range(first, 100))


class RandomPrompts(LightningDataModule):
    """Two random prompts a step."""

    def train_dataloader(self):
        class Batches(torch.utils.data.IterableDataset):
            __iter__ = AddressedBatches(self).__iter__

        return Resumable(Batches(), batch_size=None)

    def val_dataloader(self):
        return DataLoader([make_batch(2, seed=50), make_batch(1, seed=51)], batch_size=None)

    test_dataloader = predict_dataloader = val_dataloader

    def transfer_batch_to_device(self, batch, device, dataloader_idx):  # noqa: ARG002
        return batch


class Notebook(Logger):
    """Keeps what is logged."""

    name, version = "notebook", 0

    def __init__(self):
        super().__init__()
        self.steps, self.logged, self.validated = [], [], []

    def log_metrics(self, metrics, step=None):
        if "train/loss" in metrics:
            self.steps.append(step)
            self.logged.append(metrics)
        else:
            self.validated.append(metrics)

    def log_hyperparams(self, params, *args, **kwargs):
        pass


def phases(notebook):
    """Only supervised steps have a likelihood, only reinforced ones a reward."""
    names = {"train/nll": "SFT", "train/reward/total": "GRPO"}
    return [*(names[key] for metrics in notebook.logged for key in metrics if key in names)]


def grpo_objective():
    return GRPOObjective(num_completions=3, max_new_tokens=5, loss=GRPOLoss(beta=0.05), reward=FirstLetterReward())


def make_module(strategy=None, adaptation=None, *, seed=3, optimizer=ADAMW, family="qwen3_vl", **settings):
    policy = PolicySettings(ModelSource(str(model_folder(family))), adaptation or LoRA(rank=2))
    module = PostTrainingModule(
        policy=policy,
        strategy=strategy or AlternatingSFTGRPO(k_sft=1, k_grpo=1),
        sft=SFTObjective(loss_on="response"),
        **{"grpo": grpo_objective(), "optimizer": optimizer, "micro_batch_prompts": 1, "seed": seed} | settings,
    )
    module.evaluation = EvaluationSettings(max_new_tokens=4)
    return module


def ready_module(strategy=None, adaptation=None, *, family="qwen3_vl", **settings):
    """A module that need not load its policy, which takes longer than two steps."""
    module = make_module(strategy, adaptation, family=family, **settings)
    needs_reference = any(module.objectives[phase].needs_reference for phase in module.strategy.phases)
    with_own_snapshot = {"with_snapshot": True} if needs_reference and module.strategy.reference != "base" else {}
    module.policy = make_policy(
        family, module.policy_settings.adaptation, with_reference=needs_reference, **with_own_snapshot
    )
    if any(module.objectives[phase].average_rate for phase in module.strategy.phases):
        module.policy.keep_average()
    return module


def make_trainer(folder, *, max_steps=2, **settings):
    return Trainer(
        **{
            "max_steps": max_steps,
            "max_epochs": -1,
            "accelerator": "cpu",
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "limit_val_batches": 0,
            "num_sanity_val_steps": 0,
            "log_every_n_steps": 1,
            "default_root_dir": folder,
        }
        | settings
    )


def fit(module, folder, *, ckpt_path=None, adapter_seed=0, **settings):
    """What was logged, and the trainer. Only what adapters begin with comes from the global generator."""
    notebook = Notebook()
    trainer = make_trainer(folder, logger=notebook, **settings)
    torch.manual_seed(adapter_seed)
    trainer.fit(module, RandomPrompts(), ckpt_path=ckpt_path)
    return notebook, trainer


# -- what moves ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda strategy: strategy.name)
def test_every_strategy_trains(strategy, tmp_path):
    """Three steps: the phases are those of the schedule, the losses finite, every adapter moves and nothing else."""
    module = make_module(strategy)
    module.configure_model()
    before = snapshot(module.policy)
    notebook, trainer = fit(module, tmp_path, max_steps=3)
    assert trainer.global_step == 3
    assert phases(notebook) == [strategy.phase(step) for step in range(3)]
    assert all(math.isfinite(step["train/loss"]) and step["train/grad_norm"] > 0 for step in notebook.logged)
    assert moved(module.policy, before) == {name for name in before if "lora_" in name}


@pytest.mark.parametrize("family", [*FAMILIES, HYBRID])
def test_a_fit_raises_no_warning_of_what_transformers_will_remove(family, tmp_path, caplog):
    """Whatever the suite ignores: here every FutureWarning and DeprecationWarning counts, and so does a logged one."""
    module = make_module(AlternatingSFTGRPO(1, 1), family=family)
    module.configure_model()  # peft's own warnings come here
    with warnings.catch_warnings(record=True) as caught, caplog.at_level(logging.WARNING):
        warnings.simplefilter("always")
        fit(module, tmp_path, max_steps=2)
    kinds = (FutureWarning, DeprecationWarning, PendingDeprecationWarning)
    packages = [Path(package.__file__).parent for package in (remot, transformers)]
    found = [
        f"{one.filename}: {one.message}"
        for one in caught
        if issubclass(one.category, kinds)
        and ("transformers" in str(one.message) or any(map(Path(one.filename).is_relative_to, packages)))
    ]
    assert found == []
    assert [record.getMessage() for record in caplog.records if "deprecated" in record.getMessage()] == []


def test_a_phase_logs_its_own_metrics_only(tmp_path):
    """A KL of the last GRPO step, logged again by the SFT step after it, would bend every curve."""
    notebook, _ = fit(ready_module(AlternatingSFTGRPO(1, 1)), tmp_path, max_steps=4)
    assert notebook.steps == [0, 1, 2, 3]
    for step, metrics in enumerate(notebook.logged):
        names = {name.removeprefix("train/") for name in metrics}
        shared = {"loss", "grad_norm", "seconds_per_step"}
        supervised = {"nll"}
        reinforced = {"policy_loss", "kl", "clip_fraction", "ratio_mean", "reward/total", "reward/frac_zero_std"}
        own, others = (reinforced, supervised) if step % 2 else (supervised, reinforced)
        assert shared | own <= names
        assert not others & names


def test_logging_now_and_then(tmp_path):
    notebook, trainer = fit(ready_module(SFT()), tmp_path, max_steps=5, log_every_n_steps=2)
    assert notebook.steps == [1, 3]
    assert "train/nll" in trainer.callback_metrics


def test_progress_fields(tmp_path):
    module = ready_module(GRPO())
    assert module.progress_fields() == {}
    notebook, _ = fit(module, tmp_path, max_steps=1)
    fields = module.progress_fields()
    assert fields.keys() == {"phase", "reward", "kl", "loss"}
    assert fields["reward"] == pytest.approx(notebook.logged[0]["train/reward/total"], rel=1e-5)
    assert len(module.last_samples) == len(module.last_batch) == 2


@pytest.mark.parametrize("adaptation", [FullWeights, QLoRA])
def test_other_adaptations_train(adaptation, tmp_path):
    module = make_module(GRPO(), adaptation())
    fit(module, tmp_path, max_steps=1)
    module = make_module(SFT(), adaptation())
    notebook, _ = fit(module, tmp_path, max_steps=2)
    assert all(math.isfinite(step["train/loss"]) for step in notebook.logged)


def test_two_updates_of_a_rollout_are_two_optimiser_steps(tmp_path):
    """The schedule counts optimiser steps, so a step of two updates goes over two places of it."""
    grpo = GRPOObjective(num_completions=2, max_new_tokens=4, updates_per_rollout=2, reward=FirstLetterReward())
    module = ready_module(AlternatingSFTGRPO(k_sft=1, k_grpo=2), grpo=grpo)
    notebook, trainer = fit(module, tmp_path, max_steps=6)
    assert trainer.global_step == 6
    assert phases(notebook) == ["SFT", "GRPO", "SFT", "GRPO"]
    assert notebook.logged[1]["train/ratio_mean"] != 1.0  # of the second update


def test_updates_of_a_rollout_end_with_the_phase(tmp_path):
    """k_sft = 1, k_grpo = 3: rollouts of two updates begin at 1, 3, 5 and 7, and the schedule's step 4 is still SFT."""
    grpo = GRPOObjective(num_completions=2, max_new_tokens=4, updates_per_rollout=2, reward=FirstLetterReward())
    notebook, trainer = fit(ready_module(AlternatingSFTGRPO(k_sft=1, k_grpo=3), grpo=grpo), tmp_path, max_steps=9)
    assert phases(notebook) == ["SFT", "GRPO", "GRPO", "SFT", "GRPO", "GRPO", "SFT"]
    assert notebook.steps == [0, 1, 3, 4, 5, 7, 8]
    assert trainer.global_step == 9


def test_randomness_is_named_by_seed_and_optimiser_step(tmp_path):
    addresses = []

    class Addressed(GRPOObjective):
        def prepare(self, policy, batch, address, micro_batch_prompts):
            addresses.append(address)
            return super().prepare(policy, batch, address, micro_batch_prompts)

    grpo = Addressed(num_completions=2, max_new_tokens=2, updates_per_rollout=2, reward=FirstLetterReward())
    fit(ready_module(GRPO(), grpo=grpo, seed=8), tmp_path, max_steps=6)
    assert addresses == [StepAddress(8, 0), StepAddress(8, 2), StepAddress(8, 4)]


def test_micro_batches_change_no_step(tmp_path):
    """Weights after two steps, with one prompt at a time and with both."""
    module = ready_module(optimizer=partial(torch.optim.SGD, lr=0.1), micro_batch_prompts=1)
    fit(module, tmp_path)
    wanted = ready_module(optimizer=partial(torch.optim.SGD, lr=0.1), micro_batch_prompts=2)
    fit(wanted, tmp_path)
    weights = dict(wanted.policy.named_parameters())
    for name, parameter in module.policy.named_parameters():
        torch.testing.assert_close(parameter, weights[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("limit", [0.0, 0.01])
def test_gradients_are_clipped_to_their_norm(tmp_path, limit):
    """Plain descent by lr times the clipped gradient: the weights move by lr times the limit, or the whole norm."""
    module = ready_module(SFT(), FullWeights(), optimizer=partial(torch.optim.SGD, lr=0.5), gradient_clip_norm=limit)
    module.configure_model()
    before = snapshot(module.policy)
    notebook, _ = fit(module, tmp_path, max_steps=1)
    squares = [(p.detach() - before[name]).double().pow(2).sum() for name, p in module.policy.named_parameters()]
    norm = notebook.logged[0]["train/grad_norm"]
    assert norm > 0.1
    assert float(torch.stack(squares).sum().sqrt()) == pytest.approx(0.5 * (limit or norm), rel=1e-3)


def test_scaled_gradients_are_clipped_as_if_they_were_not(tmp_path):
    """Mixed float16 multiplies losses, here by 256, and divides gradients when the optimiser moves the weights."""
    scaled = MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=256.0))
    norms = []
    for plugin in (MixedPrecision("bf16-mixed", "cpu"), scaled):
        optimizer = partial(torch.optim.SGD, lr=0.5)
        module = ready_module(SFT(), FullWeights(), optimizer=optimizer, gradient_clip_norm=0.01)
        before = snapshot(module.policy)
        notebook, _ = fit(module, tmp_path, max_steps=1, plugins=[plugin])
        squares = [(p.detach() - before[name]).double().pow(2).sum() for name, p in module.policy.named_parameters()]
        assert float(torch.stack(squares).sum().sqrt()) == pytest.approx(0.5 * 0.01, rel=1e-2)
        norms.append(notebook.logged[0]["train/grad_norm"])
    assert norms[1] == pytest.approx(norms[0], rel=0.1)


def test_scheduler_is_stepped_once_an_update(tmp_path):
    scheduler = partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    module = ready_module(SFT(), scheduler=scheduler)
    _, trainer = fit(module, tmp_path, max_steps=3)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.01 * 0.5**3)


@pytest.mark.parametrize(
    ("precision", "held"), [("bf16-true", torch.bfloat16), ("bf16-mixed", torch.float32), ("64-true", torch.float64)]
)
def test_other_precisions(precision, held, tmp_path):
    """Weights in it, or arithmetic: both strategies' losses are finite, the adapters move, and buffers stay as made."""
    module = make_module(AlternatingSFTGRPO(1, 1))
    notebook, _ = fit(module, tmp_path, max_steps=3, precision=precision)
    assert all(math.isfinite(step["train/loss"]) for step in notebook.logged)
    adapters = {name: p for name, p in module.policy.named_parameters() if "lora_B" in name}
    assert all(parameter.any() for parameter in adapters.values())
    assert module.policy.core.model.visual.blocks[0].mlp.linear_fc1.weight.dtype == held
    assert {buffer.dtype for buffer in module.policy.buffers()} == {torch.float32}


def test_a_micro_batch_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="micro_batch_prompts"):
        PostTrainingModule(micro_batch_prompts=0)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"optimizer": partial(torch.optim.AdamW, lr=-1.0)}, "Invalid learning rate: -1.0"),
        ({"optimizer": partial(torch.optim.AdamW, lr=math.nan)}, "Invalid learning rate: nan"),
        (
            {"scheduler": partial(torch.optim.lr_scheduler.CyclicLR, base_lr=1, max_lr=2, mode="x")},
            "mode is invalid and scale_fn is None",
        ),
    ],
)
def test_optimisers_out_of_range(settings, told):
    """PyTorch's optimiser reports it without naming the key."""
    module = ready_module(SFT(), **settings)
    with pytest.raises(ConfigError, match=rf"^model\.optimizer or model\.scheduler: {told}$"):
        module.configure_optimizers()


def test_policy_is_needed_first():
    with pytest.raises(RuntimeError, match="configure_model"):
        make_module().loaded_policy  # noqa: B018


# -- evaluation ----------------------------------------------------------------------------------------------------


def test_validate_test_and_predict(tmp_path):
    module, data = ready_module(), RandomPrompts()
    trainer = make_trainer(tmp_path, limit_val_batches=1.0)
    (validated,) = trainer.validate(module, data, verbose=False)
    (tested,) = trainer.test(module, data, verbose=False)
    sampled = {key for key in tested if not key.endswith("_greedy")}
    assert {key.removeprefix("val/") for key in validated} == {key.removeprefix("test/") for key in sampled}
    assert set(tested) == sampled | {f"{key}_greedy" for key in sampled}
    assert {"val/overall", "val/partial", "val/logic", "val/format"} <= validated.keys()
    batches = trainer.predict(module, data)
    assert [len(batch) for batch in batches] == [2, 1]


def test_validation_within_a_run_changes_nothing_of_it(tmp_path):
    """Weights are bit for bit those of a run without it."""
    plain, validated = (ready_module() for _ in range(2))
    fit(plain, tmp_path, max_steps=3)
    each_step = {"limit_val_batches": 1.0, "val_check_interval": 1, "check_val_every_n_epoch": None}
    notebook, _ = fit(validated, tmp_path, max_steps=3, **each_step)
    assert len([metrics for metrics in notebook.validated if "val/partial" in metrics]) == 3
    for one, other in zip(plain.policy.parameters(), validated.policy.parameters(), strict=True):
        assert torch.equal(one, other)


# -- checkpoints ---------------------------------------------------------------------------------------------------


def test_checkpoint_holds_what_is_trained_and_nothing_else(tmp_path):
    module = ready_module(GRPO())
    _, trainer = fit(module, tmp_path, max_steps=1)
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    held = torch.load(tmp_path / "one.ckpt", weights_only=True)
    assert set(held["state_dict"]) == {f"policy.{n}" for n, p in module.policy.named_parameters() if p.requires_grad}
    assert all("lora_" in name for name in held["state_dict"])
    shapes = {name: list(weight.shape) for name, weight in held["state_dict"].items()}
    optimization = held["remot"].pop("optimization")
    assert (optimization["optimizer"], optimization["scheduler"]) == ("torch.optim.adamw.AdamW", "None")
    assert held["remot"] == {"base_model": "qwen3_vl-0", "strategy": "GRPO", "trained": shapes}
    (state,) = held["optimizer_states"]
    assert list(state["state"]) == state["param_groups"][0]["params"] == list(shapes)  # names, not numbers


@pytest.mark.parametrize("strategy", [GRPO(), SFTThenGRPO(1)], ids=["base", "phase_start"])
def test_a_checkpoint_in_the_middle_of_a_pass_is_that_between_steps(tmp_path, strategy):
    """A batch system's signal may come while adapters are off, part of the weights, or others are in their place."""
    module = ready_module(strategy)
    _, trainer = fit(module, tmp_path, max_steps=2)
    passes = {"between": contextlib.nullcontext, "sampling": module.policy.sampling}
    passes["reference"] = module.policy.reference_policy
    held = {}
    for name, of_pass in passes.items():
        with of_pass():
            trainer.save_checkpoint(tmp_path / name)
        held[name] = torch.load(tmp_path / name, weights_only=True)
    for name in ("sampling", "reference"):
        assert held[name]["remot"] == held["between"]["remot"]
        torch.testing.assert_close(held[name]["state_dict"], held["between"]["state_dict"], rtol=0, atol=0)
        groups = [held[one]["optimizer_states"][0]["param_groups"] for one in (name, "between")]
        assert groups[0] == groups[1]


def resumed(tmp_path, **arguments):
    """Four steps at once, and two and then two more of new objects: both modules, and what both logged."""
    builds = (ready_module, ready_module, make_module)
    whole, first, second = (build(**copy.deepcopy(arguments)) for build in builds)  # some settings hold a state
    whole_notebook, _ = fit(whole, tmp_path, max_steps=4)
    first_notebook, trainer = fit(first, tmp_path, max_steps=2)
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    second_notebook, _ = fit(second, tmp_path, max_steps=4, ckpt_path=tmp_path / "two.ckpt", adapter_seed=99)
    return whole, second, whole_notebook.logged, first_notebook.logged + second_notebook.logged


def is_result(name):
    """Everything but clock times."""
    return "second" not in name


@pytest.mark.parametrize(
    "arguments",
    [
        {"adaptation": LoRA(rank=2), "scheduler": partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.7)},
        pytest.param({"adaptation": LoRA(rank=2), "family": "qwen2_5_vl"}, marks=pytest.mark.slow),
        pytest.param({"adaptation": FullWeights()}, marks=pytest.mark.slow),
        {"adaptation": QLoRA(rank=2), "optimizer": partial(bitsandbytes.optim.AdamW8bit, lr=0.01)},
        {"grpo": replace(grpo_objective(), advantages=RunningStdAdvantages()), "strategy": GRPO()},
        {"strategy": SFTThenDPO(sft_steps=1), "dpo": DPOObjective(WrongLetters())},
    ],
    ids=[
        "lora and scheduler",
        "lora on qwen2.5",
        "full weights",
        "qlora and 8-bit optimiser",
        "running deviations",
        "preferences",
    ],
)
def test_resumed_run_is_the_same_run_bit_for_bit(tmp_path, arguments):
    whole, second, logged_at_once, logged = resumed(tmp_path, **arguments)
    assert len(logged) == len(logged_at_once) == 4
    for step, (wanted, actual) in enumerate(zip(logged_at_once, logged, strict=True)):
        assert actual.keys() == wanted.keys()
        for name in filter(is_result, wanted):
            assert repr(actual[name]) == repr(wanted[name]), (step, name)  # NaN equals NaN here
    for (name, wanted), actual in zip(whole.policy.named_parameters(), second.policy.parameters(), strict=True):
        assert torch.equal(wanted, actual), name


@pytest.mark.parametrize("part", ["exp_avg_sq", "weight"])
def test_a_checkpoint_with_numbers_that_are_not_finite_is_refused(tmp_path, part):
    """An infinite second moment, for one, lets no update through, and nothing else would show it."""
    _, trainer = fit(ready_module(SFT()), tmp_path, max_steps=1)
    file = tmp_path / "one.ckpt"
    trainer.save_checkpoint(file)
    held = torch.load(file, weights_only=True)
    states = held["optimizer_states"][0]["state"]
    spoilt = (
        states[next(iter(states))]["exp_avg_sq"] if part == "exp_avg_sq" else next(iter(held["state_dict"].values()))
    )
    spoilt.view(-1)[0] = math.inf
    write_checkpoint(held, file)
    with pytest.raises(CheckpointError, match=f"step 1 .*{'exp_avg_sq of' if part == 'exp_avg_sq' else 'lora'}"):
        fit(ready_module(SFT()), tmp_path, max_steps=2, ckpt_path=file)


def test_another_seed_is_another_run(tmp_path):
    one, other = (fit(ready_module(GRPO(), seed=seed), tmp_path, max_steps=1)[0] for seed in (3, 4))
    assert one.logged[0]["train/reward/total"] != other.logged[0]["train/reward/total"]


def test_weights_of_a_checkpoint_give_equal_answers(tmp_path):
    """`test --ckpt_path` scores the trained policy, not the base."""
    module = ready_module(SFT(), optimizer=partial(torch.optim.AdamW, lr=0.05))
    _, trainer = fit(module, tmp_path, max_steps=3)
    trainer.save_checkpoint(tmp_path / "three.ckpt")

    def answers(other, ckpt_path):
        predicted = make_trainer(tmp_path).predict(other, RandomPrompts(), ckpt_path=ckpt_path)
        return [judged for batch in predicted for judged in batch]

    assert answers(ready_module(), tmp_path / "three.ckpt") == answers(module, None)
    assert answers(ready_module(), None) != answers(module, None)


@pytest.mark.parametrize(
    "other",
    [
        {"adaptation": LoRA(rank=5)},
        {"adaptation": FullWeights()},
        {"adaptation": LoRA(rank=2, target_modules=r".*language_model.*q_proj")},
        {"adaptation": LoRA(rank=2), "family": "qwen2_5_vl"},
    ],
    ids=["rank", "adaptation", "layers", "model"],
)
def test_checkpoint_of_something_else_is_refused(tmp_path, other):
    _, trainer = fit(ready_module(SFT()), tmp_path, max_steps=1)
    trainer.save_checkpoint(tmp_path / "one.ckpt")
    with pytest.raises(CheckpointError, match=r"the checkpoint .*qwen3_vl-0"):
        fit(ready_module(SFT(), **other), tmp_path, ckpt_path=tmp_path / "one.ckpt")
