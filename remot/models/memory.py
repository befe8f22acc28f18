"""How many bytes a token costs, from the sizes of a model, and what to do when memory runs out."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import torch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LOG = logging.getLogger(__name__)

Result = TypeVar("Result")

#: What needs less memory where a single prompt is too much, in the order in which to try it.
LAST_RESORTS = (
    "model.grpo.micro_batch_tokens: 1024 or model.policy.gradient_checkpointing: true, or lower "
    "model.policy.source.max_pixels, model.grpo.max_new_tokens or model.grpo.num_completions"
)

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


def halving(
    attempt: Callable[[int], Result], size: int, what: str, setting: str = "", *, may_retry: bool = True
) -> tuple[Result, int]:
    """Call ``attempt`` for ``size`` prompts at a time, and once more for half as many if memory runs out.

    Args:
        attempt: Takes the size; may be called twice, so it must leave nothing behind when it fails.
        size: Of the first attempt.
        what: Named in the log, such as "decoding".
        setting: The key that sets the size, for the error.
        may_retry: False for one attempt, where other processes wait for what this one does.

    Returns:
        The result, and the size it was made with.

    Raises:
        torch.OutOfMemoryError: If one prompt alone does not fit, or half of them neither; with a note on what to set.
    """
    try:
        return attempt(size), size
    except torch.OutOfMemoryError as error:
        if size == 1 or not may_retry:
            error.add_note(_advice(what, size, setting))
            raise
    # outside of the except clause, so that the failed attempt's tensors are no longer referred to
    _LOG.warning("out of memory while %s %d prompts at a time; trying %d: results stay", what, size, size // 2)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    try:
        return attempt(size // 2), size // 2
    except torch.OutOfMemoryError as error:
        error.add_note(_advice(what, size // 2, setting))
        raise


def _advice(what: str, size: int, setting: str) -> str:
    less = f"{setting}: {max(1, size // 2)}" if setting and size > 1 else LAST_RESORTS
    return f"while {what} {f'{size} prompts' if size > 1 else 'one prompt'}: set {less}"
