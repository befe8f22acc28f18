"""Families whose images are tiles or crops of one size."""

import transformers as tf

from tests.tiny_families.common import VISION, Pieces, template, text_config, tokenizer_with


def internvl():
    names = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tokenizer = tokenizer_with(**names)
    ids = tokenizer.convert_tokens_to_ids
    config = tf.InternVLConfig(
        text_config={"model_type": "qwen2", **text_config(tokenizer)},
        vision_config={**VISION, "image_size": (32, 32), "patch_size": (8, 8)},
        image_token_id=ids("<IMG_CONTEXT>"),
        image_seq_length=4,
    )
    size = {"height": 32, "width": 32}
    images = tf.GotOcr2ImageProcessor(size=size, crop_to_patches=False)
    videos = tf.InternVLVideoProcessor(size=size)
    return Pieces(
        config, tf.InternVLProcessor(images, tokenizer, videos, 4, chat_template=template("<IMG_CONTEXT>", "<video>"))
    )


def idefics3(kind="Idefics3"):
    names = {
        "image_token": "<image>",
        "fake_image_token": "<fake_token_around_image>",
        "global_image_token": "<global-img>",
        "end_of_utterance_token": "<end_of_utterance>",
        "video_token": "<video>",
    }
    tokenizer = tokenizer_with(**names)
    config = getattr(tf, f"{kind}Config")(
        text_config={"model_type": "llama", **text_config(tokenizer)},
        vision_config={**VISION},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
    )
    shared = {"do_image_splitting": False, "size": {"longest_edge": 32}, "max_image_size": {"longest_edge": 32}}
    images = getattr(tf, f"{kind}ImageProcessor")(**shared)
    if kind == "Idefics3":
        return Pieces(config, tf.Idefics3Processor(images, tokenizer, 4, chat_template=template("<image>")))
    videos = tf.SmolVLMVideoProcessor(size={"longest_edge": 32}, max_image_size={"longest_edge": 32})
    return Pieces(
        config, tf.SmolVLMProcessor(images, tokenizer, videos, 4, chat_template=template("<image>", "<video>"))
    )


def llava(kind="Llava"):
    tokenizer = tokenizer_with(image_token="<image>", video_token="<video>")
    ids = tokenizer.convert_tokens_to_ids
    vision = {"model_type": "clip_vision_model", **VISION, "projection_dim": 32}
    shared = {"text_config": {"model_type": "llama", **text_config(tokenizer)}, "image_token_index": ids("<image>")}
    size = {"height": 32, "width": 32}
    if kind == "Llava":
        config = tf.LlavaConfig(**shared, vision_config=vision, image_seq_length=16)
        images = tf.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size)
        return Pieces(
            config,
            tf.LlavaProcessor(images, tokenizer, 8, "default", template("<image>"), num_additional_image_tokens=1),
        )
    pinpoints = [[32, 64], [64, 32], [64, 64]]
    if kind == "LlavaNext":
        config = tf.LlavaNextConfig(**shared, vision_config=vision, image_grid_pinpoints=pinpoints, image_seq_length=16)
        images = tf.LlavaNextImageProcessor(size={"shortest_edge": 32}, crop_size=size, image_grid_pinpoints=pinpoints)
        return Pieces(
            config,
            tf.LlavaNextProcessor(images, tokenizer, 8, "default", template("<image>"), num_additional_image_tokens=1),
        )
    siglip = {"model_type": "siglip_vision_model", **VISION, "vision_use_head": False}
    shared["text_config"]["model_type"] = "qwen2"
    config = tf.LlavaOnevisionConfig(
        **shared, vision_config=siglip, image_grid_pinpoints=pinpoints, video_token_index=ids("<video>")
    )
    images = tf.LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=pinpoints)
    videos = tf.LlavaOnevisionVideoProcessor(size=size)
    processor = tf.LlavaOnevisionProcessor(
        images,
        tokenizer,
        videos,
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=template("<image>", "<video>"),
    )
    return Pieces(config, processor)


def mistral3():
    names = {"image_token": "[IMG]", "image_break_token": "[IMG_BREAK]", "image_end_token": "[IMG_END]"}
    tokenizer = tokenizer_with(**names)
    config = tf.Mistral3Config(
        text_config={"model_type": "mistral", **text_config(tokenizer, sliding_window=None)},
        vision_config={"model_type": "pixtral", **VISION, "image_size": 64, "head_dim": 16},
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
        spatial_merge_size=2,
        vision_feature_layer=-1,
    )
    images = tf.PixtralImageProcessor(patch_size={"height": 16, "width": 16}, size={"longest_edge": 64})
    images.patch_size = {"height": 8, "width": 8}
    return Pieces(config, tf.PixtralProcessor(images, tokenizer, 8, 2, template("[IMG]"), **names))


def lfm2_vl():
    ends = {
        "image_start_token": "<|image_start|>",
        "image_end_token": "<|image_end|>",
        "image_thumbnail_token": "<|img_thumbnail|>",
    }
    tokenizer = tokenizer_with(image_token="<image>", **ends)
    vision = {key: value for key, value in VISION.items() if key != "image_size"}
    text = text_config(tokenizer, model_type="lfm2", layer_types=["conv", "full_attention"], block_multiple_of=8)
    text.pop("head_dim")
    config = tf.Lfm2VlConfig(
        text_config=text,
        vision_config={"model_type": "siglip2_vision_model", **vision, "num_patches": 16, "vision_use_head": False},
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        projector_hidden_size=48,
    )
    images = tf.Lfm2VlImageProcessor(
        do_image_splitting=False,
        min_image_tokens=4,
        max_image_tokens=16,
        encoder_patch_size=8,
        tile_size=64,
        size={"height": 64, "width": 64},
    )
    return Pieces(config, tf.Lfm2VlProcessor(images, tokenizer, template("<image>")))


def ovis2():
    tokenizer = tokenizer_with(
        image_token="<image>",
        start="<IMG_START>",
        grid="<IMG_GRID>",
        column="<IMG_COL>",
        row="<IMG_ROW>",
        end="<IMG_END>",
        atom="<IMG_ATOM>",
    )
    ids = tokenizer.convert_tokens_to_ids
    config = tf.Ovis2Config(
        text_config={"model_type": "qwen2", **text_config(tokenizer)},
        vision_config={**VISION, "hidden_stride": 2, "vocab_size": 64, "num_visual_indicator_tokens": 5},
        image_token_id=ids("<IMG_ATOM>"),
        visual_indicator_token_ids=[ids(f"<IMG_{key}>") for key in ("START", "GRID", "COL", "ROW", "END")],
        vocab_size=len(tokenizer),
        hidden_size=32,
    )
    images = tf.Ovis2ImageProcessor(size={"height": 32, "width": 32}, crop_to_patches=False)
    return Pieces(config, tf.Ovis2Processor(images, tokenizer, template("<image>"), image_seq_length=4))


def aya_vision():
    names = {
        "image_token": "<image>",
        "start_of_img_token": "<|START_OF_IMG|>",
        "end_of_img_token": "<|END_OF_IMG|>",
        "img_patch_token": "<|IMG_PATCH|>",
        "img_line_break_token": "<|IMG_LINE_BREAK|>",
    }
    tokenizer = tokenizer_with(**names)
    config = tf.AyaVisionConfig(
        text_config={
            "model_type": "cohere2",
            **text_config(
                tokenizer, sliding_window=8, layer_types=["sliding_attention", "full_attention"], logit_scale=0.25
            ),
        },
        vision_config={"model_type": "siglip_vision_model", **VISION, "vision_use_head": False},
        image_token_index=tokenizer.convert_tokens_to_ids("<|IMG_PATCH|>"),
        downsample_factor=2,
        adapter_layer_norm_eps=1e-6,
        vision_feature_select_strategy="full",
        vision_feature_layer=-1,
    )
    images = tf.GotOcr2ImageProcessor(size={"height": 32, "width": 32}, crop_to_patches=False)
    return Pieces(
        config,
        tf.AyaVisionProcessor(
            images, tokenizer, 8, 32, downsample_factor=2, chat_template=template("<image>"), **names
        ),
    )
