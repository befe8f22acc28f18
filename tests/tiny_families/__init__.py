"""Tiny random models of families other than Qwen's, each with transformers' own processor, built offline.

Tokenizers are remot-tiny's kind with the family's special tokens; every class is transformers' own.
"""

import functools

import torch

from tests.tiny_families import further, moe, tiled

BUILDERS = {
    "qwen2_vl": functools.partial(moe.like_qwen3_vl, "Qwen2VL", "qwen2_5_vl"),
    "qwen3_vl_moe": functools.partial(moe.like_qwen3_vl, "Qwen3VLMoe"),
    "qwen3_5_moe": functools.partial(moe.like_qwen3_vl, "Qwen3_5Moe"),
    "internvl": tiled.internvl,
    "idefics3": tiled.idefics3,
    "smolvlm": functools.partial(tiled.idefics3, "SmolVLM"),
    "llava": tiled.llava,
    "llava_next": functools.partial(tiled.llava, "LlavaNext"),
    "llava_onevision": functools.partial(tiled.llava, "LlavaOnevision"),
    "gemma3": further.gemma3,
    "glm4v": further.glm4v,
    "glm46v": functools.partial(further.glm4v, "Glm46V"),
    "molmo2": further.molmo2,
    "cosmos3_edge": further.cosmos3_edge,
    "kimi_k25": further.kimi_k25,
    "mistral3": tiled.mistral3,
    "lfm2_vl": tiled.lfm2_vl,
    "paligemma": further.paligemma,
    "gemma4": further.gemma4,
    "ovis2": tiled.ovis2,
    "aya_vision": tiled.aya_vision,
    "video_llama_3": further.video_llama_3,
    "mllama": further.mllama,
}


def write_family(folder, name, seed):
    """Weights, as transformers begins them, and the processor of a tiny model of a family."""
    from transformers import AutoModelForImageTextToText, GenerationConfig

    pieces = BUILDERS[name]()
    tokenizer = pieces.processor.tokenizer
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(pieces.config)
    model.generation_config = GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id)
    model.save_pretrained(folder)
    pieces.processor.save_pretrained(folder)
