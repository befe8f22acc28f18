"""Names of families and models, where a capability cannot be read from a model."""

from collections.abc import Mapping
from typing import Any

#: Families that this library's tests compare with transformers for images and videos, packed and separate.
COMPARED = frozenset({"qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"})

_QWEN3_VL_4B: dict[str, Any] = {
    "model_type": "qwen3_vl",
    "tie_word_embeddings": True,
    "text_config": {
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151_936,
        "max_position_embeddings": 262_144,
        "tie_word_embeddings": True,
    },
    "vision_config": {
        "depth": 24,
        "hidden_size": 1024,
        "num_heads": 16,
        "intermediate_size": 4096,
        "patch_size": 16,
        "out_hidden_size": 2560,
        "deepstack_visual_indexes": [5, 11, 17],
    },
}
#: ``config.json`` of the models that the packaged recipes name, for machines without them. With these transformers
#: makes 4,437,815,808 and 8,292,166,656 parameters, as published on the models' pages.
PUBLISHED: Mapping[str, dict[str, Any]] = {
    "Qwen/Qwen3-VL-4B-Thinking": _QWEN3_VL_4B,
    "Qwen/Qwen3-VL-4B-Instruct": _QWEN3_VL_4B,
    "Qwen/Qwen2.5-VL-7B-Instruct": {
        "model_type": "qwen2_5_vl",
        "tie_word_embeddings": False,
        "text_config": {
            "hidden_size": 3584,
            "intermediate_size": 18_944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "vocab_size": 152_064,
            "max_position_embeddings": 128_000,
            "tie_word_embeddings": False,
        },
        "vision_config": {
            "depth": 32,
            "hidden_size": 1280,
            "num_heads": 16,
            "intermediate_size": 3420,
            "patch_size": 14,
            "out_hidden_size": 3584,
        },
    },
}
#: Areas in pixels that the published processors bound images to, by family.
PIXELS = {"qwen3_vl": (65_536, 16_777_216), "qwen2_5_vl": (3_136, 12_845_056)}
