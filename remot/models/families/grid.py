"""Families with a grid of patches for each image: a batch of prompts in one pass of the processor and vision tower."""

from typing import TYPE_CHECKING

from torch import Tensor, nn

from remot.models.inputs.feature_store import StoredFeatures
from remot.models.inputs.processing import process_prompts, process_replies, visual_features
from remot.models.inputs.prompts import ProcessedPrompts
from remot.structures import PromptBatch

if TYPE_CHECKING:
    from transformers import PreTrainedModel, ProcessorMixin


class GridFamily:
    """How prompts enter a model whose features replace embeddings in order, at positions in time, height and width."""

    def __init__(self, processor: "ProcessorMixin") -> None:
        self.processor = processor

    def process(self, model: "PreTrainedModel", batch: PromptBatch) -> ProcessedPrompts:
        """See :func:`remot.models.inputs.processing.process_prompts`."""
        return process_prompts(self.processor, model, batch)

    def process_replies(self, model: "PreTrainedModel", batch: PromptBatch) -> ProcessedPrompts:
        """See :func:`remot.models.inputs.processing.process_replies`."""
        return process_replies(self.processor, model, batch)

    def features(
        self, model: "PreTrainedModel", prompts: ProcessedPrompts, stored: StoredFeatures | None = None
    ) -> list[Tensor]:
        """See :func:`remot.models.inputs.processing.visual_features`."""
        return visual_features(model, prompts.images, prompts.videos, prompts.token_types, stored)

    def head(self, model: "PreTrainedModel") -> nn.Module:
        """From hidden states [..., H] to logits [..., V]."""
        head: nn.Module = model.get_output_embeddings()
        return head
