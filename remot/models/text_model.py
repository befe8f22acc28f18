"""A local language model that is asked with text alone."""

from functools import cached_property
from typing import Any

import torch

from remot.errors import CheckpointError
from remot.models.loading import Precision


class TextModel:
    """Greedy replies of a folder's model, loaded when the first prompt comes; vision-language models read text as well.

    Args:
        folder: Model folder, or a hub name in the local cache.
        device: Where the weights are put.
        max_new_tokens: Longest reply.
        dtype: Precision of the weights.
    """

    def __init__(
        self, folder: str, device: str = "cpu", max_new_tokens: int = 1024, dtype: Precision = "float32"
    ) -> None:
        self.folder, self._device, self._max_new_tokens, self._dtype = folder, device, max_new_tokens, dtype

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, AutoTokenizer
        from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

        try:
            config = AutoConfig.from_pretrained(self.folder, local_files_only=True)
            tokenizer = AutoTokenizer.from_pretrained(self.folder, local_files_only=True)
            sees = config.model_type in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
            kind = AutoModelForImageTextToText if sees else AutoModelForCausalLM
            model = kind.from_pretrained(
                self.folder, local_files_only=True, use_safetensors=True, dtype=getattr(torch, self._dtype)
            )
        except (OSError, ValueError, KeyError) as error:
            msg = f"{self.folder} holds no language model that can be loaded: {str(error).splitlines()[0]:.300}"
            raise CheckpointError(msg) from error
        return tokenizer, model.to(self._device).eval()

    def ask(self, prompt: str) -> str:
        """The model's reply to a prompt, without special tokens.

        Raises:
            CheckpointError: If the model cannot be loaded.
        """
        tokenizer, model = self._loaded
        if tokenizer.chat_template is None:
            inputs = tokenizer(prompt, return_tensors="pt")
        else:
            content = [{"role": "user", "content": prompt}]
            inputs = tokenizer.apply_chat_template(
                content, add_generation_prompt=True, return_tensors="pt", return_dict=True
            )
        inputs = {name: inputs[name].to(self._device) for name in ("input_ids", "attention_mask")}
        with torch.no_grad():
            tokens = model.generate(**inputs, max_new_tokens=self._max_new_tokens, do_sample=False, num_beams=1)
        reply: str = tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        return reply
