"""Small models of real architectures, built offline: remot-tiny's blank, and random ones for tests.

Every class here is transformers' own; only the sizes are ours. The tokenizer is a byte-level BPE with Qwen's
pre-tokeniser and special tokens, trained on the texts the caller gives.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase, ProcessorMixin

Family = Literal["qwen3_vl", "qwen2_5_vl"]

SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
#: In Qwen3's vocabulary these are single tokens that are not "special": decoding keeps them.
THINK_TOKENS = ("<think>", "</think>")
#: Kept whole so that a tag is one token and never glued to the letters around it. Qwen's own vocabulary splits them.
RESPONSE_TAGS = ("<answer>", "</answer>")
WHOLE_TAGS = (*THINK_TOKENS, *RESPONSE_TAGS)

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part.type == 'video' %}<|vision_start|><|video_pad|><|vision_end|>"
    "{% else %}{{ part.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@dataclass(frozen=True)
class TinySizes:
    """Sizes of a small model. The defaults are remot-tiny's (1.8 M parameters).

    Args:
        hidden_size: Width of the language model.
        num_layers: Its blocks.
        num_heads: Its attention heads, of ``hidden_size / num_heads`` dimensions each.
        num_key_value_heads: Its key-value heads.
        intermediate_size: Width of its feed-forward layers.
        vision_hidden_size: Width of the vision tower.
        vision_depth: Its blocks.
        vision_heads: Its attention heads.
        patch_pixels: Side of a patch in pixels; 2×2 patches make one visual token.
        image_pixels: Side of the images it is meant for.
        vocab_size: Largest size of the tokenizer, special tokens included.
    """

    hidden_size: int = 128
    num_layers: int = 4
    num_heads: int = 4
    num_key_value_heads: int = 4
    intermediate_size: int = 384
    vision_hidden_size: int = 96
    vision_depth: int = 4
    vision_heads: int = 4
    patch_pixels: int = 16
    image_pixels: int = 64
    vocab_size: int = 640


#: For tests: as small as the architectures allow.
MINIMAL_SIZES = TinySizes(
    hidden_size=32, num_layers=2, num_heads=2, num_key_value_heads=1, intermediate_size=48,
    vision_hidden_size=32, vision_depth=2, vision_heads=2, vocab_size=360,
)  # fmt: skip


def build_tokenizer(
    texts: Iterable[str], vocab_size: int, whole_tags: Sequence[str] = WHOLE_TAGS
) -> "PreTrainedTokenizerBase":
    """A Qwen2 tokenizer whose vocabulary is learnt from ``texts``; ``whole_tags`` are one token each.

    It has at most ``vocab_size`` tokens, special ones included.
    """
    from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers
    from transformers.models.qwen2.tokenization_qwen2 import Qwen2Tokenizer

    blank = Qwen2Tokenizer()
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = blank.backend_tokenizer.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size - len(SPECIAL_TOKENS) - len(whole_tags),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
        min_frequency=2,
    )
    learner.train_from_iterator(texts, trainer)
    model = json.loads(learner.to_str())["model"]
    merges = [tuple(merge) for merge in model["merges"]]
    tokenizer = Qwen2Tokenizer(
        vocab=model["vocab"],
        merges=merges,
        eos_token="<|im_end|>",  # noqa: S106
        pad_token="<|endoftext|>",  # noqa: S106
    )
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS])
    tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in whole_tags])
    return tokenizer


def build_processor(
    tokenizer: "PreTrainedTokenizerBase", sizes: TinySizes, family: Family = "qwen3_vl"
) -> "ProcessorMixin":
    """The family's processor for square images of ``sizes.image_pixels``, and videos of such frames.

    Qwen3-VL's counts the pixels of all frames of a video together, Qwen2.5-VL's those of one frame.
    """
    import transformers

    area = sizes.image_pixels**2
    shared: dict[str, Any] = {
        "patch_size": sizes.patch_pixels,
        "merge_size": 2,
        "temporal_patch_size": 2,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    size = {"shortest_edge": area, "longest_edge": area}
    images = transformers.Qwen2VLImageProcessor(size=size, **shared)
    videos: Any
    if family == "qwen3_vl":
        videos = transformers.Qwen3VLVideoProcessor(size=size | {"longest_edge": 8 * area}, **shared)
        return transformers.Qwen3VLProcessor(images, tokenizer, videos, chat_template=CHAT_TEMPLATE)
    videos = transformers.Qwen2VLVideoProcessor(size=size, **shared)
    return transformers.Qwen2_5_VLProcessor(images, tokenizer, videos, chat_template=CHAT_TEMPLATE)


def build_config(family: Family, sizes: TinySizes, tokenizer: "PreTrainedTokenizerBase") -> "PreTrainedConfig":
    """Configuration of the family's transformers class at the given sizes."""
    import transformers

    head_size = sizes.hidden_size // sizes.num_heads
    third = head_size // 2 // 3
    section = [head_size // 2 - 2 * third, third, third]
    rope = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": section}
    text: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": sizes.hidden_size,
        "num_hidden_layers": sizes.num_layers,
        "num_attention_heads": sizes.num_heads,
        "num_key_value_heads": sizes.num_key_value_heads,
        "intermediate_size": sizes.intermediate_size,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": True,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
        "rope_parameters": rope,
    }
    vision: dict[str, Any] = {
        "depth": sizes.vision_depth,
        "hidden_size": sizes.vision_hidden_size,
        "intermediate_size": 3 * sizes.vision_hidden_size,
        "num_heads": sizes.vision_heads,
        "patch_size": sizes.patch_pixels,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "out_hidden_size": sizes.hidden_size,
    }
    tokens = {"image": "image_pad", "video": "video_pad", "vision_start": "vision_start", "vision_end": "vision_end"}
    shared: dict[str, Any] = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>") for name, token in tokens.items()
    }
    shared |= {"text_config": text, "vision_config": vision, "tie_word_embeddings": True}
    if family == "qwen3_vl":
        text["head_dim"] = head_size
        rope["mrope_interleaved"] = True
        grid = sizes.image_pixels // sizes.patch_pixels
        vision |= {"num_position_embeddings": grid**2, "deepstack_visual_indexes": [sizes.vision_depth // 2]}
        return transformers.Qwen3VLConfig(**shared)
    vision |= {
        "window_size": sizes.image_pixels // 2,
        "fullatt_block_indexes": [sizes.vision_depth - 1],
        "tokens_per_second": 2,
    }
    return transformers.Qwen2_5_VLConfig(**shared)


def write_model_folder(
    folder: Path, texts: Iterable[str], *, family: Family = "qwen3_vl", sizes: TinySizes | None = None, seed: int = 0
) -> Path:
    """Write configuration, random weights and processor to ``folder``, ready for ``ModelSource(pretrained=folder)``.

    Args:
        folder: Made if missing.
        texts: What the vocabulary is learnt from.
        family: Architecture.
        sizes: Sizes; remot-tiny's if None.
        seed: Of the weights; torch's own generator is left as it was.
    """
    import torch
    from transformers import AutoModelForImageTextToText, GenerationConfig

    sizes = sizes if sizes is not None else TinySizes()
    tokenizer = build_tokenizer(texts, sizes.vocab_size)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForImageTextToText.from_config(build_config(family, sizes, tokenizer))
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=1.0, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id
    )
    model.save_pretrained(folder)
    build_processor(tokenizer, sizes, family).save_pretrained(folder)
    return folder
