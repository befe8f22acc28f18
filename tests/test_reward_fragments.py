"""The files of configs/rewards: each is a method of some paper on top of a recipe; they build, train and score."""

import json
import math
import re
import tempfile
from functools import cache

import pytest
import yaml

from remot.cli import main
from remot.losses import GSPOLoss
from remot.rewards import CompositeReward, GatedReward, PerTaskReward
from remot.strategies import DualityOperations, FrozenFrames, MirroredImages, ShuffledFrames
from tests.helpers import PROJECT, respond
from tests.test_systems import run_fit

FRAGMENTS = sorted((PROJECT / "configs" / "rewards").glob("*.yaml"))
pytestmark = pytest.mark.usefixtures("parser_of_one_subcommand")
every_fragment = pytest.mark.parametrize("path", FRAGMENTS, ids=lambda path: path.stem)


def by_speed(*fast):
    """These in the fast tier, the others in the slow one."""
    marks = {path: () if path.stem in fast else pytest.mark.slow for path in FRAGMENTS}
    return pytest.mark.parametrize("path", [pytest.param(path, id=path.stem, marks=marks[path]) for path in FRAGMENTS])


#: Parts of the reward that are metrics, and how the input is changed.
PARTS = {
    "lengths": ({"format", "cosine_length", "repetition"}, None),
    "motion_o": ({"format", "exact", "motion_trajectory", "motion_perturbation"}, FrozenFrames),
    "sage": ({"accuracy", "logic", "duality"}, DualityOperations),
    "svqa_r1": ({"accuracy", "logic", "view_consistency"}, MirroredImages),
    "t_grpo": ({"accuracy", "logic", "temporal_bonus"}, ShuffledFrames),
    "tempr1": ({"format", "localisation", "interval_iou", "exact"}, None),
    "temporal_rlt": ({"accuracy", "format"}, None),
}
SMALL = {
    "held_out.enabled": "false", "summary.export": "false", "data.num_val_prompts": 2, "data.batch_size": 3,
    "model.grpo.max_new_tokens": 8, "trainer.limit_val_batches": 0, "trainer.num_sanity_val_steps": 0,
    "trainer.enable_checkpointing": "false",
}  # fmt: skip


def commands(path):
    """The command lines of a file's header, each as its configuration files."""
    header = "".join(line.removeprefix("#") for line in path.read_text().splitlines(keepends=True) if line[0] == "#")
    lines = re.findall(r"remot fit .*", header.replace("\\\n", " "))
    return [[PROJECT / file for file in re.findall(r"--config (\S+)", line)] for line in lines]


def test_there_is_a_test_for_each_file():
    assert {path.stem for path in FRAGMENTS} == set(PARTS)


@every_fragment
def test_header_states_how_to_launch_and_what_is_ours(path):
    header = path.read_text().split("\nmodel:")[0]
    assert "Published: " in header
    assert "Ours" in header
    first, second = commands(path)
    assert all(file.exists() for file in first + second)
    assert path in first
    assert path in second


@by_speed()
def test_takes_a_step(path, tmp_path):
    """The first command of its header, with short completions: a finite loss, and a metric for each part."""
    settings = SMALL | ({} if path.stem == "t_grpo" else {"model.grpo.num_completions": 2})
    more = [str(word) for key, value in settings.items() for word in (f"--{key}", value)]
    cli = run_fit(tmp_path, *commands(path)[0], steps=1, more=more)
    metrics = cli.trainer.callback_metrics
    parts, counterfactual = PARTS[path.stem]
    assert cli.trainer.global_step == 1
    assert math.isfinite(metrics["train/loss"])
    assert {f"train/reward/{name}" for name in parts} <= set(metrics)
    held = cli.model.objectives["GRPO"].counterfactuals
    assert held is None if counterfactual is None else type(held) is counterfactual
    assert ("train/rollout/counterfactual_seconds" in metrics) == (counterfactual is not None)


@pytest.fixture(scope="module")
def on_a_recipe(tmp_path_factory):
    """What the second command of a file's header builds, once for all tests."""
    return cache(lambda path: run_fit(tmp_path_factory.mktemp("built"), *commands(path)[1]))


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path, id=path.stem, marks=() if path.stem in ("motion_o", "tempr1", "lengths") else pytest.mark.slow
        )
        for path in FRAGMENTS
    ],
)
def test_builds_on_a_recipe_for_real_models(path, on_a_recipe):
    """What the file says is in effect, the rest is the recipe's."""
    cli = on_a_recipe(path)
    grpo, recipe = cli.model.objectives["GRPO"], yaml.safe_load(commands(path)[1][0].read_text())
    kinds = {"motion_o": GatedReward, "tempr1": PerTaskReward, "temporal_rlt": PerTaskReward}
    assert type(grpo.scorer) is kinds.get(path.stem, CompositeReward)
    assert cli.model.policy_settings.source.pretrained == recipe["model"]["policy"]["source"]["pretrained"]
    told = yaml.safe_load(path.read_text())
    tasks = [task["class_path"].rpartition(".")[2] for task in told.get("data", {}).get("tasks", ())]
    assert [type(task).__name__ for task in cli.datamodule.tasks] == (tasks or ["MotionContrast"])


def test_motion_o_holds_the_published_numbers(on_a_recipe):
    cli = on_a_recipe(PROJECT / "configs" / "rewards" / "motion_o.yaml")
    grpo, adaptation = cli.model.objectives["GRPO"], cli.model.policy_settings.adaptation
    assert isinstance(grpo.loss, GSPOLoss)
    assert (grpo.loss.clip_low, grpo.loss.clip_high, grpo.loss.beta) == (0.2, 0.2, 0.04)
    assert (grpo.num_completions, grpo.sampling.temperature, grpo.max_new_tokens) == (4, 0.7, 768)
    assert (adaptation.rank, adaptation.alpha, adaptation.dropout) == (16, 32, 0.05)
    matched = [kind for kind in "qkvo" if re.fullmatch(adaptation.target_modules, f"a.language_model.b.{kind}_proj")]
    assert matched == list("qkvo")
    assert cli.config["fit"].model.optimizer.init_args.lr == 5e-7


@pytest.mark.parametrize(
    ("name", "row", "total"),
    [
        (
            "sage",
            {"task": "any", "completion": respond("A"), "reference": {
                "solution": "A", "counterfactuals": [respond("B")], "answer_map": {"A": "B"}}},
            1.0,
        ),
        ("tempr1", {"task": "temporal_grounding_spans", "completion": "<think>a</think><answer>[(1, 2)]</answer>",
                    "reference": {"intervals": [[1, 2]]}}, 3.0),
    ],
)  # fmt: skip
def test_a_fragment_alone_scores_answers(name, row, total, capsys):
    """``remot score``: SAGE's part of a consistent answer; TempR1's format, number and matching."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as rows:
        rows.write(json.dumps(row) + "\n")
        rows.flush()
        main(["score", "--config", str(PROJECT / "configs" / "rewards" / f"{name}.yaml"), "--input", rows.name])
    scored = json.loads(capsys.readouterr().out)
    assert (scored["parts"]["duality"] if name == "sage" else scored["total"]) == total
