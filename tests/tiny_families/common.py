"""Sizes, tokenizer and chat template that the tiny families share."""

from dataclasses import dataclass
from typing import Any

from remot.models.tiny import build_tokenizer
from tests.tiny import TEXTS

#: One text for a user's turn; ``{image}`` and ``{video}`` become the family's placeholders.
TEMPLATE = (
    "{{% for message in messages %}}<|im_start|>{{{{ message.role }}}}\n"
    "{{% if message.content is string %}}{{{{ message.content }}}}{{% else %}}{{% for part in message.content %}}"
    "{{% if part.type == 'image' %}}{image}{{% elif part.type == 'video' %}}{video}"
    "{{% else %}}{{{{ part.text }}}}{{% endif %}}{{% endfor %}}{{% endif %}}<|im_end|>\n{{% endfor %}}"
    "{{% if add_generation_prompt %}}<|im_start|>assistant\n{{% endif %}}"
)

#: Sizes of a language model and of a vision tower, by the names that most families share.
TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}


@dataclass(frozen=True)
class Pieces:
    """What a family is built from."""

    config: Any
    processor: Any


def tokenizer_with(**named):
    """A tokenizer with further special tokens, each also an attribute of that name, such as ``image_token``."""
    tokenizer = build_tokenizer(TEXTS, 360)
    tokenizer.add_special_tokens(
        {"additional_special_tokens": sorted(set(named.values()))}, replace_extra_special_tokens=False
    )
    tokenizer._set_model_specific_special_tokens(special_tokens=named)
    return tokenizer


def text_config(tokenizer, **settings):
    """Settings of a language model over the tokens of ``tokenizer``."""
    ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id, "bos_token_id": None}
    return {**TEXT, "vocab_size": len(tokenizer), **ids, **settings}


def template(image, video=""):
    return TEMPLATE.format(image=image, video=video)
