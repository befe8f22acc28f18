"""Sizes of models without their weights: parameters as published, adapters by hand, tokens as the processor makes."""

import pytest
import torch

from remot.models import LoRA, ModelSource, QLoRA
from remot.models.families.names import PUBLISHED
from remot.models.sizes import has_weights, model_sizes, visual_tokens
from remot.structures import PromptBatch
from tests.helpers import make_question
from tests.tiny import HYBRID, make_lora_policy, make_policy, model_folder

THINKING = ModelSource("Qwen/Qwen3-VL-4B-Thinking", dtype="bfloat16")


@pytest.fixture(scope="module")
def thinking():
    return model_sizes(THINKING, LoRA(rank=64), recomputes=True)


def test_parameters_are_those_that_are_published(thinking):
    assert thinking.num_parameters == 4_437_815_808
    assert thinking.weight_bytes == 2 * 4_437_815_808
    assert "table" in thinking.known_from
    assert model_sizes(ModelSource("Qwen/Qwen2.5-VL-7B-Instruct", dtype="bfloat16")).num_parameters == 8_292_166_656


def test_adapters_of_the_recipe_by_hand(thinking):
    """36 blocks with layers from 2560 to 4096 (q), 1024 (k, v) and 9728 (gate, up) numbers, o and down back."""
    sums = 2 * (2560 + 4096) + 2 * (2560 + 1024) + 3 * (2560 + 9728)
    assert thinking.num_trained == 36 * 64 * sums == 132_120_576
    assert thinking.trained_bytes == 4 * thinking.num_trained


def test_four_bit_weights_by_hand(thinking):
    """The linear layers of the blocks take 33/64 byte a number in place of 2; the rest stays."""
    linear = 36 * (2 * 2560 * 4096 + 2 * 2560 * 1024 + 3 * 2560 * 9728)
    assert thinking.quantised_bytes == 2 * 4_437_815_808 - linear * (2 - 33 / 64)
    quantised = model_sizes(THINKING, QLoRA(rank=64))
    assert quantised.weight_bytes == thinking.quantised_bytes
    assert thinking.adapted_bytes == 2 * linear
    assert quantised.num_trained == thinking.num_trained


def test_sizes_of_a_model_that_is_here_are_those_of_the_loaded_one():
    policy = make_lora_policy()
    sizes = model_sizes(ModelSource(str(model_folder())), policy.adaptation)
    trained = [parameter for parameter in policy.parameters() if parameter.requires_grad]
    assert sizes.num_trained == sum(parameter.numel() for parameter in trained)
    assert sizes.num_parameters == sum(p.numel() for p in policy.parameters()) - sizes.num_trained
    assert sizes.memory == policy.footprint
    assert "config.json" in sizes.known_from


@pytest.mark.parametrize(("family", "copies"), [("qwen3_vl", False), (HYBRID, True)])
def test_layers_of_linear_attention_copy_prompts(family, copies):
    assert model_sizes(ModelSource(str(model_folder(family)))).copies_prompts == copies


def test_the_weights_of_the_package_are_here_and_those_of_the_hub_are_not(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert has_weights(ModelSource())
    assert has_weights(ModelSource(str(model_folder())))
    assert not has_weights(ModelSource("none/such-model"))
    assert model_sizes(ModelSource("none/such-model")) is None
    assert set(PUBLISHED) >= {"Qwen/Qwen3-VL-4B-Thinking", "Qwen/Qwen3-VL-4B-Instruct", "Qwen/Qwen2.5-VL-7B-Instruct"}


@pytest.mark.parametrize("family", ["qwen3_vl", "qwen2_5_vl"])
@pytest.mark.parametrize("size", [(64, 64), (64, 200), (33, 97), (400, 300), (90, 90)])
def test_visual_tokens_are_as_many_as_the_processor_makes(family, size):
    policy = make_policy(family)
    image_processor = policy.processor.image_processor
    bounds = (image_processor.size["shortest_edge"], image_processor.size["longest_edge"])
    side = image_processor.patch_size * image_processor.merge_size
    batch = PromptBatch([[torch.zeros(3, *size, dtype=torch.uint8)]], [make_question()], ["c"], [[]])
    (made,) = policy.process(batch).images.num_tokens(image_processor.merge_size)
    assert visual_tokens(*size, side, bounds) == made


def test_images_beyond_the_bounds_are_made_to_fit():
    """512 x 512 pixels at most, 32 for a token: 16 x 16 tokens of a square, 22 x 11 of twice as wide a one."""
    assert visual_tokens(2000, 2000, 32, (1, 512**2)) == 256
    assert visual_tokens(1000, 2000, 32, (1, 512**2)) == 22 * 11
    assert visual_tokens(32, 32, 32, (256**2, 512**2)) == 64
