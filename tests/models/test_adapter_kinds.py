"""Kinds of LoRA by PEFT's own configuration: what they compute, merge, export and read back, and what is refused."""

import pytest
import torch

from remot.errors import ConfigError
from remot.models import LoRA, ModelSource, VLMPolicy
from remot.models.export import check_export, save_merged, save_trained
from tests.models.test_adapters import train
from tests.tiny import encode, make_batch, make_policy, model_folder, moved, random_completions, randomise_, snapshot

KINDS = {
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "gaussian": {"init_lora_weights": "gaussian"},
    "merger whole": {"modules_to_save": ["merger"]},
    "norm whole": {"modules_to_save": ["language_model.norm"], "use_rslora": True},
}


def made(kind, **settings):
    """A policy whose adapters, and what is trained whole, differ from their beginning."""
    policy = make_policy("qwen3_vl", LoRA(rank=4, alpha=6.0, **KINDS[kind]), train_vision="merger" in kind, **settings)
    randomise_(p for name, p in policy.named_parameters() if "lora_B" in name)
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "modules_to_save" in name or "magnitude" in name:
                parameter.mul_(1.1)
    return policy


def scores(policy):
    ids, _ = random_completions(policy, 2, 2, 4)
    with torch.no_grad():
        return policy.completion_logprobs(encode(policy, make_batch(2)), ids)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_trained_moves_and_the_reference_does_not(kind):
    policy = make_policy("qwen3_vl", LoRA(rank=4, **KINDS[kind]), train_vision="merger" in kind)
    base = scores(make_policy("qwen3_vl"))
    assert torch.allclose(scores(policy), base, atol=1e-5)  # the first update is zero
    before = snapshot(policy)
    train(policy)
    trained = {name for name, p in policy.named_parameters() if p.requires_grad}
    assert moved(policy, before) == trained
    assert any("modules_to_save" in name for name in trained) == ("whole" in kind)
    assert any("magnitude" in name for name in trained) == (kind == "dora")
    ids, _ = random_completions(policy, 2, 2, 4)
    reference = policy.completion_logprobs(encode_reference(policy), ids, use_reference=True)
    assert torch.allclose(reference, base, atol=1e-5)
    assert (scores(policy) - base).abs().max() > 0.01


def encode_reference(policy):
    return policy.encode(policy.process(make_batch(2)), use_reference=True)


@pytest.mark.parametrize("kind", KINDS)
def test_exports_and_the_sampler_compute_the_policy(kind, tmp_path):
    policy = made(kind)
    expected = scores(policy)
    with policy.sampling():
        assert torch.allclose(scores(policy), expected, atol=1e-4)
    save_trained(policy, tmp_path / "adapter")
    save_merged(policy, tmp_path / "merged")
    for folder in ("adapter", "merged"):
        check = check_export(policy, tmp_path / folder, is_adapter=folder == "adapter")
        assert check.max_difference <= 1e-4 * check.max_logit, folder
    again = VLMPolicy(
        ModelSource(str(tmp_path / "adapter")),
        LoRA(),
        is_trained=False,
        prefix_sharing="on",
        train_vision="merger" in kind,
    )
    assert torch.allclose(scores(again), expected, atol=1e-5)


def test_the_scale_of_rslora_by_hand():
    """alpha / √rank in place of alpha / rank: with rank 4 and alpha 6 the update is 3 B A, not 1.5 B A."""
    policy = made("rslora")
    layer = policy.core.model.language_model.layers[0].mlp.up_proj
    product = layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    merged = policy.adaptation.merged_state(policy.model)["model.language_model.layers.0.mlp.up_proj.weight"]
    assert torch.allclose(merged - layer.base_layer.weight, 3.0 * product, atol=1e-5)


def test_dora_by_hand():
    """m · (W + s B A) / ‖W + s B A‖, the norm over each output row (arXiv 2402.09353, equation 5)."""
    policy = made("dora")
    layer = policy.core.model.language_model.layers[0].mlp.up_proj
    summed = layer.base_layer.weight + 1.5 * layer.lora_B["default"].weight @ layer.lora_A["default"].weight
    magnitude = layer.lora_magnitude_vector["default"].weight
    merged = policy.adaptation.merged_state(policy.model)["model.language_model.layers.0.mlp.up_proj.weight"]
    assert torch.allclose(merged, magnitude[:, None] * summed / summed.norm(dim=1, keepdim=True), atol=1e-5)


def test_training_continues_the_same_kind_only(tmp_path):
    save_trained(made("dora"), tmp_path)
    with pytest.raises(ConfigError, match="use_dora False"):
        VLMPolicy(ModelSource(str(tmp_path)), LoRA(rank=4, alpha=6.0))
    assert VLMPolicy(ModelSource(str(tmp_path)), LoRA(rank=4, alpha=6.0, use_dora=True)).trainable_parameters()


@pytest.mark.parametrize(
    ("settings", "fact"),
    [
        ({"init_lora_weights": "pissa"}, "pissa"),
        ({"modules_to_save": ["lm_head"]}, "lm_head shares"),
        ({"modules_to_save": ["no_such"]}, "no_such is no module"),
        ({"modules_to_save": ["merger"]}, "merger.*train_vision"),
        ({"experts": True}, "Qwen3VLForConditionalGeneration has no experts"),
        ({"experts": True, "use_dora": True}, "use_dora"),
    ],
)
def test_what_cannot_work_is_named(settings, fact):
    with pytest.raises(ConfigError, match=fact):
        VLMPolicy(ModelSource(str(model_folder())), LoRA(rank=2, **settings))


def test_the_snapshot_keeps_what_is_trained_whole():
    policy = make_policy(
        "qwen3_vl", LoRA(rank=4, modules_to_save=["language_model.norm"]), with_reference=True, with_snapshot=True
    )
    train(policy)
    expected = scores(policy)
    policy.snapshot.capture(policy.model, 2)
    train(policy)
    ids, _ = random_completions(policy, 2, 2, 4)
    kept = policy.completion_logprobs(encode(policy, make_batch(2)), ids, use_reference=True)
    assert torch.allclose(kept, expected, atol=1e-5)
    assert (scores(policy) - expected).abs().max() > 0.01
