"""Vision-language policies: loading, adapters, and the passes that share a prompt's computation."""

from typing import TYPE_CHECKING

from remot.lazy import lazy_names

if TYPE_CHECKING:
    from remot.models.adapters import Adaptation, FullWeights, LoRA, QLoRA
    from remot.models.inputs.feature_store import FeatureStore
    from remot.models.loading import ModelSource
    from remot.models.policy import VLMPolicy

#: Public names of each module, imported on first use: sizes of a small model are asked for without torch.
HOMES = {
    "remot.models.adapters": ("Adaptation", "FullWeights", "LoRA", "QLoRA"),
    "remot.models.inputs.feature_store": ("FeatureStore",),
    "remot.models.loading": ("ModelSource",),
    "remot.models.policy": ("VLMPolicy",),
}

if not TYPE_CHECKING:  # a type checker would take any name for one that __getattr__ knows
    __getattr__ = lazy_names(__name__, HOMES)

__all__ = ["Adaptation", "FeatureStore", "FullWeights", "LoRA", "ModelSource", "QLoRA", "VLMPolicy"]
