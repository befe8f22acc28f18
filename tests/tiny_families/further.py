"""Families with images of any size, a mask of their own, or experts."""

import transformers as tf

from tests.tiny_families.common import VISION, Pieces, template, text_config, tokenizer_with


def gemma3():
    names = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    tokenizer = tokenizer_with(**names)
    ids = tokenizer.convert_tokens_to_ids
    text = text_config(
        tokenizer, sliding_window=8, layer_types=["sliding_attention", "full_attention"], query_pre_attn_scalar=16
    )
    config = tf.Gemma3Config(
        text_config=text,
        vision_config={**VISION, "vision_use_head": False},
        mm_tokens_per_image=4,
        **{f"{key}_index": ids(token) for key, token in names.items()},
    )
    images = tf.Gemma3ImageProcessor(size={"height": 32, "width": 32})
    return Pieces(config, tf.Gemma3Processor(images, tokenizer, template("<start_of_image>"), image_seq_length=4))


def glm4v(kind="Glm4v"):
    names = {"image_token": "<|image|>", "video_token": "<|video|>"}
    ends = ("<|begin_of_image|>", "<|end_of_image|>", "<|begin_of_video|>", "<|end_of_video|>")
    tokenizer = tokenizer_with(**names, **{f"end_{k}": token for k, token in enumerate(ends)})
    ids = tokenizer.convert_tokens_to_ids
    named = dict(zip(("image_start", "image_end", "video_start", "video_end"), map(ids, ends), strict=True))
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "num_heads": 2,
        "intermediate_size": 48,
        "image_size": 32,
        "patch_size": 8,
        "out_hidden_size": 32,
    }
    text = text_config(
        tokenizer,
        rope_parameters={
            "rope_type": "default",
            "rope_theta": 1e4,
            "mrope_section": [2, 1, 1],
            "partial_rotary_factor": 0.5,
        },
    )
    text.pop("head_dim")
    config = getattr(tf, "Glm46VConfig" if kind == "Glm46V" else "Glm4vConfig")(
        text_config=text,
        vision_config=vision,
        image_token_id=ids("<|image|>"),
        video_token_id=ids("<|video|>"),
        **{f"{name}_token_id": token for name, token in named.items()},
    )
    shared = {"patch_size": 8, "size": {"shortest_edge": 1024, "longest_edge": 4096}}
    images = getattr(tf, f"{kind}ImageProcessor")(**shared)
    videos = getattr(tf, f"{kind}VideoProcessor")(patch_size=8, size={"shortest_edge": 1024, "longest_edge": 16384})
    shown = [f"{ends[k]}{token}{ends[k + 1]}" for k, token in ((0, "<|image|>"), (2, "<|video|>"))]
    return Pieces(config, getattr(tf, f"{kind}Processor")(images, tokenizer, videos, chat_template=template(*shown)))


def molmo2():
    kinds = ("im_patch", "im_col", "im_start", "low_res_im_start", "frame_start", "im_end", "frame_end", "im_low")
    names = {kind: f"<{kind}>" for kind in kinds}
    tokenizer = tokenizer_with(image_token="<|image|>", video_token="<|video|>", **names)
    ids = tokenizer.convert_tokens_to_ids
    layer = {
        "hidden_size": 32,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "intermediate_size": 48,
    }
    config = tf.Molmo2Config(
        text_config=text_config(
            tokenizer, additional_vocab_size=8, rope_parameters={"rope_type": "default", "rope_theta": 1e4}
        ),
        vision_config={
            **layer,
            "num_hidden_layers": 2,
            "image_size": [32, 32],
            "patch_size": 8,
            "num_position_embeddings": 16,
        },
        adapter_config={**layer, "vision_feature_layer": [-1], "text_hidden_size": 32},
        image_patch_id=ids("<im_patch>"),
        image_start_token_id=ids("<im_start>"),
        image_end_token_id=ids("<im_end>"),
        low_res_image_start_token_id=ids("<low_res_im_start>"),
        frame_start_token_id=ids("<frame_start>"),
        frame_end_token_id=ids("<frame_end>"),
    )
    size = {"height": 32, "width": 32}
    images = tf.Molmo2ImageProcessor(size=size, patch_size=8, max_crops=2, overlap_margins=[1, 1])
    videos = tf.Molmo2VideoProcessor(size=size, patch_size=8)
    return Pieces(config, tf.Molmo2Processor(images, videos, tokenizer, template("<|image|>", "<|video|>")))


def cosmos3_edge():
    ends = {"vision_start_token": "<|vision_start|>", "vision_end_token": "<|vision_end|>"}
    tokenizer = tokenizer_with(image_token="<|image_pad|>", video_token="<|video_pad|>", **ends)
    ids = tokenizer.convert_tokens_to_ids
    vision = {key: value for key, value in VISION.items() if key != "image_size"}
    config = tf.Cosmos3EdgeConfig(
        text_config=text_config(
            tokenizer, rope_parameters={"rope_type": "default", "rope_theta": 1e4, "mrope_section": [4, 2, 2]}
        ),
        vision_config={**vision, "num_patches": 16},
        projector_hidden_size=48,
        image_token_id=ids("<|image_pad|>"),
        video_token_id=ids("<|video_pad|>"),
        vision_start_token_id=ids("<|vision_start|>"),
        vision_end_token_id=ids("<|vision_end|>"),
    )
    size = {"shortest_edge": 1024, "longest_edge": 4096}
    images = tf.Cosmos3EdgeImageProcessor(size=size, patch_size=8)
    videos = tf.Cosmos3EdgeVideoProcessor(size=size, patch_size=8)
    shown = [f"<|vision_start|>{token}<|vision_end|>" for token in ("<|image_pad|>", "<|video_pad|>")]
    return Pieces(config, tf.Cosmos3EdgeProcessor(images, tokenizer, videos, template(*shown)))


def kimi_k25():
    ends = ("<|media_begin|>", "<|media_content|>", "<|media_end|>")
    names = {"image_token": "<|media_pad|>", "video_token": "<|kimi_k25_video_placeholder|>"}
    tokenizer = tokenizer_with(**names, **{f"end_{k}": end for k, end in enumerate(ends)})
    ids = tokenizer.convert_tokens_to_ids
    text = text_config(
        tokenizer,
        model_type="deepseek_v3",
        moe_intermediate_size=16,
        n_routed_experts=4,
        num_experts_per_tok=2,
        n_group=2,
        topk_group=1,
        kv_lora_rank=16,
        q_lora_rank=16,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=16,
        first_k_dense_replace=1,
        num_key_value_heads=2,
    )
    text.pop("head_dim")
    vision = {key: value for key, value in VISION.items() if key != "image_size"}
    config = tf.Kimi_K25Config(
        text_config=text,
        vision_config={**vision, "pos_emb_height": 8, "pos_emb_width": 8},
        projection_hidden_size=32,
        image_token_id=ids("<|media_pad|>"),
        video_token_id=ids("<|kimi_k25_video_placeholder|>"),
        vision_start_token_id=ids("<|media_begin|>"),
        vision_end_token_id=ids("<|media_end|>"),
    )
    size = {"max_height": 64, "max_width": 64}
    images = tf.Kimi_K25ImageProcessor(size=size, patch_size=8)
    videos = tf.Kimi_K25VideoProcessor(size=size, patch_size=8)
    shown = ["<|media_begin|>image<|media_content|><|media_pad|><|media_end|>", "<|kimi_k25_video_placeholder|>"]
    return Pieces(config, tf.Kimi_K25Processor(images, tokenizer, videos, template(*shown)))


def paligemma():
    tokenizer = tokenizer_with(image_token="<image>", bos_token="<bos>")
    tokenizer.add_tokens(
        [f"<loc{number:0>4}>" for number in range(1024)] + [f"<seg{number:0>3}>" for number in range(128)]
    )
    text = text_config(tokenizer)
    config = tf.PaliGemmaConfig(
        text_config={"model_type": "gemma", **text},
        vision_config={"model_type": "siglip_vision_model", **VISION, "projection_dim": 32, "vision_use_head": False},
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        projection_dim=32,
        hidden_size=32,
    )
    images = tf.SiglipImageProcessor(size={"height": 32, "width": 32})
    images.image_seq_length = 16
    return Pieces(config, tf.PaliGemmaProcessor(images, tokenizer, template("<image>")))


def gemma4():
    names = {
        "image_token": "<|image|>",
        "boi_token": "<|image>",
        "eoi_token": "<image|>",
        "audio_token": "<|audio|>",
        "boa_token": "<|audio>",
        "eoa_token": "<audio|>",
        "video_token": "<|video|>",
    }
    tokenizer = tokenizer_with(**names)
    ids = tokenizer.convert_tokens_to_ids
    text = text_config(
        tokenizer,
        sliding_window=8,
        layer_types=["sliding_attention", "full_attention"],
        vocab_size_per_layer_input=len(tokenizer),
        hidden_size_per_layer_input=8,
        global_head_dim=16,
        final_logit_softcapping=3.0,
    )
    vision = {key: value for key, value in VISION.items() if key != "image_size"}
    config = tf.Gemma4Config(
        text_config=text,
        vision_config={
            **vision,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "pooling_kernel_size": 2,
            "position_embedding_size": 64,
        },
        audio_config=None,
        image_token_id=ids("<|image|>"),
        video_token_id=ids("<|video|>"),
        audio_token_id=ids("<|audio|>"),
        boi_token_id=ids("<|image>"),
        eoi_token_id=ids("<image|>"),
        boa_token_id=ids("<|audio>"),
        eoa_token_index=ids("<audio|>"),
    )
    images = tf.Gemma4ImageProcessor(patch_size=8, max_soft_tokens=70, pooling_kernel_size=2)
    videos = tf.Gemma4VideoProcessor(patch_size=8, max_soft_tokens=70, pooling_kernel_size=2)
    return Pieces(
        config,
        tf.Gemma4Processor(
            tf.Gemma4AudioFeatureExtractor(), images, tokenizer, videos, template("<|image|>", "<|video|>")
        ),
    )


def video_llama_3():
    tokenizer = tokenizer_with(image_token="<|image_pad|>", video_token="<|video_pad|>")
    ids = tokenizer.convert_tokens_to_ids
    vision = {key: value for key, value in VISION.items() if key != "image_size"}
    config = tf.VideoLlama3Config(
        text_config={"model_type": "qwen2", **text_config(tokenizer)},
        vision_config=vision,
        image_token_id=ids("<|image_pad|>"),
        video_token_id=ids("<|video_pad|>"),
    )
    images = tf.VideoLlama3ImageProcessor(min_pixels=1024, max_pixels=4096, patch_size=8)
    videos = tf.VideoLlama3VideoProcessor(min_pixels=1024, max_pixels=4096, patch_size=8)
    shown = ["<|vision_start|><|image_pad|><|vision_end|>", "<|vision_start|><|video_pad|><|vision_end|>"]
    return Pieces(config, tf.VideoLlama3Processor(images, tokenizer, videos, chat_template=template(*shown)))


def mllama():
    tokenizer = tokenizer_with(image_token="<|image|>", python="<|python_tag|>", bos_token="<bos>")
    text = text_config(
        tokenizer, cross_attention_layers=[1], rope_parameters={"rope_type": "default", "rope_theta": 1e4}
    )
    text |= {"bos_token_id": tokenizer.bos_token_id}
    text.pop("head_dim")
    vision = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_global_layers": 1,
        "attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
        "vision_output_dim": 64,
        "intermediate_layers_indices": [0],
        "max_num_tiles": 2,
        "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]],
    }
    config = tf.MllamaConfig(
        text_config=text, vision_config=vision, image_token_index=tokenizer.convert_tokens_to_ids("<|image|>")
    )
    images = tf.MllamaImageProcessor(size={"height": 32, "width": 32}, max_image_tiles=2)
    return Pieces(config, tf.MllamaProcessor(images, tokenizer, template("<|image|>")))
