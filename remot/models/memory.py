"""How many bytes a token costs, from the sizes of a model."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedModel

#: Numbers of hidden size that a transformer block keeps for the backward pass beside its keys, values and
#: feed-forward layer: two normalisations (input, float32 and output), queries, attention, residuals, adapters' inputs.
#: An estimate: too low a one is made up for by halving when memory runs out.
KEPT_PER_BLOCK = 16
#: Numbers of intermediate size that it keeps: gate, up, their product and its parts.
KEPT_PER_FEED_FORWARD = 5


@dataclass(frozen=True)
class MemoryEstimate:
    """Sizes of a language model."""

    num_layers: int  # transformer blocks
    hidden_size: int  # H
    intermediate_size: int  # width of its feed-forward layers
    key_value_size: int  # numbers in the keys of one token and block, all heads together
    vocab_size: int  # V
    bytes_per_number: int  # of weights, cache and activations
    recomputes: bool = False  # activations are recomputed in the backward pass

    @property
    def cache_bytes(self) -> int:
        """Of one token's keys and values."""
        return 2 * self.num_layers * self.key_value_size * self.bytes_per_number

    @property
    def logits_bytes(self) -> int:
        """Of one token's logits while a token is drawn: float32 twice, and float64 weights and their sum."""
        return self.vocab_size * (2 * 4 + 2 * 8)

    @property
    def block_bytes(self) -> int:
        """Of what one block keeps of one token."""
        kept = KEPT_PER_BLOCK * self.hidden_size + KEPT_PER_FEED_FORWARD * self.intermediate_size
        return (kept + 2 * self.key_value_size) * self.bytes_per_number


def estimate_memory(model: "PreTrainedModel") -> MemoryEstimate:
    """The sizes of a transformers model's language part."""
    text = model.config.get_text_config()
    head_size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    weight = model.get_output_embeddings().weight
    return MemoryEstimate(
        num_layers=text.num_hidden_layers,
        hidden_size=text.hidden_size,
        intermediate_size=text.intermediate_size,
        key_value_size=text.num_key_value_heads * head_size,
        vocab_size=weight.shape[0],
        bytes_per_number=weight.element_size(),
        recomputes=any(getattr(module, "gradient_checkpointing", False) for module in model.modules()),
    )
