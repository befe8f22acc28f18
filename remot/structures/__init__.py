"""The frozen records that travel between the layers. Each checks itself and prints its shapes, not its numbers."""

from remot.structures.clip import (
    AgentTrack,
    CameraTrack,
    Clip,
    EffectorTrack,
    Event,
    FloatArray,
    LayoutBox,
    Media,
    ObjectTrack,
    PictureStore,
)
from remot.structures.prompt import (
    MaskOf,
    MotionLabel,
    PictureTransform,
    PromptBatch,
    Question,
    Slot,
    Triplet,
    Warp,
)
from remot.structures.training import LossOutput, RewardOutput, Rollout

__all__ = [
    "AgentTrack",
    "CameraTrack",
    "Clip",
    "EffectorTrack",
    "Event",
    "FloatArray",
    "LayoutBox",
    "LossOutput",
    "MaskOf",
    "Media",
    "MotionLabel",
    "ObjectTrack",
    "PictureStore",
    "PictureTransform",
    "PromptBatch",
    "Question",
    "RewardOutput",
    "Rollout",
    "Slot",
    "Triplet",
    "Warp",
]
