"""``remot export``: from a run's checkpoint or adapter to files that others load."""

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from remot.commands import export as export_module
from remot.commands.dispatch import run
from remot.commands.evaluate_weights import WeightChoice, responder_for
from remot.commands.policies import open_policy
from remot.errors import CheckpointError, ConfigError
from remot.models import LoRA, ModelSource
from remot.models.export import ExportCheck, save_trained
from remot.strategies import PolicySettings, PostTrainingModule
from tests.tiny import model_folder, randomise_

CONFIG = {"seed_everything": 5, "model": {"policy": {"adaptation": {"class_path": "remot.models.LoRA"}}}}


@pytest.fixture(scope="module")
def trained():
    module = PostTrainingModule(PolicySettings(ModelSource(), LoRA()))
    module.configure_model()
    randomise_(weight for name, weight in module.loaded_policy.named_parameters() if "lora_B" in name)
    return module


@pytest.fixture(scope="module")
def held(trained):
    """What a checkpoint of step 60 holds. Copy before changing it."""
    checkpoint = {"state_dict": trained.state_dict(), "global_step": 60, "remot_config": json.dumps(CONFIG)}
    trained.on_save_checkpoint(checkpoint)
    return checkpoint


@pytest.fixture
def ckpt_path(held, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    torch.save(held, folder / "last.ckpt")
    return folder / "last.ckpt"


def weights_of(policy):
    return {name: weight for name, weight in policy.named_parameters() if name in policy.trained_names}


def assert_same_weights(policy, other):
    ours, theirs = weights_of(policy), weights_of(other)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_checkpoint_opens_with_its_trained_weights(trained, ckpt_path):
    opened = open_policy(ckpt_path=ckpt_path)
    assert_same_weights(opened.policy, trained.loaded_policy)
    assert opened.step == 60
    assert str(ckpt_path) in opened.weights
    assert opened.config == CONFIG
    assert opened.run_folder == ckpt_path.parent


def test_an_adapter_opens_with_its_weights(trained, tmp_path):
    folder = save_trained(trained.loaded_policy, tmp_path / "adapter", step=60)
    opened = open_policy(model=str(folder))
    assert_same_weights(opened.policy, trained.loaded_policy)
    assert opened.step == 60
    assert opened.run_folder == tmp_path


def test_the_card_takes_scores_of_the_same_weights_alone(trained, ckpt_path, tmp_path):
    """The hash of an evaluation by the adapter is that of an export from the checkpoint."""
    save_trained(trained.loaded_policy, tmp_path / "adapter", step=60)
    choice = WeightChoice(None, tmp_path / "adapter", None, None, None, "cpu")
    metrics = {"overall": {"mean": 0.25, "low": 0.125, "high": 0.5, "n": 40}}
    scores = {"benchmark": "remot-bench", "metrics": metrics, "weights_hash": responder_for(choice).weights_hash}
    file = tmp_path / "scores.json"
    file.write_text(json.dumps(scores))
    words = ["export", "--ckpt_path", str(ckpt_path), "--check", "false", "--scores", str(file)]
    run([*words, "--out", str(tmp_path / "out")])
    assert "| overall | 0.250 [0.12, 0.50] | 40 |" in (tmp_path / "out" / "README.md").read_text()
    file.write_text(json.dumps(scores | {"weights_hash": "0" * 64}))
    with pytest.raises(ConfigError, match="0000000000000000"):
        run([*words, "--out", str(tmp_path / "other")])
    assert not (tmp_path / "other").exists()


def test_what_lies_beside_another_model_is_not_of_its_run(trained, tmp_path):
    copied = save_trained(trained.loaded_policy, tmp_path / "copied", step=60)
    assert open_policy(model=str(copied)).run_folder is None
    assert open_policy(model="remot-tiny").run_folder is None


@pytest.mark.parametrize(
    "class_path", ["os.system", "evil.LoRA", "remot.models.evil.LoRA", "remot.models.packing.LoRA", "", "x" * 500]
)
def test_a_checkpoint_names_no_class_of_others(held, tmp_path, class_path):
    config = {"model": {"policy": {"adaptation": {"class_path": class_path}}}}
    torch.save(held | {"remot_config": json.dumps(config)}, tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match="configuration") as error:
        open_policy(ckpt_path=tmp_path / "last.ckpt")
    assert len(str(error.value)) < 400


@pytest.mark.parametrize("config", [None, "", "[]", "{}", '{"model": {"policy": 3}}', "[" * 10_000])
def test_a_checkpoint_without_a_configuration_is_named(held, tmp_path, config):
    torch.save(held | {"remot_config": config}, tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError, match=r"last\.ckpt .*config"):
        open_policy(ckpt_path=tmp_path / "last.ckpt")


def test_the_configuration_can_be_given(trained, held, tmp_path):
    torch.save({name: value for name, value in held.items() if name != "remot_config"}, tmp_path / "last.ckpt")
    (tmp_path / "config.yaml").write_text("model: {policy: {adaptation: LoRA}}")
    opened = open_policy(ckpt_path=tmp_path / "last.ckpt", config=[tmp_path / "config.yaml"])
    assert_same_weights(opened.policy, trained.loaded_policy)


def test_weights_that_are_missing_are_named(held, tmp_path):
    name = max(name for name in held["state_dict"] if "lora_B" in name)
    state = {key: value for key, value in held["state_dict"].items() if key != name}
    torch.save(held | {"state_dict": state}, tmp_path / "last.ckpt")
    with pytest.raises(CheckpointError) as error:
        open_policy(ckpt_path=tmp_path / "last.ckpt")
    assert name in str(error.value)


def test_a_checkpoint_of_another_model_is_refused(ckpt_path):
    with pytest.raises(CheckpointError, match="remot-tiny"):
        open_policy(model=str(model_folder("qwen3_vl")), ckpt_path=ckpt_path)


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"none\.ckpt"):
        open_policy(ckpt_path=tmp_path / "none.ckpt")


def test_the_command_writes_an_adapter_with_a_card(trained, ckpt_path, tmp_path, capsys):
    results = {"sampled": {"partial": {"trained": {"mean": 0.84}}}, "step": 60}
    (ckpt_path.parent / "held_out.json").write_text(json.dumps(results))
    out = tmp_path / "out"
    run(["export", "--ckpt_path", str(ckpt_path), "--out", str(out)])
    saved = load_file(out / "adapter_model.safetensors")
    ours = weights_of(trained.loaded_policy)
    assert len(saved) == len(ours)
    assert json.loads((out / "adapter_config.json").read_text())["base_model_name_or_path"] == "remot-tiny"
    card = (out / "README.md").read_text()
    assert "0.840" in card
    assert "60 steps" in card
    assert "seed_everything: 5" in card
    printed = capsys.readouterr()
    assert printed.out == f"{out}\n"
    assert "step 60" in printed.err


def test_merge_is_a_switch(ckpt_path, tmp_path):
    out = tmp_path / "out"
    run(["export", "--merge", "--ckpt_path", str(ckpt_path), "--out", str(out)])
    assert (out / "model.safetensors").is_file()
    assert not (out / "adapter_config.json").exists()
    assert not (out / "remot.json").exists()


def test_a_folder_with_content_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(ConfigError, match="--out") as error:
        run(["export", "--model", "remot-tiny", "--out", str(tmp_path)])
    assert str(tmp_path) in str(error.value)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_something_to_export_has_to_be_given(tmp_path):
    with pytest.raises(ConfigError, match="--ckpt_path"):
        run(["export", "--out", str(tmp_path / "out")])


def test_an_export_that_computes_something_else_is_an_error(ckpt_path, tmp_path, monkeypatch):
    monkeypatch.setattr("remot.models.export.check_export", lambda *_, **__: ExportCheck(1.0, 15.0, 26))
    with pytest.raises(ConfigError, match="differ"):
        run(["export", "--ckpt_path", str(ckpt_path), "--out", str(tmp_path / "out")])


def test_push_uploads_the_folder(tmp_path, monkeypatch, capsys):
    calls = []
    hub = SimpleNamespace(
        create_repo=lambda repository, **settings: calls.append((repository, settings)),
        upload_folder=lambda **settings: calls.append(settings) or "https://hub/ORG/NAME",
    )
    monkeypatch.setattr("huggingface_hub.HfApi", lambda: hub)
    export_module._push(tmp_path, "ORG/NAME")
    assert calls == [
        ("ORG/NAME", {"exist_ok": True, "private": True}),
        {"repo_id": "ORG/NAME", "folder_path": tmp_path},
    ]
    assert "https://hub/ORG/NAME" in capsys.readouterr().err


def test_a_refused_push_leaves_the_export(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError("offline")

    monkeypatch.setattr("huggingface_hub.HfApi", lambda: SimpleNamespace(create_repo=refuse))
    with pytest.raises(ConfigError, match="offline") as error:
        export_module._push(tmp_path, "ORG/NAME")
    assert str(tmp_path) in str(error.value)
