"""How many bytes a token costs, from the sizes of a model, and what to do when memory runs out."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import torch

from remot.models.parts import block_lists

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_LOG = logging.getLogger(__name__)

Result = TypeVar("Result")

#: What needs less memory where a single prompt is too much, in the order in which to try it.
LAST_RESORTS = (
    "model.grpo.micro_batch_tokens: 1024 or model.policy.gradient_checkpointing: true, or lower "
    "model.policy.source.max_pixels, model.grpo.max_new_tokens or model.grpo.num_completions"
)

#: Bytes of a number within a normalisation, which computes in float32 whatever the precision of the weights.
NORM_BYTES = 4


@dataclass(frozen=True)
class MemoryEstimate:
    """Sizes of a language model, and of what is trained of it."""

    num_layers: int  # transformer blocks
    hidden_size: int  # H
    intermediate_size: int  # I, width of its feed-forward layers
    key_value_size: int  # K, numbers in the keys of one token and block, all heads together
    vocab_size: int  # V
    bytes_per_number: int  # of weights, cache and activations
    recomputes: bool = False  # activations are recomputed in the backward pass
    query_size: int = field(kw_only=True)  # Q, numbers in the queries of one token and block, all heads together
    input_size: int = field(kw_only=True)  # numbers that go into a block's trained linear layers and are kept
    bytes_per_input: int = field(kw_only=True)  # of these, in the precision of the trained weights
    trains_norms: bool = field(default=False, kw_only=True)

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
        """Of what one block keeps of one token for the backward pass.

        What goes into its normalisations (residuals, queries, keys); what attention takes and gives (rotated queries,
        the same put together by completion, keys and values, the result); gate, its activation and up; and what goes
        into trained linear layers.
        """
        normalised = 2 * self.hidden_size + self.query_size + self.key_value_size
        attended = 3 * self.query_size + 2 * self.key_value_size
        kept = attended + 3 * self.intermediate_size + (normalised if self.trains_norms else 0)
        return normalised * NORM_BYTES + kept * self.bytes_per_number + self.input_size * self.bytes_per_input

    @property
    def passing_bytes(self) -> int:
        """Of what a block without gradient holds of one token at a time: residuals, gate and up with their product.

        Adapters of another precision hold what they add to up by itself, scaled, and in the sum.
        """
        copied = 3 * self.bytes_per_input if self.bytes_per_input != self.bytes_per_number else 0
        own = (2 * self.hidden_size + 3 * self.intermediate_size) * self.bytes_per_number
        return own + self.intermediate_size * copied

    @property
    def gradient_bytes(self) -> int:
        """Of the gradients of one token that come and go in a block: of gate and up, and of a copy of their product."""
        copied = self.bytes_per_input if self.bytes_per_input != self.bytes_per_number else 0
        return self.intermediate_size * (2 * self.bytes_per_number + copied)


def estimate_memory(model: "PreTrainedModel") -> MemoryEstimate:
    """The sizes of a transformers model's language part, with adapters if there are any."""
    text = model.config.get_text_config()
    head_size = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    weight = model.get_output_embeddings().weight
    query_size = text.num_attention_heads * head_size
    block = next(iter(block_lists(model, with_vision=False).values()))[0]
    trained = [part for part in block.parameters() if part.requires_grad and part.ndim == 2]
    bytes_per_input = max((part.element_size() for part in trained), default=weight.element_size())
    input_size = sum(part.shape[1] for part in trained)
    if bytes_per_input == weight.element_size():  # else adapters make a copy for each of them
        # queries share their input with keys and values, gate with up
        input_size = min(input_size, 2 * text.hidden_size + query_size + text.intermediate_size)
    return MemoryEstimate(
        num_layers=text.num_hidden_layers,
        hidden_size=text.hidden_size,
        intermediate_size=text.intermediate_size,
        key_value_size=text.num_key_value_heads * head_size,
        vocab_size=weight.shape[0],
        bytes_per_number=weight.element_size(),
        recomputes=any(getattr(module, "gradient_checkpointing", False) for module in model.modules()),
        query_size=query_size,
        input_size=input_size,
        bytes_per_input=bytes_per_input,
        trains_norms=any(one.requires_grad for one in block.parameters() if one.ndim == 1),
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
