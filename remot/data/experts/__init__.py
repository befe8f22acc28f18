"""Motion experts: one attribute each, derived from annotations, with a margin between "still" and "moved"."""

from remot.data.experts.agent import AgentAdvance, AgentTurn
from remot.data.experts.base import AMBIGUOUS, Expert, MotionExpert, Verdicts
from remot.data.experts.camera import CameraForward, CameraHeight, CameraPitch, CameraRoll, CameraSideways, CameraYaw
from remot.data.experts.effector import EffectorComposite, EffectorDepth, EffectorHorizontal, EffectorVertical, Gripper
from remot.data.experts.mask import MaskFrame
from remot.data.experts.objects import ObjectDepth, ObjectHorizontal, ObjectVertical

__all__ = [
    "AMBIGUOUS",
    "AgentAdvance",
    "AgentTurn",
    "CameraForward",
    "CameraHeight",
    "CameraPitch",
    "CameraRoll",
    "CameraSideways",
    "CameraYaw",
    "EffectorComposite",
    "EffectorDepth",
    "EffectorHorizontal",
    "EffectorVertical",
    "Expert",
    "Gripper",
    "MaskFrame",
    "MotionExpert",
    "ObjectDepth",
    "ObjectHorizontal",
    "ObjectVertical",
    "Verdicts",
    "default_experts",
]


def default_experts() -> list[Expert]:
    """The seven experts that fit the clips that come with the library, with thresholds for them."""
    return [
        CameraYaw(),
        CameraPitch(),
        EffectorHorizontal(),
        EffectorVertical(),
        Gripper(),
        ObjectHorizontal(),
        ObjectVertical(),
    ]
