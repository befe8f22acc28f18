"""What KL is measured against, in a real trainer: the base model, or the policy at the beginning of a GRPO phase."""

from dataclasses import replace
from functools import cache, partial
from itertools import product

import bitsandbytes
import pytest
import torch

from remot.errors import CheckpointError
from remot.losses import GRPOLoss
from remot.models import FullWeights, LoRA, QLoRA
from remot.models.export import save_trained
from remot.strategies import GRPO, SFT, AlternatingSFTGRPO, GRPOObjective, PolicySettings, SFTThenGRPO
from tests.strategies.grpo.test_objective import FirstLetterReward
from tests.strategies.test_module import ADAMW, fit, is_result, make_module
from tests.tiny import make_lora_policy, make_policy

ADAPTATIONS = {
    "lora": (partial(LoRA, rank=2), False, ADAMW),
    "lora with vision": (partial(LoRA, rank=2), True, ADAMW),
    "qlora": (partial(QLoRA, rank=2), False, partial(bitsandbytes.optim.AdamW8bit, lr=0.01)),
    "full": (FullWeights, False, ADAMW),
    "full with vision": (FullWeights, True, ADAMW),
}
#: In the fast tier after the change of phase, when the checkpoint holds the reference, and one of them at it.
FAST = {("lora", 3), ("qlora", 3), ("full with vision", 3), ("lora", 2)}


def module_of(strategy, kind="lora", **settings):
    """A module that makes its policy as a user's does."""
    adaptation, train_vision, optimizer = ADAPTATIONS[kind]
    module = make_module(strategy, optimizer=optimizer, **settings)
    source = module.policy_settings.source
    module.policy_settings = PolicySettings(source, adaptation(), train_vision=train_vision, prefix_sharing="on")
    return module


def ready_of(strategy, kind="lora", **settings):
    """The same with a policy that need not be loaded, which takes longer than a step."""
    module = module_of(strategy, kind, **settings)
    adaptation, train_vision, _ = ADAPTATIONS[kind]
    needs_reference = any(module.objectives[phase].needs_reference for phase in strategy.phases)
    with_own_snapshot = {"with_snapshot": True} if needs_reference and strategy.reference != "base" else {}
    module.policy = make_policy(
        adaptation=adaptation(), train_vision=train_vision, with_reference=needs_reference, **with_own_snapshot
    )
    return module


def distances(notebook):
    """KL of each step, None for supervised ones."""
    return [step.get("train/kl") for step in notebook.logged]


def taken_at(notebook):
    return [step.get("train/reference_step") for step in notebook.logged]


def trained(module):
    return {name: p.detach().clone() for name, p in module.policy.named_parameters() if p.requires_grad}


# -- which reference -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=() if (kind, 3) in FAST else pytest.mark.slow) for kind in ADAPTATIONS]
)
def test_after_sft_the_distance_begins_at_exactly_zero(kind, tmp_path):
    notebook, _ = fit(ready_of(SFTThenGRPO(2), kind), tmp_path, max_steps=4)
    assert distances(notebook)[:3] == [None, None, 0.0]
    assert distances(notebook)[3] > 1e-6
    assert taken_at(notebook) == [None, None, 2, 2]


@pytest.mark.parametrize(("reference", "begins_at_zero"), [("base", False), ("phase_start", True)])
def test_of_a_continued_adapter_it_is_the_base_model_or_the_adapter(reference, begins_at_zero, tmp_path):
    adapter = save_trained(make_lora_policy(), tmp_path / "adapter", step=60)
    module = module_of(GRPO(reference=reference))
    source = replace(module.policy_settings.source, pretrained=str(adapter))
    module.policy_settings = replace(module.policy_settings, source=source, adaptation=LoRA(rank=3, alpha=6.0))
    assert reference in module.describe_reference()
    assert module.describe_weights().endswith(f"adapter {adapter}, step 60")
    notebook, _ = fit(module, tmp_path, max_steps=2)
    assert (distances(notebook)[0] == 0.0) is begins_at_zero
    assert distances(notebook)[0] > 0.01 or begins_at_zero
    assert distances(notebook)[1] > 1e-6


@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true"])
def test_it_begins_at_zero_in_half_precision_too(precision, tmp_path):
    notebook, _ = fit(module_of(SFTThenGRPO(1)), tmp_path, max_steps=3, precision=precision)
    assert distances(notebook)[1] == 0.0
    assert distances(notebook)[2] > 1e-6


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_against_the_base_model_the_distance_is_what_sft_did(kind, tmp_path):
    notebook, _ = fit(ready_of(SFTThenGRPO(2, reference="base"), kind), tmp_path, max_steps=3)
    assert distances(notebook)[2] > 1e-3
    assert taken_at(notebook) == [None, None, None]


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_the_reference_has_the_weights_of_sft_alone(kind, tmp_path):
    """Those of a run that ends where the phase changes, two reinforced steps later."""
    supervised, both = ready_of(SFT(), kind), ready_of(SFTThenGRPO(2), kind)
    fit(supervised, tmp_path, max_steps=2)
    fit(both, tmp_path, max_steps=4)
    wanted = list(trained(supervised).values())
    pairs = list(both.policy.snapshot.pairs(both.policy.model))
    assert len(pairs) == len(wanted) > 10
    assert all(torch.equal(frozen, weight) for (frozen, _), weight in zip(pairs, wanted, strict=True))
    assert not all(torch.equal(frozen, now) for frozen, now in pairs)


def test_alternation_can_take_it_anew_in_each_phase(tmp_path):
    strategy = AlternatingSFTGRPO(1, 2, reference="phase_start")
    notebook, _ = fit(ready_of(strategy), tmp_path, max_steps=6)
    assert taken_at(notebook) == [None, 1, 1, None, 4, 4]
    first, second, third, fourth = (distance for distance in distances(notebook) if distance is not None)
    assert first == third == 0.0
    assert min(second, fourth) > 1e-6


def test_several_updates_of_a_rollout_meet_every_beginning(tmp_path):
    """Three updates from step 4 on would go over the supervised step 5 and the beginning of the phase, 6."""
    grpo = GRPOObjective(
        num_completions=3, max_new_tokens=4, updates_per_rollout=3, reward=FirstLetterReward(), loss=GRPOLoss(beta=0.05)
    )
    strategy = AlternatingSFTGRPO(1, 4, reference="phase_start")
    notebook, _ = fit(ready_of(strategy, grpo=grpo), tmp_path, max_steps=10)
    assert notebook.steps == [0, 1, 4, 5, 6, 9]
    assert taken_at(notebook) == [None, 1, 1, None, 6, 6]


@pytest.mark.parametrize(
    ("strategy", "beta", "with_own_snapshot"),
    [(SFTThenGRPO(1), 0.05, True), (SFTThenGRPO(1), 0.0, False), (SFTThenGRPO(1, "base"), 0.05, False),
     (GRPO(), 0.05, False), (SFT(), 0.05, False), (AlternatingSFTGRPO(1, 1), 0.05, False)],
)  # fmt: skip
def test_memory_for_it_is_taken_only_where_it_is_used(strategy, beta, with_own_snapshot):
    grpo = GRPOObjective(reward=FirstLetterReward(), loss=GRPOLoss(beta=beta))
    module = module_of(strategy, "full", grpo=grpo)
    module.configure_model()
    assert (module.policy.snapshot is not None) is with_own_snapshot
    has_copy = strategy.name != "SFT" and beta > 0 and not with_own_snapshot
    assert (module.policy.reference is not None) is has_copy


# -- checkpoints ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def at_once(tmp_path_factory):
    """What a run that is not interrupted logs and ends with; one run for each adaptation."""

    @cache
    def run(kind):
        module = ready_of(SFTThenGRPO(2), kind)
        notebook, _ = fit(module, tmp_path_factory.mktemp("whole"), max_steps=5)
        return notebook.logged, trained(module)

    return run


INTERRUPTIONS = [
    pytest.param(*pair, marks=() if pair in FAST else pytest.mark.slow) for pair in product(ADAPTATIONS, (1, 2, 3))
]


@pytest.mark.parametrize(("kind", "interrupted_at"), INTERRUPTIONS)
def test_resumed_run_is_the_same_run_bit_for_bit(kind, interrupted_at, at_once, tmp_path):
    """Before the change of phase, at it, and after it."""
    whole, weights_of_whole = at_once(kind)
    first, second = ready_of(SFTThenGRPO(2), kind), module_of(SFTThenGRPO(2), kind)
    begun, trainer = fit(first, tmp_path, max_steps=interrupted_at)
    trainer.save_checkpoint(tmp_path / "some.ckpt")
    continued, _ = fit(second, tmp_path, max_steps=5, ckpt_path=tmp_path / "some.ckpt", adapter_seed=99)
    logged = begun.logged + continued.logged
    assert len(logged) == 5
    for step, (wanted, found) in enumerate(zip(whole, logged, strict=True)):
        assert found.keys() == wanted.keys()
        for name in filter(is_result, wanted):
            assert repr(found[name]) == repr(wanted[name]), (step, name)
    weights = trained(second)
    assert all(torch.equal(weights[name], weight) for name, weight in weights_of_whole.items())


def test_resumed_alternation_is_the_same_run(tmp_path):
    """Interrupted in a reinforced phase whose reference is neither the base model nor the policy of that moment."""
    strategy = AlternatingSFTGRPO(1, 2, reference="phase_start")
    at_once, _ = fit(ready_of(strategy), tmp_path, max_steps=6)
    _, trainer = fit(ready_of(strategy), tmp_path, max_steps=5)
    trainer.save_checkpoint(tmp_path / "five.ckpt")
    continued, _ = fit(module_of(strategy), tmp_path, max_steps=6, ckpt_path=tmp_path / "five.ckpt", adapter_seed=99)
    assert distances(continued) == distances(at_once)[5:]
    assert distances(continued)[0] > 1e-6


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_checkpoint_holds_the_reference_once_there_is_one(kind, tmp_path):
    module = module_of(SFTThenGRPO(1), kind)
    held = []
    for max_steps in (1, 2):
        _, trainer = fit(ready_of(SFTThenGRPO(1), kind), tmp_path, max_steps=max_steps)
        trainer.save_checkpoint(tmp_path / "some.ckpt")
        held.append(torch.load(tmp_path / "some.ckpt", weights_only=True))
    before, after = held
    module.configure_model()
    names = {f"policy.{name}" for name in trained(module)}
    assert set(before["state_dict"]) == set(before["remot"]["trained"]) == set(after["remot"]["trained"]) == names
    further = set(after["state_dict"]) - names
    assert len(further) == len(names)
    assert all("snapshot" in name for name in further)
    assert "snapshot_step" not in before["remot"]
    assert after["remot"]["snapshot_step"] == 1


def test_a_reference_under_the_names_of_an_earlier_version_is_refused(tmp_path):
    """Its weights would be left out, and KL be measured against the policy as loaded."""
    _, trainer = fit(ready_of(SFTThenGRPO(1), "lora"), tmp_path, max_steps=2)
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    held = torch.load(tmp_path / "two.ckpt", weights_only=True)
    held["remot"]["reference_step"] = held["remot"].pop("snapshot_step")
    held["state_dict"] = {name.replace("snapshot", "anchor"): weight for name, weight in held["state_dict"].items()}
    torch.save(held, tmp_path / "two.ckpt")
    with pytest.raises(CheckpointError, match="earlier version"):
        fit(module_of(SFTThenGRPO(1), "lora"), tmp_path, max_steps=3, ckpt_path=tmp_path / "two.ckpt")
    fit(module_of(SFTThenGRPO(1, reference="base"), "lora"), tmp_path, max_steps=3, ckpt_path=tmp_path / "two.ckpt")


@pytest.mark.parametrize("kind", ["lora", "full"])
def test_a_run_against_the_base_model_takes_no_reference_from_a_checkpoint(kind, tmp_path):
    """The same step as that of a run which has never taken one."""
    notebooks = []
    for begun_with in ("phase_start", "base"):
        _, trainer = fit(ready_of(SFTThenGRPO(1, reference=begun_with), kind), tmp_path, max_steps=1)
        trainer.save_checkpoint(tmp_path / "one.ckpt")
        if begun_with == "phase_start":
            held = torch.load(tmp_path / "one.ckpt", weights_only=True)
            plain = make_policy("qwen3_vl", ADAPTATIONS[kind][0](), with_snapshot=True)
            held["state_dict"] |= {  # as if it had been taken
                f"policy.{name}": torch.zeros_like(weight)
                for name, weight in plain.named_parameters()
                if "snapshot" in name
            }
            held["remot"]["snapshot_step"] = 0
            torch.save(held, tmp_path / "one.ckpt")
        continued = module_of(SFTThenGRPO(1, reference="base"), kind)
        notebooks.append(fit(continued, tmp_path, max_steps=2, ckpt_path=tmp_path / "one.ckpt")[0])
    one, other = notebooks
    assert distances(one) == distances(other)
    assert distances(one)[0] > 1e-3


def test_after_sft_alone_a_run_can_go_on_from_its_policy(tmp_path):
    """A checkpoint of SFT, continued by SFT then GRPO: the reference is the policy that was loaded."""
    _, trainer = fit(ready_of(SFT()), tmp_path, max_steps=2)
    trainer.save_checkpoint(tmp_path / "two.ckpt")
    notebook, _ = fit(module_of(SFTThenGRPO(1)), tmp_path, max_steps=4, ckpt_path=tmp_path / "two.ckpt")
    assert distances(notebook)[0] == 0.0
    assert taken_at(notebook) == [2, 2]


def test_a_module_that_is_fitted_twice_takes_it_twice(tmp_path):
    module = ready_of(SFTThenGRPO(1))
    fit(module, tmp_path, max_steps=3)
    notebook, _ = fit(module, tmp_path, max_steps=3)
    assert distances(notebook)[1] == 0.0
