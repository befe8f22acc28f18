import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText

from remot.errors import CheckpointError, ConfigError
from remot.models import FullWeights, LoRA, ModelSource, QLoRA, VLMPolicy
from remot.models.export import save_trained
from remot.models.loading import describe_source
from tests.tiny import (
    FAMILIES,
    encode,
    make_batch,
    make_lora_policy,
    make_policy,
    model_folder,
    random_completions,
    randomise_,
)

WEIGHTS = "model.safetensors"


@pytest.fixture
def folder(tmp_path):
    """A copy of the small model to break."""
    return Path(shutil.copytree(model_folder(), tmp_path / "copied"))


def logprobs(policy, batch, completions):
    with torch.no_grad():
        return policy.completion_logprobs(encode(policy, batch), completions)


# -- what cannot be loaded -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["/nowhere/at/all", "no-such-folder", "./no/such/folder", "no-such-owner/no-such-model"]
)
def test_missing_model_is_named(name):
    with pytest.raises(CheckpointError, match="cannot load the model") as error:
        ModelSource(name).load()
    message = str(error.value)
    assert repr(name) in message
    assert "huggingface.co" not in message  # nothing was asked of it
    assert "allow_download" in message
    assert "\n" not in message


def test_pickled_weights_are_refused(folder):
    """A pickle may run code when it is read."""
    weights = VLMPolicy(ModelSource(str(folder)), with_reference=False).core.state_dict()
    (folder / WEIGHTS).unlink()
    torch.save(weights, folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="copied"):
        ModelSource(str(folder)).load()


def test_code_that_comes_with_a_model_is_not_run(folder):
    """A configuration that points to a Python file beside it is not followed."""
    (folder / "evil.py").write_text("raise SystemExit('the code of a model was run')\n")
    for name in ("config.json", "tokenizer_config.json", "processor_config.json"):
        path = folder / name
        held = json.loads(path.read_text())
        held["auto_map"] = {"AutoConfig": "evil.Config", "AutoProcessor": "evil.P", "AutoTokenizer": ["evil.T", None]}
        path.write_text(json.dumps(held))
    assert ModelSource(str(folder)).load().model is not None


def truncate_weights(folder):
    weights = folder / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:5000])


def drop_config(folder):
    (folder / "config.json").unlink()


def break_config(folder):
    (folder / "config.json").write_text("{not json")


def text_only(folder):
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen2"}))


def drop_weights(folder):
    (folder / WEIGHTS).unlink()


@pytest.mark.parametrize("damage", [truncate_weights, drop_config, break_config, text_only, drop_weights])
def test_damaged_folder_is_named(folder, damage):
    damage(folder)
    with pytest.raises(CheckpointError, match="copied") as error:
        ModelSource(str(folder)).load()
    assert "\n" not in str(error.value)


def change_tensors(folder, change):
    tensors = load_file(folder / WEIGHTS)
    save_file(change(tensors), folder / WEIGHTS, metadata={"format": "pt"})


def every_second(tensors):
    return {name: tensor for number, (name, tensor) in enumerate(sorted(tensors.items())) if number % 2}


def one_more(tensors):
    return tensors | {"model.language_model.layers.7.mlp.up_proj.weight": torch.ones(3)}


def without_norm(tensors):
    return {name: tensor for name, tensor in tensors.items() if name != "model.language_model.norm.weight"}


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (every_second, r"33 tensors are missing \(lm_head\.weight, "),
        (without_norm, r"1 tensors are missing \(model\.language_model\.norm\.weight\)"),
        (one_more, r"1 tensors are unknown .*layers\.7"),
    ],
)
def test_weights_that_leave_a_part_random_are_refused(folder, change, fact):
    """transformers draws what is missing at random and only warns. Without embeddings the tied head is missing, too."""
    change_tensors(folder, change)
    with pytest.raises(CheckpointError, match=fact) as error:
        ModelSource(str(folder)).load()
    assert str(folder) in str(error.value)
    assert len(str(error.value)) < 500


def test_tied_weights_are_not_missing(folder):
    """The output head has the embeddings' weights, which stand in the file once."""
    assert "lm_head.weight" not in load_file(folder / WEIGHTS)
    assert ModelSource(str(folder)).load().model.lm_head.weight.abs().sum() > 0


def test_a_decoder_over_an_encoder_is_refused(monkeypatch):
    """Its completions are no continuation of the prompt, which all passes suppose."""
    from transformers import T5Gemma2Config

    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "head_dim": 8}
    text = sizes | {"num_key_value_heads": 1, "vocab_size": 400}
    vision = sizes | {"image_size": 8, "patch_size": 4}
    encoder = {"text_config": text, "vision_config": vision, "mm_tokens_per_image": 4}
    config = T5Gemma2Config(encoder=encoder, decoder=text)
    config.is_encoder_decoder = True
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    monkeypatch.setattr(ModelSource, "_load_model", lambda *_, **__: model)
    with pytest.raises(ConfigError, match=r"T5Gemma2ForConditionalGeneration.*decoder"):
        ModelSource(str(model_folder())).load()


def test_random_weights_cannot_be_quantised():
    with pytest.raises(ConfigError, match=r"random_weights.*quanti"):
        VLMPolicy(ModelSource(str(model_folder()), random_weights=True), QLoRA())


# -- what can ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_weights_are_held_in_the_precision_asked_for(dtype):
    policy = make_policy(adaptation=LoRA(rank=2), dtype=dtype)
    base = {p.dtype for name, p in policy.named_parameters() if "lora_" not in name}
    assert base == {getattr(torch, dtype)}
    assert {p.dtype for p in policy.trainable_parameters()} == {torch.float32}


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_scores_are_float32_and_near_those_of_float32(family):
    """Eight bits of mantissa in a few layers: log-probabilities of about -6 are off by some hundredths."""
    exact, coarse, batch = make_policy(family), make_policy(family, dtype="bfloat16"), make_batch(2)
    completions, mask = random_completions(exact, 2, 3, 5)
    one, other = logprobs(exact, batch, completions)[mask], logprobs(coarse, batch, completions)[mask]
    assert other.dtype == torch.float32
    assert 1e-4 < (one - other).abs().mean() < 0.1


def test_random_weights_keep_architecture_and_follow_the_seed():
    source = ModelSource(str(model_folder()), random_weights=True)

    def weights(seed):
        torch.manual_seed(seed)
        return source.load().model.state_dict()

    stored, first, again, other = ModelSource(str(model_folder())).load().model.state_dict(), *map(weights, (1, 1, 2))
    assert first.keys() == stored.keys()
    assert all(first[name].shape == stored[name].shape for name in first)
    assert all(torch.equal(first[name], again[name]) for name in first)
    name = "model.language_model.layers.0.mlp.up_proj.weight"
    assert not torch.equal(first[name], stored[name])
    assert not torch.equal(first[name], other[name])


@pytest.mark.parametrize(
    ("pixels", "num_visual_tokens"),
    [({}, 16), ({"min_pixels": 128**2, "max_pixels": 128**2}, 64), ({"min_pixels": 256, "max_pixels": 32**2}, 4)],
)
def test_image_size(pixels, num_visual_tokens):
    """A visual token is 16 x 16 pixels; the processor's own size is 64 x 64."""
    policy = VLMPolicy(ModelSource(str(model_folder()), **pixels), with_reference=False)
    batch = make_batch(1)
    grid = policy.process(batch).images.grid_thw
    assert int(grid[0].prod()) // 4 == num_visual_tokens


def test_banned_tokens_are_placeholders_and_ids_without_a_text(folder):
    """A vocabulary padded to a round number has rows in the output head that mean nothing."""
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(folder)
    size = model.get_output_embeddings().weight.shape[0]
    model.resize_token_embeddings(size + 3, mean_resizing=False)
    model.save_pretrained(folder)
    loaded = ModelSource(str(folder)).load()
    tokenizer = loaded.processor.tokenizer
    placeholders = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    expected = {*map(tokenizer.convert_tokens_to_ids, placeholders), size, size + 1, size + 2}
    assert loaded.banned_token_ids == sorted(expected)
    policy = VLMPolicy(ModelSource(str(folder)), with_reference=False)
    assert policy.logit_bias.isinf().nonzero()[:, 0].tolist() == sorted(expected)


def test_every_end_token_of_the_generation_settings_ends_a_turn(folder):
    """As Qwen's: <|im_end|> and <|endoftext|> both do; the tokenizer's own comes first and is the one learnt."""
    path = folder / "generation_config.json"
    held = json.loads(path.read_text())
    loaded = ModelSource(str(folder)).load()
    im_end, end_of_text = map(loaded.processor.tokenizer.convert_tokens_to_ids, ("<|im_end|>", "<|endoftext|>"))
    assert loaded.eos_token_ids == (im_end,)
    assert loaded.pad_token_id == end_of_text
    path.write_text(json.dumps(held | {"eos_token_id": [end_of_text, im_end]}))
    assert ModelSource(str(folder)).load().eos_token_ids == (im_end, end_of_text)


def test_names():
    assert describe_source(ModelSource("remot-tiny")) == "remot-tiny"
    assert describe_source(ModelSource("/models/Qwen3-VL-4B-Thinking/")) == "Qwen3-VL-4B-Thinking"
    assert describe_source(ModelSource("Qwen/Qwen3-VL-4B-Thinking")) == "Qwen3-VL-4B-Thinking"
    assert describe_source(ModelSource("a/b", random_weights=True)) == "b (random weights)"
    assert Path(ModelSource("remot-tiny").resolve()).parts[-3:] == ("remot", "assets", "remot-tiny")


# -- what is saved -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_saved_full_weights_load_with_transformers(family, tmp_path):
    """Weights and processor: the same log-probabilities from a policy made of the folder alone."""
    policy, batch = make_policy(family, FullWeights(), train_vision=True, with_reference=False), make_batch(2)
    randomise_(policy.trainable_parameters(), seed=8)
    completions, _ = random_completions(policy, 2, 2, 5)
    saved = save_trained(policy, tmp_path / "deep" / "folder")
    assert {path.suffix for path in saved.iterdir()} <= {".json", ".jinja", ".safetensors"}
    again = VLMPolicy(ModelSource(str(saved)), with_reference=False)
    assert again.pad_token_id == policy.pad_token_id
    assert again.eos_token_ids == policy.eos_token_ids
    assert torch.equal(logprobs(again, batch, completions), logprobs(policy, batch, completions))


@pytest.mark.parametrize("family", FAMILIES)
def test_saved_adapters_load_with_peft(family, tmp_path):
    from peft import PeftModel

    policy, batch = make_lora_policy(family), make_batch(2)
    completions, _ = random_completions(policy, 2, 2, 5)
    saved = save_trained(policy, tmp_path)
    assert (saved / "adapter_model.safetensors").stat().st_size < 200_000
    assert not (saved / WEIGHTS).exists()
    again = make_policy(family)
    assert not torch.equal(logprobs(again, batch, completions), logprobs(policy, batch, completions))
    PeftModel.from_pretrained(again.model, saved)  # puts the adapters into the model it is given
    assert torch.equal(logprobs(again, batch, completions), logprobs(policy, batch, completions))


def test_python_without_docstrings_is_refused_before_a_model_is_sought(monkeypatch):
    monkeypatch.setattr("remot.errors.sys", SimpleNamespace(flags=SimpleNamespace(optimize=2)))
    with pytest.raises(ConfigError, match="PYTHONOPTIMIZE=2"):
        ModelSource().require_found()


def test_a_folder_without_a_configuration_is_no_model(tmp_path):
    (tmp_path / "run").mkdir()
    for load in (ModelSource(str(tmp_path / "run")).require_found, ModelSource(str(tmp_path / "run")).load):
        with pytest.raises(CheckpointError, match=r"run holds no model.*config\.json"):
            load()
