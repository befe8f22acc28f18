"""The frozen records that travel between the layers. Each checks itself and prints its shapes, not its numbers."""

from remot.structures.clip import (
    AgentTrack,
    CameraTrack,
    Clip,
    EffectorTrack,
    Event,
    FloatArray,
    ImageStore,
    LayoutBox,
    Media,
    ObjectTrack,
)
from remot.structures.held_out import MIN_SCENES_FOR_95, interval_note
from remot.structures.prompt import (
    ImageEdit,
    ImageTransform,
    MaskOf,
    MotionLabel,
    PromptBatch,
    Question,
    Slot,
    Triplet,
    Warp,
    reference_of,
    solution_of,
    task_of,
    with_counterfactuals,
)
from remot.structures.references import (
    Box,
    BoxTrack,
    Interval,
    Point,
    Reference,
    ResampleRequest,
)
from remot.structures.training import LossOutput, RewardOutput, Rollout
from remot.structures.video import Video

__all__ = [
    "MIN_SCENES_FOR_95", "AgentTrack", "Box", "BoxTrack", "CameraTrack", "Clip", "EffectorTrack", "Event",
    "FloatArray", "ImageEdit", "ImageStore", "ImageTransform", "Interval", "LayoutBox", "LossOutput", "MaskOf",
    "Media", "MotionLabel", "ObjectTrack", "Point", "PromptBatch", "Question", "Reference", "ResampleRequest",
    "RewardOutput", "Rollout", "Slot", "Triplet", "Video", "Warp", "interval_note", "reference_of", "solution_of",
    "task_of", "with_counterfactuals",
]  # fmt: skip
