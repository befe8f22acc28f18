"""The recipes of configs/systems: they hold the published numbers, build, score, and take steps with their rewards."""

import contextlib
import functools
import math
import re

import pytest
import yaml

from remot.cli import main
from remot.commands.score import reward_from
from remot.commands.training.cli import RemotCLI
from remot.data.tasks import MotionContrast
from remot.losses import GroupAdvantages
from remot.models import ModelSource
from remot.rewards import PerTaskReward
from remot.strategies import ShuffledFrames
from tests.helpers import PROJECT

SYSTEMS = PROJECT / "configs" / "systems"
OVERRIDES = SYSTEMS / "quickstart_overrides.yaml"
LEARN = SYSTEMS / "quickstart_learn.yaml"
NO_GRAPHS = SYSTEMS / "quickstart_no_graphs.yaml"
NAMES = ("remot", "spacer", "video_str", "videochat_r1", "videochat_r1_5")
pytestmark = pytest.mark.usefixtures("parser_of_one_subcommand")
every_system = pytest.mark.parametrize("name", NAMES)


class _StopError(Exception):
    """Everything is built."""


def run_fit(folder, *configs, steps=0, more=()):
    """What ``remot fit`` builds of configurations, after ``steps`` steps."""
    built = []

    def before_fit(cli):
        built.append(cli)
        if not steps:
            raise _StopError

    files = [word for config in configs for word in ("--config", str(config))]
    place = ["--trainer.accelerator", "cpu", "--trainer.logger", "false", "--trainer.precision", "32-true"]
    place += ["--trainer.default_root_dir", str(folder), "--trainer.max_steps", str(max(steps, 1)), *more]
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(_StopError):
        patch.setattr(RemotCLI, "before_fit", before_fit, raising=False)
        if not steps:  # nothing is loaded
            patch.setattr(ModelSource, "require_found", lambda _: None)
        main(["fit", *files, *place])
    return built[0]


@pytest.fixture
def fit(tmp_path):
    """Runs ``remot fit`` on configurations."""
    return functools.partial(run_fit, tmp_path)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """What files of configs/systems build, one on top of the other; once for all tests, as parsing takes seconds."""
    return functools.cache(
        lambda *names: run_fit(tmp_path_factory.mktemp("built"), *(SYSTEMS / f"{name}.yaml" for name in names))
    )


@pytest.fixture
def recipe(built):
    """What a recipe builds as it is."""
    return built


def test_there_is_a_file_for_each_system():
    assert {path.stem for path in SYSTEMS.glob("*.yaml")} == {*NAMES, OVERRIDES.stem, LEARN.stem, NO_GRAPHS.stem}


@every_system
def test_header_states_how_to_launch_and_what_is_ours(name):
    header = (SYSTEMS / f"{name}.yaml").read_text().split("\nseed_everything")[0]
    assert all(line.startswith("#") for line in header.splitlines())
    own = f"configs/systems/{name}.yaml"
    assert f"remot fit --config {own} --config configs/systems/{OVERRIDES.name}\n" in header
    devices = f"configs/devices/{'ddp' if name == 'remot' else 'fsdp2'}.yaml"
    assert set(re.findall(r"--config (\S+)", header)) == {own, f"configs/systems/{OVERRIDES.name}", devices}
    assert "# Published:" in header
    assert "# Ours (reconstruction):" in header


#: Published: model, completions for each prompt, weight of the KL term; new tokens and learning rate.
PUBLISHED = {
    "remot": ("Qwen/Qwen3-VL-4B-Thinking", 4, 0.01, None, None),
    "spacer": ("Qwen/Qwen2.5-VL-7B-Instruct", 8, 0.04, 1024, 1e-6),
    "video_str": ("Qwen/Qwen2.5-VL-7B-Instruct", 8, None, None, None),
    "videochat_r1": ("Qwen/Qwen2.5-VL-7B-Instruct", 8, 0.04, 1024, 1e-6),
    "videochat_r1_5": ("Qwen/Qwen2.5-VL-7B-Instruct", 8, None, None, 1e-6),
}


@every_system
def test_recipes_hold_the_published_numbers(name, recipe):
    model, group, beta, tokens, rate = PUBLISHED[name]
    cli = recipe(name)
    settings, grpo = cli.config["fit"].model, cli.model.objectives["GRPO"]
    assert settings.policy.source.pretrained == model
    assert grpo.num_completions == group
    assert beta is None or grpo.loss.beta == beta
    assert tokens is None or grpo.max_new_tokens == tokens
    assert rate is None or settings.optimizer.init_args.lr == rate
    assert grpo.loss.beta == (0.01 if name == "remot" else 0.04)
    assert cli.model.objectives["SFT"].loss_on == ("answer" if name == "remot" else "response")
    assert isinstance(grpo.comparison, GroupAdvantages)
    assert (grpo.sampling.temperature, grpo.updates_per_rollout) == (1.0, 1)
    assert cli.model.strategy.name == ("AlternatingSFTGRPO" if name == "remot" else "GRPO")


def test_spacer_holds_its_own_numbers(recipe):
    """Weight decay 0.01, gradients to 5, G / 2 shuffled answers, a cosine, images of at most 401,408 pixels."""
    cli = recipe("spacer")
    model = cli.config["fit"].model
    assert model.optimizer.init_args.weight_decay == 0.01
    counterfactuals = cli.model.objectives["GRPO"].counterfactuals
    assert isinstance(counterfactuals, ShuffledFrames)
    assert (model.gradient_clip_norm, counterfactuals.num_completions) == (5.0, 4)
    assert model.scheduler.class_path.endswith("CosineAnnealingLR")
    assert (model.policy.source.max_pixels, model.policy.source.video_max_pixels) == (401408, 128 * 28 * 28)
    written = yaml.safe_load((SYSTEMS / "spacer.yaml").read_text())
    assert written["model"]["scheduler"]["init_args"]["T_max"] == written["trainer"]["max_steps"]
    assert all(task.frames.max_frames == 16 and task.frames.fps == 2.0 for task in cli.datamodule.tasks)


def test_videochat_r1_5_holds_its_own_numbers(recipe):
    """8192 x 28 x 28 pixels for 32 patches of two frames; two looks; at most 3 stretches; no think element."""
    cli = recipe("videochat_r1_5")
    assert cli.config["fit"].model.policy.source.video_max_pixels * 64 == 2 * 8192 * 28 * 28
    assert (cli.model.evaluation.perception.num_perceptions, cli.model.evaluation.perception.max_stretches) == (2, 3)
    assert cli.datamodule.resampler is not None
    assert not any(task.thinks for task in cli.datamodule.tasks)
    assert all(task.thinks for task in recipe("videochat_r1").datamodule.tasks)
    assert recipe("videochat_r1").model.evaluation.perception is None


@every_system
def test_every_task_has_a_reward(name, recipe):
    tasks = recipe(name).datamodule.tasks
    reward = reward_from(SYSTEMS / f"{name}.yaml")
    assert (name == "remot") == ([type(task) for task in tasks] == [MotionContrast])
    if isinstance(reward, PerTaskReward):
        assert {task.name for task in tasks} <= set(reward.tasks)
    assert len({task.name for task in tasks}) == len(tasks)


@pytest.mark.slow  # in the fast tier tests/test_configs.py takes steps, and tests/test_own_questions.py about videos
@every_system
def test_takes_a_step_with_the_overrides(name, fit):
    """With remot-tiny on the clips that come with the library, one prompt of each of four tasks."""
    small = {"held_out.enabled": "false", "summary.export": "false", "data.num_val_prompts": 2, "data.batch_size": 4}
    small |= {"model.grpo.max_new_tokens": 8, "model.grpo.num_completions": 2, "trainer.limit_val_batches": 0}
    more = [str(word) for key, value in small.items() for word in (f"--{key}", value)]
    cli = fit(SYSTEMS / f"{name}.yaml", OVERRIDES, steps=1, more=more)
    assert cli.trainer.global_step == 1
    assert math.isfinite(cli.trainer.callback_metrics["train/loss"])
    assert cli.model.policy_settings.source.pretrained == "remot-tiny"
    if name != "remot":
        videos = cli.datamodule.prompts["train"][0].videos or cli.datamodule.prompts["train"][0].images
        assert len(videos) > 0
        assert cli.datamodule.describe()


@pytest.mark.parametrize(
    "name", ["remot", pytest.param("video_str", marks=pytest.mark.slow)]
)  # an AlternatingSFTGRPO and a GRPO; the others are as this
def test_learning_takes_all_weights_and_the_policy_of_sft_as_reference(name, built):
    cli = built(name, OVERRIDES.stem, LEARN.stem)
    grpo = cli.model.objectives["GRPO"]
    assert (cli.model.strategy.name, cli.model.policy_settings.adaptation) == ("SFTThenGRPO", None)
    assert cli.model.strategy.reference == "phase_start"
    assert grpo.loss.beta == (0.01 if name == "remot" else 0.04)  # the system's own
    assert grpo.max_new_tokens == cli.model.evaluation.max_new_tokens == 224
    assert cli.model.objectives["SFT"].loss_on == "response"


@pytest.mark.slow
def test_without_graphs_the_same_tasks_have_no_graph(built):
    recipe, short = (built("video_str", OVERRIDES.stem, LEARN.stem, *more) for more in ((), (NO_GRAPHS.stem,)))
    tasks = [cli.datamodule.tasks for cli in (recipe, short)]
    assert [type(task) for task in tasks[0]] == [type(task) for task in tasks[1]]
    graphs = [[getattr(task, "num_graphs", 0) for task in some] for some in tasks]
    assert sum(graphs[0]) == 18
    assert sum(graphs[1]) == 0
    assert short.model.objectives["GRPO"].max_new_tokens == short.model.evaluation.max_new_tokens == 336


@pytest.mark.slow
def test_triplets_and_tasks_are_learnt_and_scored_together(fit, tmp_path, capsys):
    """SFT, then GRPO, on triplets and questions about events; the table has letters, and each task's own reward."""
    rewards = {
        "motion_contrast": {"class_path": "remot.rewards.ReMoTReward"},
        "multiple_choice": {"class_path": "remot.rewards.ExactAnswerReward"},
    }
    per_task = {"class_path": "remot.rewards.PerTaskReward", "init_args": {"tasks": rewards}}
    mixed = {
        "model": {
            "strategy": {"class_path": "SFTThenGRPO", "init_args": {"sft_steps": 1}},
            "grpo": {"reward": per_task, "num_completions": 2, "max_new_tokens": 6},
            "evaluation": {"max_new_tokens": 6},
        },
        "data": {
            "tasks": [{"class_path": f"remot.data.tasks.{name}"} for name in ("MotionContrast", "EventChoice")],
            "num_test_prompts": 8,
        },
        "summary": {"export": False},
        "trainer": {"limit_val_batches": 0},
    }
    (tmp_path / "mixed.yaml").write_text(yaml.safe_dump(mixed))
    cli = fit(SYSTEMS / "remot.yaml", OVERRIDES, tmp_path / "mixed.yaml", steps=2)
    assert cli.trainer.global_step == 2
    told = capsys.readouterr().out
    rows = [line.split("│")[1].strip() for line in told.splitlines() if line.startswith("│")]
    wanted = {"partial", "motion_contrast total", "motion_contrast success", "multiple_choice total"}
    assert wanted | {f"{name} (greedy)" for name in wanted} <= set(rows)
    assert "motion_contrast: train 32 prompts of " in told
