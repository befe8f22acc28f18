"""An export computes, with transformers and PEFT alone, what the policy computes."""

import errno
import json

import pytest
import torch
from peft import PeftModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from remot.errors import CheckpointError, ConfigError
from remot.models import ModelSource, QLoRA
from remot.models.export import check_export, name_base, published_base, save_merged, save_trained
from tests.tiny import make_lora_policy, make_policy, model_folder, randomise_


@pytest.fixture(scope="module")
def policy():
    return make_lora_policy()


def test_an_adapter_loads_in_peft_with_the_same_logits(policy, tmp_path):
    save_trained(policy, tmp_path, step=60)
    check = check_export(policy, tmp_path, is_adapter=True)
    assert check.max_difference <= 1e-5 * check.max_logit
    assert check.max_logit > 0
    assert check.num_positions > 20


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), SafetensorError("No space left")])
def test_a_disk_that_does_not_take_an_export_is_named(policy, tmp_path, monkeypatch, error):
    def full(*_, **__):
        raise error

    monkeypatch.setattr(policy.model, "save_pretrained", full)
    with pytest.raises(CheckpointError, match=rf"{tmp_path}/out: No space left.*remot export"):
        save_trained(policy, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_merged_model_loads_in_transformers_with_the_same_logits(policy, tmp_path):
    save_merged(policy, tmp_path)
    assert not (tmp_path / "adapter_config.json").exists()
    check = check_export(policy, tmp_path, is_adapter=False)
    assert check.max_difference <= 1e-4 * check.max_logit


@pytest.mark.parametrize("merge", [False, True])
def test_the_check_notices_other_weights(policy, tmp_path, merge):
    (save_merged if merge else save_trained)(policy, tmp_path)
    file = tmp_path / ("model.safetensors" if merge else "adapter_model.safetensors")
    tensors = load_file(file)
    name = next(name for name in tensors if "layers.0" in name and name.endswith("weight"))
    save_file(tensors | {name: tensors[name] + 1}, file, metadata={"format": "pt"})
    check = check_export(policy, tmp_path, is_adapter=not merge)
    assert check.max_difference > 1e-3 * check.max_logit


def test_four_bit_weights_are_dequantised_and_merged(tmp_path):
    policy = make_policy(adaptation=QLoRA(rank=3, compute_dtype="float32"))
    randomise_(weight for name, weight in policy.named_parameters() if "lora_B" in name)
    save_merged(policy, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert "quantization_config" not in config
    assert config["dtype"] == "float32"
    assert {tensor.dtype for tensor in load_file(tmp_path / "model.safetensors").values()} == {torch.float32}
    check = check_export(policy, tmp_path, is_adapter=False)
    assert check.max_difference <= 1e-4 * check.max_logit


def test_an_exported_adapter_names_its_base_and_no_path(policy, tmp_path):
    save_trained(policy, tmp_path, step=60)
    name_base(tmp_path, "Qwen/Qwen3-VL-4B-Instruct", 60)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == (
        "Qwen/Qwen3-VL-4B-Instruct"
    )
    assert json.loads((tmp_path / "remot.json").read_text()) == {"base_model": "Qwen/Qwen3-VL-4B-Instruct", "step": 60}
    base = AutoModelForImageTextToText.from_pretrained(policy.source.resolve())
    assert isinstance(PeftModel.from_pretrained(base, tmp_path), PeftModel)


def test_the_base_is_named_as_others_find_it(tmp_path):
    assert published_base(ModelSource()) == "remot-tiny"
    assert published_base(ModelSource("Qwen/Qwen3-VL-4B-Instruct")) == "Qwen/Qwen3-VL-4B-Instruct"
    snapshot = tmp_path / "hub" / "models--Qwen--Qwen3-VL-4B-Instruct" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    assert published_base(ModelSource(str(snapshot))) == "Qwen/Qwen3-VL-4B-Instruct"
    folder = str(model_folder("qwen3_vl"))
    assert published_base(ModelSource(folder), "ORG/NAME") == "ORG/NAME"
    with pytest.raises(ConfigError, match="base_name") as error:
        published_base(ModelSource(folder))
    assert folder in str(error.value)
