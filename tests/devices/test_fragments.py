"""The files under ``configs/devices`` and ``configs/engines`` are second configurations that build what they say."""

import importlib.util

import pytest
import yaml
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy

from remot.cli import main
from remot.commands.training import cli as training
from remot.commands.training.cli import RemotCLI
from remot.losses import TruncatedImportance
from remot.rollout import VLLM, ServerEngine, SGLang, TransformersServe
from tests.helpers import PROJECT
from tests.tiny import model_folder

CONFIGS = PROJECT / "configs"
FILES = sorted([*(CONFIGS / "devices").glob("*.yaml"), *(CONFIGS / "engines").glob("*.yaml")])
pytestmark = pytest.mark.usefixtures("parser_of_one_subcommand")
PROTOCOLS = {"vllm": VLLM, "sglang": SGLang, "transformers_serve": TransformersServe}


class Stop(Exception):  # noqa: N818
    """Everything is built."""


@pytest.fixture
def build(monkeypatch, tmp_path):
    """The trainer and the module of a recipe with a file, on this machine's processors and no second process."""

    def run(path, *arguments, logger=("--trainer.logger", "false")):
        built = []

        def before_fit(cli):
            built.append(cli)
            raise Stop

        monkeypatch.setattr(RemotCLI, "before_fit", before_fit, raising=False)
        monkeypatch.chdir(tmp_path)
        base = CONFIGS / ("quickstart.yaml" if "transformers" in path.stem else "grpo.yaml")
        place = ["--trainer.accelerator", "cpu", *logger, "--trainer.default_root_dir", tmp_path]
        weights = ["--model.policy.source.pretrained", model_folder(), "--model.policy.source.dtype", "float32"]
        command = ["fit", "--config", base, "--config", path, *weights, *place, *arguments]
        with pytest.raises(Stop):
            main([str(word) for word in command])
        return built[0]

    return run


def test_all_are_looked_at():
    assert {path.stem for path in FILES} == {"ddp", "fsdp2", "deepspeed_zero2", *PROTOCOLS}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_header_states_how_to_launch_and_what_was_run(path):
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    own = f"--config configs/{path.parent.name}/{path.name}"
    assert any("fit --config configs/" in line and own in line for line in header)
    assert any("run by us" in line.lower() or "not run" in line.lower() for line in header)


@pytest.mark.parametrize("name", ["ddp", "fsdp2"])
def test_strategies(name, build):
    wanted = yaml.safe_load((CONFIGS / "devices" / f"{name}.yaml").read_text())["trainer"]
    cli = build(CONFIGS / "devices" / f"{name}.yaml")
    strategy = cli.trainer.strategy
    assert cli.trainer.num_devices == wanted["devices"] == 8
    assert cli.datamodule.batch_size * cli.trainer.num_devices == 16
    if name == "ddp":
        assert isinstance(strategy, DDPStrategy)
        assert not strategy._ddp_kwargs.get("find_unused_parameters", False)
    else:
        assert isinstance(strategy, ModelParallelStrategy)
        assert strategy._data_parallel_size == wanted["devices"] * wanted["num_nodes"]
        assert (strategy._tensor_parallel_size, strategy._save_distributed_checkpoint) == (1, False)


@pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="needs remot[deepspeed]")
def test_deepspeed_is_instantiated(build):
    cli = build(CONFIGS / "devices" / "deepspeed_zero2.yaml")
    config = cli.trainer.strategy.config
    assert config["zero_optimization"]["stage"] == 2
    assert config["gradient_clipping"] == cli.model.gradient_clip_norm


def test_deepspeed_clips_as_the_module_would():
    content = yaml.safe_load((CONFIGS / "devices" / "deepspeed_zero2.yaml").read_text())
    strategy = content["trainer"]["strategy"]
    assert strategy["class_path"] == "lightning.pytorch.strategies.DeepSpeedStrategy"
    assert strategy["init_args"]["config"]["gradient_clipping"] == 1.0  # the module's default


@pytest.mark.parametrize("name", PROTOCOLS)
def test_engines(name, build):
    objective = build(CONFIGS / "engines" / f"{name}.yaml").model.objectives["GRPO"]
    assert isinstance(objective.engine, ServerEngine)
    assert type(objective.engine.protocol) is PROTOCOLS[name]
    assert isinstance(objective.importance, TruncatedImportance)
    assert objective.engine.folder.is_absolute()


@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_one_process_opens_the_store(rank, build, monkeypatch, tmp_path):
    """Several at once would make the tables of a new store twice, and a run each.

    The store has an address of its own: MLflow remembers stores by address, and other tests have one of that name.
    """
    monkeypatch.setattr(training.rank_zero_only, "rank", rank)
    store = ("--trainer.logger.init_args.tracking_uri", f"sqlite:///{tmp_path / 'mlflow.db'}")
    cli = build(CONFIGS / "devices" / "ddp.yaml", logger=store)
    assert len(cli.trainer.loggers) == (1 if rank == 0 else 0)
