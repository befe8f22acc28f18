"""Vision-language policies: loading, adapters, and the passes that share a prompt's computation."""

from remot.models.adapters import Adaptation, FullWeights, LoRA, QLoRA
from remot.models.loading import ModelSource
from remot.models.policy import VLMPolicy

__all__ = ["Adaptation", "FullWeights", "LoRA", "ModelSource", "QLoRA", "VLMPolicy"]
