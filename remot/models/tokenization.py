"""Texts to tokens and back, as the policy reads and writes them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from remot.answers import THINK_OPEN
from remot.models.inputs.chat_template import render_prompt

if TYPE_CHECKING:
    from transformers import ProcessorMixin


class PolicyTexts:
    """Tokens of completions and of responses.

    A completion is what the policy writes; a response is the text that the chat template opens for it, such as
    ``<think>``, followed by the completion.

    Args:
        processor: The model's, with its tokenizer and chat template.
        eos_token_ids: Tokens that end a turn, the one to learn first.
    """

    def __init__(self, processor: "ProcessorMixin", eos_token_ids: Sequence[int]) -> None:
        self.processor = processor
        self.eos_token_ids = tuple(eos_token_ids)
        # What the chat template writes for the assistant before the model does, such as an opened <think> element.
        messages = [{"role": "user", "content": [{"type": "text", "text": "?"}]}]
        prompt = render_prompt(processor, messages)
        opened = prompt.rfind(THINK_OPEN)
        is_open = opened >= 0 and "</think>" not in prompt[opened:]
        self.response_prefix = prompt[opened:] if is_open else ""

    def responses(self, completions: Sequence[Sequence[int]]) -> list[str]:
        """Responses as text: what the chat template already opened, then the completion, special tokens left out."""
        texts = self.processor.tokenizer.batch_decode([list(ids) for ids in completions], skip_special_tokens=True)
        return [self.response_prefix + text for text in texts]

    def tokens_of_completion(self, text: str) -> list[int]:
        """Token ids of a completion that another engine wrote, without an end of turn."""
        return list(self.processor.tokenizer(text, add_special_tokens=False)["input_ids"])

    def of_token(self, token_id: int) -> str:
        """Text of one token by itself."""
        return str(self.processor.tokenizer.decode([token_id]))

    def tokens_of_response(self, response: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids of a response as the policy would write it, and the characters of ``response`` each one covers.

        What the chat template already opened is left out; the end-of-turn token is appended and covers nothing.
        """
        bare = self.response_prefix.strip()
        skip = len(bare) if bare and response.startswith(bare) else 0
        encoding = self.processor.tokenizer(response[skip:], add_special_tokens=False, return_offsets_mapping=True)
        offsets = [(start + skip, end + skip) for start, end in encoding["offset_mapping"]]
        return [*encoding["input_ids"], self.eos_token_ids[0]], [*offsets, (len(response), len(response))]


def padded(
    responses: Sequence[Sequence[Sequence[int]]], pad_token_id: int, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Token ids [P, K, T] of K responses to each of P prompts, and the mask [P, K, T] of what is no padding."""
    longest = max(len(ids) for held in responses for ids in held)
    shape = (len(responses), len(responses[0]), longest)
    token_ids, mask = torch.full(shape, pad_token_id), torch.zeros(shape, dtype=torch.bool)
    for row, held in enumerate(responses):
        for column, ids in enumerate(held):
            token_ids[row, column, : len(ids)] = torch.tensor(ids)
            mask[row, column, : len(ids)] = True
    return token_ids.to(device), mask.to(device)
