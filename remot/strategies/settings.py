"""What is loaded, and what of it is trained."""

from dataclasses import dataclass, field

from remot.models.adapters import Adaptation
from remot.models.inputs.feature_store import FeatureStore
from remot.models.loading import ModelSource
from remot.models.packing.selection import PrefixSharing
from remot.models.policy import VLMPolicy


@dataclass(frozen=True)
class PolicySettings:
    """What is loaded and what of it is trained.

    Args:
        source: Weights and processor.
        adaptation: All weights, LoRA or QLoRA; all weights if None.
        train_vision: Train the vision tower too.
        gradient_checkpointing: Recompute activations in the backward pass to save memory.
        prefix_sharing: Compute a prompt once for all its completions: ``on``, ``off``, or ``auto`` if the first prompts
            show that it is exact.
        feature_store: Keep features of the frozen vision tower on disk, so that an image or video is encoded once for
            all updates, epochs and runs.
    """

    source: ModelSource = field(default_factory=ModelSource)
    adaptation: Adaptation | None = None
    train_vision: bool = False
    gradient_checkpointing: bool = False
    prefix_sharing: PrefixSharing = "auto"
    feature_store: FeatureStore | None = None

    def load(
        self, *, with_reference: bool, with_snapshot: bool, with_average: bool = False, is_trained: bool = True
    ) -> VLMPolicy:
        """The policy; for the arguments see :class:`VLMPolicy` and :meth:`VLMPolicy.keep_average`.

        Raises:
            ConfigError: If something does not fit; a feature store is looked at before weights are loaded.
        """
        if self.feature_store is not None:
            self.feature_store.require_usable(train_vision=self.train_vision)
        policy = VLMPolicy(
            self.source,
            self.adaptation,
            train_vision=self.train_vision,
            gradient_checkpointing=self.gradient_checkpointing,
            prefix_sharing=self.prefix_sharing,
            feature_store=self.feature_store,
            with_reference=with_reference,
            with_snapshot=with_snapshot,
            is_trained=is_trained,
        )
        if with_average:
            policy.keep_average()
        return policy
