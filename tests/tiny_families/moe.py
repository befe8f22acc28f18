"""Families that are built as Qwen3-VL is: with experts, with linear attention, and the one before."""

import transformers as tf

from remot.models.tiny import build_config, build_processor, build_tokenizer
from tests.tiny import SIZES, TEXTS
from tests.tiny_families.common import Pieces

EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "decoder_sparse_step": 1}
LINEAR = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
    "linear_num_key_heads": 1,
    "linear_num_value_heads": 2,
}


def like_qwen3_vl(kind, family="qwen3_vl"):
    """A model of the configuration class ``kind`` at the sizes of the small Qwen3-VL or Qwen2.5-VL."""
    tokenizer = build_tokenizer(TEXTS, SIZES.vocab_size)
    held = build_config(family, SIZES, tokenizer).to_dict()
    text, vision = held["text_config"], held["vision_config"]
    for part in (text, vision):
        part.pop("model_type")
    if kind == "Qwen2VL":
        vision = {
            "depth": 2, "embed_dim": 32, "hidden_size": 32, "num_heads": 2, "mlp_ratio": 2, "patch_size": 8,
            "spatial_merge_size": 2, "temporal_patch_size": 2,
        }  # fmt: skip
    if "Moe" in kind:
        text |= EXPERTS
    if kind == "Qwen3_5Moe":
        rope = text["rope_parameters"] | {"mrope_section": [2, 1, 1], "partial_rotary_factor": 0.5}
        text |= LINEAR | {"rope_parameters": rope, "shared_expert_intermediate_size": 16}
        vision.pop("deepstack_visual_indexes")
    tokens = {name: number for name, number in held.items() if name.endswith("_token_id")}
    config = getattr(tf, f"{kind}Config")(text_config=text, vision_config=vision, tie_word_embeddings=True, **tokens)
    processor = build_processor(tokenizer, SIZES, family)
    if kind == "Qwen2VL":  # whose own processor tells no spacing of a video's frames
        parts = (processor.image_processor, tokenizer, processor.video_processor)
        processor = tf.Qwen2VLProcessor(*parts, chat_template=processor.chat_template)
    return Pieces(config, processor)
