"""Motion experts: one attribute each, told from annotations, with a margin between "still" and "moved"."""

from remot.data.experts.base import AMBIGUOUS, MotionExpert
from remot.data.experts.camera import CameraPitch, CameraYaw
from remot.data.experts.effector import EffectorHorizontal, EffectorVertical, Gripper
from remot.data.experts.objects import ObjectHorizontal, ObjectVertical

__all__ = [
    "AMBIGUOUS",
    "CameraPitch",
    "CameraYaw",
    "EffectorHorizontal",
    "EffectorVertical",
    "Gripper",
    "MotionExpert",
    "ObjectHorizontal",
    "ObjectVertical",
    "default_experts",
]


def default_experts() -> list[MotionExpert]:
    """All seven experts with thresholds for the clips that come with the library."""
    return [
        CameraYaw(),
        CameraPitch(),
        EffectorHorizontal(),
        EffectorVertical(),
        Gripper(),
        ObjectHorizontal(),
        ObjectVertical(),
    ]
