"""Which way a hand, gripper or tool moved, and whether it opened or closed."""

from collections.abc import Mapping
from typing import ClassVar

from remot.data.experts.base import IntArray, MotionExpert, differences
from remot.motion import ATTRIBUTES
from remot.structures import Clip, FloatArray


class _EffectorMove(MotionExpert):
    """Shared by the two directions.

    Args:
        still: Largest displacement in metres that counts as none.
        salient_min: Smallest displacement in metres that is asked about.
        salient_max: Largest displacement in metres that is asked about.
    """

    axis: ClassVar[int]
    direction: ClassVar[int]

    def __init__(self, still: float = 0.02, salient_min: float = 0.2, salient_max: float = float("inf")) -> None:
        super().__init__(still, salient_min, salient_max)

    def measure(self, clip: Clip, frame_indices: IntArray) -> Mapping[str, FloatArray]:
        return {
            name: self.direction * differences(track.positions[frame_indices, self.axis])
            for name, track in clip.effectors.items()
        }


class EffectorHorizontal(_EffectorMove):
    """Effector moved to the viewer's right (positive) or left."""

    attribute = ATTRIBUTES["effector_horizontal"]
    axis, direction = 0, 1


class EffectorVertical(_EffectorMove):
    """Effector moved up (positive) or down in the viewer's axes, where y points down."""

    attribute = ATTRIBUTES["effector_vertical"]
    axis, direction = 1, -1


class Gripper(MotionExpert):
    """Gripper opened (positive) or closed.

    Args:
        still: Largest change of the opening that counts as none.
        salient_min: Smallest change of the opening that is asked about.
        salient_max: Largest change of the opening that is asked about.
    """

    attribute = ATTRIBUTES["gripper"]

    def __init__(self, still: float = 0.05, salient_min: float = 0.25, salient_max: float = float("inf")) -> None:
        super().__init__(still, salient_min, salient_max)

    def measure(self, clip: Clip, frame_indices: IntArray) -> Mapping[str, FloatArray]:
        """Change of the opening for each effector that has a gripper."""
        return {
            name: differences(track.opening[frame_indices])
            for name, track in clip.effectors.items()
            if track.opening is not None
        }
