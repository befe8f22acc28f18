"""Random models of several sizes: what the benchmarks run on where no weights can be had."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from remot.models.tiny import MINIMAL_SIZES, TinySizes, write_model_folder

SMALL = TinySizes(
    hidden_size=256, num_layers=6, num_heads=4, num_key_value_heads=2, intermediate_size=768, vision_hidden_size=192
)
#: About the width of the smallest published models, with their vocabulary.
MID: dict[str, dict[str, Any]] = {
    "text_config": {
        "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 16,
        "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 151_936,
        "rope_parameters": {
            "rope_type": "default", "rope_theta": 5_000_000, "mrope_interleaved": True, "mrope_section": [12, 10, 10]
        },
    },
    "vision_config": {"out_hidden_size": 1024},
}  # fmt: skip
#: Of the published configuration of Qwen3-VL-4B.
QWEN3_VL_4B: dict[str, dict[str, Any]] = {
    "text_config": {
        "hidden_size": 2560, "intermediate_size": 9728, "num_hidden_layers": 36, "num_attention_heads": 32,
        "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151_936,
        "rope_parameters": {
            "rope_type": "default", "rope_theta": 5_000_000, "mrope_interleaved": True, "mrope_section": [24, 20, 20]
        },
    },
    "vision_config": {
        "depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16, "out_hidden_size": 2560,
        "num_position_embeddings": 2304, "deepstack_visual_indexes": [5, 11, 17],
    },
}  # fmt: skip
#: The tokenizer stays small: ids without a text are never drawn.
SIZES: dict[str, tuple[TinySizes, dict[str, dict[str, Any]]]] = {
    "minimal": (MINIMAL_SIZES, {}),
    "small": (SMALL, {}),
    "mid": (SMALL, MID),
    "4b": (SMALL, QWEN3_VL_4B),
}


def write_processor_and_config(
    folder: Path, texts: Sequence[str], size: str, *, image_pixels: int = 64, seed: int = 0
) -> None:
    """Write the processor of a small model and the configuration of ``size``; weights are not of that size yet."""
    sizes, changes = SIZES[size]
    sizes = replace(sizes, image_pixels=image_pixels)
    write_model_folder(folder, texts, sizes=sizes, seed=seed)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for part, numbers in changes.items():
        config[part] |= numbers
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
