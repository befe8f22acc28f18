"""Every file under ``configs/losses`` builds what it says on top of a recipe, and trains."""

import copy
import math
import re
from dataclasses import replace
from functools import cache

import pytest
import torch
import yaml
from jsonargparse import ArgumentParser

from remot import losses
from remot.losses import K2, PolicyLoss, RatioCorrectedK3
from remot.rewards import CompositeReward, SoftOverlongReward
from remot.strategies import GRPO, GRPOObjective
from remot.structures import RewardOutput
from tests.helpers import PROJECT
from tests.strategies.grpo.test_objective import ADDRESS, FirstLetterReward, assert_same_update, update
from tests.strategies.test_module import Notebook, RandomPrompts, make_trainer, ready_module
from tests.tiny import make_batch, make_lora_policy, moved, snapshot

#: Files of supervision; tests/strategies/test_sft.py trains them.
SUPERVISED = {"dft"}
FRAGMENTS = [path for path in sorted((PROJECT / "configs" / "losses").glob("*.yaml")) if path.stem not in SUPERVISED]
#: Losses that add up in the same way as another one of the files.
ALIKE = {"cispo", "dual_clip", "ema_grpo", "gdpo", "grpo", "luspo", "rloo", "sapo", "two_sided", "masked_importance"}
every_fragment = pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: path.stem)


class LengthReward(FirstLetterReward):
    """A second number that differs within a group: how many characters there are, modulo 5."""

    name = "length"

    def __call__(self, completions, questions):  # noqa: ARG002
        total = torch.tensor([float(len(text) % 5) for text in completions])
        return RewardOutput(total, {"length": total}, total > 2)


class DrawnAgain(RandomPrompts):
    """Prompts of a step and an attempt."""

    resampler = None

    def describe(self):
        return []

    def redraw(self, step, attempt, num_prompts):
        return make_batch(num_prompts, seed=1000 + 10 * step + attempt)


def objective_of(path):
    """What a recipe and the fragment after it make; a copy, as tests change it."""
    return copy.deepcopy(parsed_objective(path))


@cache
def parsed_objective(path):
    """As the command line merges the files."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(GRPOObjective, "grpo")
    config = parser.get_defaults()
    for file in (PROJECT / "configs" / "grpo.yaml", path):
        settings = {"grpo": yaml.safe_load(file.read_text())["model"]["grpo"]}
        config = parser.parse_object(settings, cfg_base=config)
    return parser.instantiate_classes(config).grpo


def small(objective):
    """As much of it as a random model can do in a moment: rewards that differ and short completions."""
    reward = CompositeReward([FirstLetterReward(), LengthReward()], [1.0, 0.5])
    length = {"length": 5} if isinstance(objective.loss, losses.DrGRPOLoss) else {}
    vars(objective.loss).update(length)
    return replace(objective, num_completions=3, max_new_tokens=5, reward=reward, mask_truncated=False)


@every_fragment
def test_header_states_how_to_launch(path):
    header = path.read_text().split("\nmodel:")[0].splitlines()
    assert all(line.startswith("#") for line in header)
    launch = "#   remot fit --config configs/grpo.yaml --config configs/losses/{} --root YOUR_CLIPS"
    assert header[-1] == launch.format(path.name)
    assert re.search(r"arXiv \d{4}\.\d{5}|TIS|IcePop|TRL", header[0] + header[1])


@every_fragment
def test_builds_what_it_says(path):
    said = yaml.safe_load(path.read_text())["model"]["grpo"]
    objective = objective_of(path)
    for key in ("loss", "advantages", "correction"):
        wanted, built = said.get(key), getattr(objective, key)
        assert (built is None) is (wanted is None)
        if wanted is not None:
            assert f"remot.losses.{type(built).__name__}" == wanted["class_path"]
            said_of_it = {name: value for name, value in wanted.get("init_args", {}).items() if name != "kl"}
            held = {name: vars(built).get(name, value) for name, value in said_of_it.items()}
            assert held == said_of_it
    assert objective.updates_per_rollout == said.get("updates_per_rollout", 1)
    assert objective.num_completions == said.get("num_completions", 4)


def test_constants_that_are_kept_in_another_form():
    built = {path.stem: objective_of(path).loss for path in FRAGMENTS}
    assert (built["gspo"].clip_low, built["gspo"].clip_high) == (3e-4, 4e-4)
    assert (built["luspo"].clip_low, built["luspo"].clip_high) == (2e-3, 2.5e-3)
    assert (built["gmpo"].clip_low, built["gmpo"].clip_high) == (0.4, 0.4)
    assert built["cispo"].function.keywords == {"low": 0.0, "high": 1.2}
    assert (built["dapo"].clip_low, built["dapo"].clip_high) == (0.2, 0.28)
    assert isinstance(built["two_sided"].kl, RatioCorrectedK3)
    assert isinstance(built["reinforce_plus_plus"].kl, K2)


def test_every_loss_has_a_fragment():
    public = {v for v in vars(losses).values() if isinstance(v, type) and issubclass(v, PolicyLoss)}
    assert {type(objective_of(path).loss) for path in FRAGMENTS} == public - {PolicyLoss}


def test_dapo_is_complete():
    objective = objective_of(PROJECT / "configs" / "losses" / "dapo.yaml")
    overlong = next(reward for reward in objective.reward.rewards if isinstance(reward, SoftOverlongReward))
    assert overlong.max_length == objective.max_new_tokens == 1024
    assert overlong.cache == round(1024 * 4096 / 20480)
    assert objective.mask_truncated
    assert (objective.dynamic_sampling.max_redraws, objective.dynamic_sampling.by) == (4, "success")
    assert not objective.needs_reference


#: In the fast tier a loss of each kind: the others are prepared and differentiated in parts below.
FAST = ("dapo", "distillation", "gspo", "ema_grpo", "visd", "entropy")


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem, marks=() if path.stem in FAST else pytest.mark.slow) for path in FRAGMENTS],
)
def test_takes_two_steps(path, tmp_path):
    """Losses are finite and have a gradient, and adapters move."""
    objective = small(objective_of(path))
    module = ready_module(GRPO(), grpo=objective)
    before, notebook = snapshot(module.policy), Notebook()
    trainer = make_trainer(tmp_path, logger=notebook, max_steps=2 * objective.updates_per_rollout)
    trainer.fit(module, DrawnAgain())
    assert len(notebook.logged) == 2
    assert all(math.isfinite(step["train/loss"]) for step in notebook.logged)
    assert any(step["train/grad_norm"] > 0 for step in notebook.logged)
    assert any("lora_B" in name for name in moved(module.policy, before))


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem, marks=pytest.mark.slow if path.stem in ALIKE else ()) for path in FRAGMENTS],
)
def test_micro_batches_change_nothing(path):
    """Four prompts at once, or in parts of three and one."""
    policy, batch = make_lora_policy(), make_batch(4)
    policy.logit_bias[policy.eos_token_ids[0]] = 4.0  # completions of different lengths
    objective = replace(small(objective_of(path)), mask_truncated=True)
    if objective.average_rate:
        policy.keep_average()
    address = replace(ADDRESS, prompt_source=DrawnAgain())
    whole, in_parts = (update(objective.prepare(policy, batch, address, size), policy) for size in (4, 3))
    assert any(gradient.any() for gradient in whole[1].values())
    assert_same_update(in_parts, whole)


def test_a_loss_without_a_class_path_is_grpo():
    """The base class of the setting was GRPOLoss before there were others."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(GRPOObjective, "grpo")
    short = parser.parse_args(["--grpo.loss=DAPOLoss", "--grpo.loss.clip_high=0.3"])
    built = parser.instantiate_classes(short).grpo.loss
    assert (type(built), built.clip_high) == (losses.DAPOLoss, 0.3)
    old = parser.parse_args(["--grpo.loss.beta=0.3"])
    built = parser.instantiate_classes(old).grpo.loss
    assert (type(built), built.beta) == (losses.GRPOLoss, 0.3)
