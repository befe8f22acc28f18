"""Every file under ``configs/`` builds what it says and takes a step; every example of the documentation works."""

import json
import math
import re
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import yaml
from lightning.pytorch import LightningDataModule, Trainer

from remot.cli import main
from remot.commands.training.cli import RemotCLI
from remot.data.annotations import NativeReader, RealEstate10KReader
from remot.data.media import write_video
from remot.models import FeatureStore
from remot.models.memory import MemoryEstimate
from remot.rollout.decoding.engine import RolloutSettings
from remot.rollout.decoding.memory import decode_bytes, plan_decode, score_bytes
from remot.strategies import PolicySettings, PostTrainingModule
from tests.data.handmade import SIZE, mixed_clips, poses, write_folder
from tests.helpers import PROJECT
from tests.tiny import model_folder

#: Those under configs/data hold a data section only, see tests/data/annotations/test_fragments.py, those under
#: configs/losses a loss only, see tests/strategies/test_loss_fragments.py; configs/systems has tests/test_systems.py.
#: For those under configs/devices and configs/engines see tests/devices/test_fragments.py, for configs/rewards
#: tests/test_reward_fragments.py, for configs/preferences tests/strategies/dpo/test_recipes.py, for configs/turns
#: tests/environments/test_recipes.py, for configs/tasks tests/data/tasks/test_recipes.py, for configs/benchmarks
#: tests/evaluation/benchmarks/test_remot_bench.py, for
#: configs/sweeps tests/commands/test_sweep.py.
FRAGMENTS = {
    "benchmarks", "data", "devices", "engines", "losses", "models", "preferences", "rewards", "sweeps", "systems",
    "tasks", "turns",
}  # fmt: skip
CONFIGS = sorted(path for path in (PROJECT / "configs").rglob("*.yaml") if path.parent.name not in FRAGMENTS)
RECIPES = [path for path in CONFIGS if "Qwen3-VL-4B-Thinking" in path.read_text()]
pytestmark = pytest.mark.usefixtures("parser_of_one_subcommand")
every_config = pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)


@dataclass
class Built:
    """What the command line built, and the trainer it was handed to."""

    trainer: Trainer
    module: PostTrainingModule
    data: LightningDataModule


def write_re10k(folder, num_clips, num_frames=8):
    """RealEstate10K paths of a camera that turns 6 degrees an image, back and forth, with grey images."""
    folder.mkdir(parents=True)
    yaw = [6 * min(k, num_frames - k) for k in range(num_frames)]
    world_to_camera = np.linalg.inv(poses(yaw))[:, :3].reshape(num_frames, 12)
    for clip in range(num_clips):
        rows = [f"https://www.youtube.com/watch?v=video{clip:06d}"]
        for k, matrix in enumerate(world_to_camera):
            numbers = [0.5, 0.9, 0.5, 0.5, 0, 0, *matrix]
            rows.append(" ".join([str(100_000 * k), *(f"{number:.9f}" for number in numbers)]))
        (folder / f"clip{clip}.txt").write_text("\n".join(rows))
        levels = np.arange(num_frames, dtype=np.uint8)[:, None, None, None] * 10
        frames = np.ascontiguousarray(np.broadcast_to(levels, (num_frames, SIZE, SIZE, 3)))
        write_video(folder / f"clip{clip}.mp4", frames, 10)
    return folder


@pytest.fixture(scope="module")
def roots(tmp_path_factory):
    """A small folder of clips for each annotation format."""
    folder = tmp_path_factory.mktemp("roots")
    return {
        "native": str(write_folder(folder / "native", mixed_clips(4))),
        "re10k": str(write_re10k(folder / "re10k", 4)),
    }


@pytest.fixture
def build(monkeypatch, tmp_path, roots):
    """Runs ``remot fit`` on a file with small random weights; without ``fit`` it stops where training would start."""

    class Stop(Exception):  # noqa: N818
        """Everything is built."""

    def run(path, *arguments, fit=False):
        built = []

        def before_fit(cli):
            built.append(Built(cli.trainer, cli.model, cli.datamodule))
            if not fit:
                raise Stop

        monkeypatch.setattr(RemotCLI, "before_fit", before_fit, raising=False)
        root = roots["re10k" if "re10k" in path.stem else "native"]
        weights = ["--model.policy.source.pretrained", str(model_folder()), "--model.policy.source.dtype", "float32"]
        place = ["--trainer.accelerator", "cpu", "--trainer.logger", "false", "--trainer.default_root_dir", tmp_path]
        command = ["fit", "--config", path, "--root", root, *weights, *place, *arguments]
        with nullcontext() if fit else pytest.raises(Stop):
            main([str(word) for word in command])
        return built[0]

    return run


@pytest.fixture(scope="module")
def built_of():
    """What each file builds as it is, for all tests that change nothing of it: parsing takes longest."""
    return {}


@pytest.fixture
def built(path, build, built_of):
    """What the test's file builds."""
    if path not in built_of:
        built_of[path] = build(path)
    return built_of[path]


def strategy_named_in(path):
    named = yaml.safe_load(path.read_text())["model"]["strategy"]
    return named if isinstance(named, str) else named["class_path"]


def test_there_are_configurations():
    names = {
        "quickstart",
        "quickstart_long",
        "real_re10k",
        "1_see",
        "2_answer",
        "3_unsure",
        "4_biased",
        "sft",
        "grpo",
        "sft_then_grpo",
        "sft_grpo_alternating",
    }
    assert names <= {path.stem for path in CONFIGS}
    assert {"sft", "grpo", "sft_then_grpo", "sft_grpo_alternating"} == {path.stem for path in RECIPES}


@every_config
def test_header_states_how_to_launch(path):
    header = path.read_text().split("\nseed_everything")[0]
    assert all(line.startswith("#") for line in header.splitlines())
    own = str(path.relative_to(PROJECT))
    assert f"remot fit --config {own}" in header
    eight_gpus = {"configs/devices/ddp.yaml"} if path in RECIPES else set()
    assert set(re.findall(r"--config (\S+)", header)) == {own} | eight_gpus


@every_config
def test_builds_what_it_says(path, built):
    wanted, module = yaml.safe_load(path.read_text()), built.module
    if path.stem not in SAME_CODE:
        module.configure_model()
        assert module.configure_optimizers() is not None
    assert module.strategy.name == strategy_named_in(path)
    assert built.data.batch_size == wanted["data"]["batch_size"]
    assert built.trainer.max_steps == wanted["trainer"]["max_steps"]
    assert not built.trainer._accelerator_connector.use_distributed_sampler
    assert isinstance(built.data.reader, RealEstate10KReader if "re10k" in path.stem else NativeReader)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_hold_the_published_numbers(path, built):
    """ReMoT: batch 16, 4 rollouts, KL 0.01, weights 3.5 : 3.5 : 1.3 : 1.7 of format, accuracy, conciseness, logic."""
    grpo = built.module.objectives["GRPO"]
    named = {reward.name: weight for reward, weight in zip(grpo.reward.rewards, grpo.reward.weights, strict=True)}
    assert named == {"format": 3.5, "accuracy": 3.5, "conciseness": 1.3, "logic": 1.7}
    assert (built.data.batch_size, grpo.num_completions, grpo.loss.beta) == (16, 4, 0.01)
    assert built.module.objectives["SFT"].loss_on == "answer"
    source = yaml.safe_load(path.read_text())["model"]["policy"]["source"]
    assert source["pretrained"] == "Qwen/Qwen3-VL-4B-Thinking"


PUBLISHED = {"generation": "model", "max_new_tokens": 10_000}


@pytest.mark.parametrize("path", [*RECIPES, PROJECT / "configs/systems/remot.yaml"], ids=lambda path: path.stem)
def test_thinking_models_have_room_to_answer(path):
    """Evaluation as the public code does it; the budget of training is ours, and the header says that and its price."""
    text = path.read_text()
    model = yaml.safe_load(text)["model"]
    assert model["policy"]["source"]["pretrained"].endswith("Thinking")
    assert model["evaluation"] == PUBLISHED
    assert model["grpo"]["max_new_tokens"] == 8192
    header = text.partition("\nseed_everything")[0]
    assert "ours and unverified" in header
    assert f"remot test --config {path.relative_to(PROJECT)}" in header


def test_memory_in_the_headers_is_what_the_planner_plans_with():
    """Qwen3-VL-4B: 36 blocks, 8 key-value heads of 128 for 32 query heads, hidden 2560, feed-forward 9728, bfloat16.

    Adapters of rank 64 in float32: q, k, v, gate and up take 2560 numbers, o 4096, down 9728, and each 64 in between.
    """
    inputs = 5 * 2560 + 4096 + 9728 + 7 * 64
    sizes = MemoryEstimate(
        36,
        2560,
        9728,
        8 * 128,
        151_936,
        2,
        recomputes=True,
        query_size=32 * 128,
        input_size=inputs,
        bytes_per_input=4,
    )
    assert sizes.cache_bytes == 2 * 36 * 8 * 128 * 2 == 147_456
    shapes = {"evaluation": (1100, 1, 10_000), "rollout": (1100, 4, 8192), "instruct": (1100, 4, 1024)}
    planned = {name: round(decode_bytes(sizes, *shape) / 1e9, 1) for name, shape in shapes.items()}
    assert planned == {"evaluation": 1.8, "rollout": 5.2, "instruct": 1.0}
    together = {
        gigabytes: plan_decode(sizes, int((gigabytes * 0.97 - 9.2) * 1e9), (16, *shapes["rollout"]))
        for gigabytes in (40, 80)
    }
    assert together == {40: 4, 80: 10}
    assert round(score_bytes(sizes, *shapes["rollout"]) / 1e9, 1) == 17.2
    assert round(score_bytes(sizes, 1100, 4, 4096) / 1e9) == 9


def test_the_instruct_model_gets_the_cheaper_recipe(build):
    small = "--model.policy.source.pretrained", model_folder()  # in place of the recipe's
    instruct = PROJECT / "configs/models/qwen3_vl_4b_instruct.yaml"
    built = build(PROJECT / "configs" / "grpo.yaml", "--config", instruct, *small)
    assert built.module.objectives["GRPO"].max_new_tokens == built.module.evaluation.max_new_tokens == 1024
    assert built.module.evaluation.generation == "model"


#: Configurations of stages and lengths: the code that they run is that of the others.
SAME_CODE = (
    "sft",  # a first step of alternation and of SFTThenGRPO is a supervised one
    "sft_then_grpo",
    "quickstart",  # tests/commands/training/test_cli.py runs it
    "1_see",
    "2_answer",
    "3_unsure",
    "4_biased",
    "everything",
    "walks_to_real",
    "game_to_real",
    "game_to_real_grpo",
    "game_to_real_more",
    "quickstart_long",
    "quickstart_revisits",
)


@pytest.mark.parametrize(
    "path",
    [pytest.param(path, id=path.stem, marks=[pytest.mark.slow] if path.stem in SAME_CODE else []) for path in CONFIGS],
)
def test_takes_a_step(path, build):
    small = {
        "trainer.max_steps": 1,
        "model.grpo.num_completions": 2,
        "model.grpo.max_new_tokens": 4,
        "model.evaluation.max_new_tokens": 4,
        "model.micro_batch_prompts": 1,
        "data.batch_size": 2,
        "data.num_train_prompts_per_epoch": 4,
        "data.num_val_prompts": 2,
        "data.num_workers": 0,
        "held_out.enabled": "false",
        "summary.export": "false",
    }
    built = build(path, *(word for key, value in small.items() for word in (f"--{key}", value)), fit=True)
    assert built.trainer.global_step == 1
    assert math.isfinite(built.trainer.callback_metrics["train/loss"])


# -- examples of the documentation -------------------------------------------------------------------------------


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (PROJECT / page).read_text(), flags=re.DOTALL)


def test_documented_clip_is_read(tmp_path):
    text = blocks("docs/clip_format.md", "json")[0]
    (tmp_path / "kitchen-7.json").write_text(text)
    write_video(tmp_path / "kitchen-7.mp4", np.zeros((3, 96, 128, 3), dtype=np.uint8), 10)
    (clip,) = NativeReader().read(tmp_path)
    assert (clip.clip_id, clip.scene_id, clip.domain, clip.num_frames) == ("kitchen-7", "kitchen", "manipulation", 3)
    assert clip.effectors["left arm"].opening is not None
    assert clip.objects["red tower"].is_landmark
    assert np.isnan(clip.objects["red ball"].boxes_xyxy[2]).all()


def test_documented_clip_shows_what_the_page_says(tmp_path):
    """The camera turns right, the arm goes up, its gripper opens."""
    from remot.data.experts import CameraYaw, EffectorVertical, Gripper

    test_documented_clip_is_read(tmp_path)
    (clip,) = NativeReader().read(tmp_path)
    told = {
        expert.attribute.name: expert.label(clip, 0, 2, subject).value
        for expert, subject in ((CameraYaw(), ""), (EffectorVertical(), "left arm"), (Gripper(), "left arm"))
    }
    assert told == {"camera_yaw": "right", "effector_vertical": "up", "gripper": "opened"}


def test_library_example_of_the_readme_runs(roots, capsys):
    (text,) = blocks("README.md", "python")
    source = f"PolicySettings(source=ModelSource({str(model_folder())!r}), "
    changed = text.replace("root=None", f"root={roots['native']!r}").replace("PolicySettings(", source)
    changed = changed.replace("LoRA, MotionDataModule", "LoRA, ModelSource, MotionDataModule").replace(
        "import lightning\n", "", 1
    )
    changed = changed.replace("lightning.Trainer(", "Trainer(logger=False, enable_checkpointing=False, ")
    exec(compile(f"from lightning.pytorch import Trainer\n{changed}", "README.md", "exec"), {})
    assert math.isfinite(float(re.search(r"tensor\((.*?)[,)]", capsys.readouterr().out).group(1)))


def test_extensions_of_the_documentation_work(tmp_path, monkeypatch, build):
    """The page's reader, expert and reward are named in its YAML and take a step on a folder in the page's format."""
    (tmp_path / "my_motion.py").write_text("\n\n".join(blocks("docs/extending.md", "python")))
    monkeypatch.syspath_prepend(str(tmp_path))
    settings, asked = {"model": {}, "data": {}}, {}
    for text in blocks("docs/extending.md", "yaml"):
        for section, keys in yaml.safe_load(text).items():
            asked |= keys.pop("tasks", [{"init_args": {}}])[0]["init_args"]
            settings[section] |= keys
    settings["data"]["tasks"] = [{"class_path": "MotionContrast", "init_args": asked}]
    settings["model"]["grpo"] |= {"num_completions": 2, "max_new_tokens": 4}
    settings["data"] |= {"batch_size": 2, "num_train_prompts_per_epoch": 4}
    (tmp_path / "more.yaml").write_text(yaml.safe_dump(settings))
    folder = tmp_path / "arms"
    folder.mkdir()
    for k in range(4):
        hand = [[x, 0.0, 1.0] for x in (0, 0.3, 0.3, 0)]
        (folder / f"{k}.arm").write_text(json.dumps({"t": [0, 0.1, 0.2, 0.3], "hand": hand}))
        write_video(folder / f"{k}.mp4", np.zeros((4, SIZE, SIZE, 3), dtype=np.uint8), 10)
    quickstart = PROJECT / "configs" / "quickstart.yaml"
    small = ["--trainer.max_steps", "1", "--held_out.enabled", "false", "--summary.export", "false"]
    built = build(quickstart, "--config", tmp_path / "more.yaml", "--root", folder, *small, fit=True)
    assert "train/reward/mentions" in built.trainer.callback_metrics
    assert built.data.tasks[0].sampler.experts[0].max_height == 0.05
    sys.modules.pop("my_motion", None)


def test_documented_settings_of_the_engine_are_the_defaults_and_can_be_changed(tmp_path, build):
    (text,) = blocks("docs/engine.md", "yaml")
    (tmp_path / "engine.yaml").write_text(text)
    quickstart = PROJECT / "configs" / "quickstart.yaml"
    built = build(quickstart, "--config", tmp_path / "engine.yaml")
    assert built.module.rollout_engine.settings == RolloutSettings()
    assert built.module.micro_batch_prompts == 4
    policy = built.module.policy_settings
    assert policy.prefix_sharing == PolicySettings().prefix_sharing == "auto"
    assert policy.source.attention == PolicySettings().source.attention == "auto"
    changes = {"rollout.decode": "plain", "rollout.prompts_together": 3, "rollout.check_every": 4}
    changes |= {"micro_batch_prompts": "auto", "policy.prefix_sharing": "off", "policy.source.attention": "flex"}
    module = build(quickstart, *(word for key, value in changes.items() for word in (f"--model.{key}", value))).module
    assert module.rollout_engine.settings == RolloutSettings("plain", 3, 4)
    assert module.micro_batch_prompts == "auto"
    assert (module.policy_settings.prefix_sharing, module.policy_settings.source.attention) == ("off", "flex")


def test_documented_feature_store(tmp_path, build):
    """Off by default; on by the documented section, or by keys on the command line."""
    (text,) = (one for one in blocks("docs/video.md", "yaml") if "feature_store" in one)
    (tmp_path / "store.yaml").write_text(text)
    quickstart = PROJECT / "configs" / "quickstart.yaml"
    documented = build(quickstart, "--config", tmp_path / "store.yaml").module.policy_settings
    assert documented.feature_store == FeatureStore(Path("~/features"), 50)
    assert PolicySettings().feature_store is None
    keys = ("folder", tmp_path / "features"), ("max_gigabytes", 2)
    words = [word for key, value in keys for word in (f"--model.policy.feature_store.{key}", value)]
    small = ["--trainer.max_steps", "1", "--held_out.enabled", "false", "--data.batch_size", "2"]
    built = build(quickstart, *words, *small, fit=True)
    assert built.module.policy_settings.feature_store == FeatureStore(tmp_path / "features", 2.0)
    assert built.trainer.callback_metrics["train/feature_store/computed"] > 0


@pytest.mark.parametrize(
    ("key", "value"), [("decode", "graph"), ("prompts_together", 0), ("check_every", 0), ("prompts_together", "all")]
)
def test_impossible_engine_settings_get_a_one_line_error(capsys, key, value):
    quickstart = PROJECT / "configs" / "quickstart.yaml"
    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--config", str(quickstart), f"--model.rollout.{key}", str(value)])
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("remot:")
    assert key in line
