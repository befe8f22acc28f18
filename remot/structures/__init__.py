"""The frozen records that travel between the layers. Each checks itself and prints its shapes, not its numbers."""

from typing import TYPE_CHECKING

from remot.lazy import lazy_names

if TYPE_CHECKING:
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
        with_turns,
    )
    from remot.structures.references import (
        ANSWER_TYPES,
        AnswerType,
        Box,
        BoxTrack,
        Interval,
        Point,
        Reference,
        ResampleRequest,
    )
    from remot.structures.training import LossOutput, RewardOutput, Rollout
    from remot.structures.turns import ClipFrames, Turn
    from remot.structures.video import Video, pair_videos

#: Public names of each module, imported on first use. The imports above are the same for type checkers.
HOMES = {
    "remot.structures.clip": (
        "AgentTrack",
        "CameraTrack",
        "Clip",
        "EffectorTrack",
        "Event",
        "FloatArray",
        "ImageStore",
        "LayoutBox",
        "Media",
        "ObjectTrack",
    ),
    "remot.structures.held_out": (
        "MIN_SCENES_FOR_95",
        "interval_note",
    ),
    "remot.structures.prompt": (
        "ImageEdit",
        "ImageTransform",
        "MaskOf",
        "MotionLabel",
        "PromptBatch",
        "Question",
        "Slot",
        "Triplet",
        "Warp",
        "reference_of",
        "solution_of",
        "task_of",
        "with_counterfactuals",
        "with_turns",
    ),
    "remot.structures.references": (
        "ANSWER_TYPES",
        "AnswerType",
        "Box",
        "BoxTrack",
        "Interval",
        "Point",
        "Reference",
        "ResampleRequest",
    ),
    "remot.structures.training": (
        "LossOutput",
        "RewardOutput",
        "Rollout",
    ),
    "remot.structures.turns": ("ClipFrames", "Turn"),
    "remot.structures.video": ("Video", "pair_videos"),
}

if not TYPE_CHECKING:  # a type checker would take any name for one that __getattr__ knows
    __getattr__ = lazy_names(__name__, HOMES)

__all__ = [
    "ANSWER_TYPES", "MIN_SCENES_FOR_95", "AgentTrack", "AnswerType", "Box", "BoxTrack", "CameraTrack", "Clip",
    "ClipFrames", "EffectorTrack", "Event", "FloatArray", "ImageEdit", "ImageStore", "ImageTransform", "Interval",
    "LayoutBox", "LossOutput", "MaskOf", "Media", "MotionLabel", "ObjectTrack", "Point", "PromptBatch", "Question",
    "Reference", "ResampleRequest", "RewardOutput", "Rollout", "Slot", "Triplet", "Turn", "Video", "Warp",
    "interval_note", "pair_videos", "reference_of", "solution_of", "task_of", "with_counterfactuals", "with_turns",
]  # fmt: skip
