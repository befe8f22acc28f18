"""Which way a hand, gripper or tool moved, and whether it opened or closed."""

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from remot.data.experts.base import AMBIGUOUS, Expert, IntArray, MotionExpert, Verdicts, differences, require_order
from remot.data.experts.visibility import RequireVisible, directions_known, require_choice, shown_pairs
from remot.motion import ATTRIBUTES, plane_code
from remot.structures import Clip, FloatArray


class _EffectorMove(MotionExpert):
    """Shared by the three directions.

    A direction is that of the images. It is asked about only where the positions are in the axes of each image's own
    camera, or the camera is known to have stood still between the two frames; see
    :class:`remot.structures.EffectorTrack`.

    Args:
        still: Largest displacement in metres that counts as none.
        salient_min: Smallest displacement in metres that is asked about.
        salient_max: Largest displacement in metres that is asked about.
        max_camera_degrees: Rotation up to which a camera with poses counts as still.
        max_camera_metres: Translation up to which a camera with poses counts as still.
        require_visible: ``when_known`` leaves out frames in which the effector is known not to be visible, ``always``
            also those in which that is not known, ``never`` none.
    """

    axis: ClassVar[int]
    direction: ClassVar[int]

    def __init__(
        self,
        still: float = 0.02,
        salient_min: float = 0.2,
        salient_max: float = float("inf"),
        max_camera_degrees: float = 0.5,
        max_camera_metres: float = 0.01,
        require_visible: RequireVisible = "when_known",
    ) -> None:
        super().__init__(still, salient_min, salient_max)
        require_choice(type(self).__name__, require_visible)
        self.max_camera_degrees = max_camera_degrees
        self.max_camera_metres = max_camera_metres
        self.require_visible: RequireVisible = require_visible

    def measure(self, clip: Clip, frame_indices: IntArray) -> Mapping[str, FloatArray]:
        """Displacements [K, K]; NaN where the images do not show them."""
        limits = self.max_camera_degrees, self.max_camera_metres
        return {
            name: np.where(
                directions_known(clip, track, frame_indices, *limits)
                & shown_pairs(clip, name, frame_indices, self.require_visible),
                self.direction * differences(track.positions[frame_indices, self.axis]),
                np.nan,
            )
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


class EffectorDepth(_EffectorMove):
    """Effector moved forward, away from the viewer (positive), or backward, towards the viewer."""

    attribute = ATTRIBUTES["effector_depth"]
    axis, direction = 2, 1


class EffectorComposite(Expert):
    """Effector moved towards one of the four corners, as the viewer sees it.

    Both its sideways and its vertical displacement have to be still, or both salient; a motion along one of them only
    is not asked about.

    Args:
        still: Largest displacement along each axis in metres that counts as none.
        salient_min: Smallest displacement along each axis in metres that is asked about.
        salient_max: Largest displacement along each axis in metres that is asked about.
        max_camera_degrees: Rotation up to which a camera with poses counts as still.
        max_camera_metres: Translation up to which a camera with poses counts as still.
        require_visible: See :class:`EffectorHorizontal`.
    """

    attribute = ATTRIBUTES["effector_composite"]

    def __init__(
        self,
        still: float = 0.02,
        salient_min: float = 0.2,
        salient_max: float = float("inf"),
        max_camera_degrees: float = 0.5,
        max_camera_metres: float = 0.01,
        require_visible: RequireVisible = "when_known",
    ) -> None:
        require_order(type(self).__name__, still, salient_min, salient_max)
        require_choice(type(self).__name__, require_visible)
        self.still, self.salient_min, self.salient_max = still, salient_min, salient_max
        self.max_camera_degrees, self.max_camera_metres = max_camera_degrees, max_camera_metres
        self.require_visible: RequireVisible = require_visible
        settings = (still, salient_min, salient_max, max_camera_degrees, max_camera_metres, require_visible)
        self._sideways = EffectorHorizontal(*settings)
        self._upward = EffectorVertical(*settings)

    def judge(self, clip: Clip, frame_indices: IntArray) -> Mapping[str, Verdicts]:
        """Verdicts whose magnitude is the length of the way in the image's plane."""
        sideways, upward = (expert.judge(clip, frame_indices) for expert in (self._sideways, self._upward))
        return {name: _in_plane(sideways[name], upward[name]) for name in clip.effectors}


def _in_plane(sideways: Verdicts, upward: Verdicts) -> Verdicts:
    """Codes of :class:`remot.motion.Plane` from those of its axes."""
    clear = (sideways.codes != AMBIGUOUS) & (upward.codes != AMBIGUOUS)
    together = clear & ((sideways.codes == 0) == (upward.codes == 0))
    codes = np.full(sideways.codes.shape, AMBIGUOUS, dtype=np.int8)
    codes[together] = plane_code(sideways.codes[together], upward.codes[together])
    return Verdicts(codes, np.hypot(sideways.magnitudes, upward.magnitudes))


class Gripper(MotionExpert):
    """Gripper opened (positive) or closed. It does not matter how the camera moves.

    Args:
        still: Largest change of the opening that counts as none.
        salient_min: Smallest change of the opening that is asked about.
        salient_max: Largest change of the opening that is asked about.
        require_visible: See :class:`EffectorHorizontal`.
    """

    attribute = ATTRIBUTES["gripper"]

    def __init__(
        self,
        still: float = 0.05,
        salient_min: float = 0.25,
        salient_max: float = float("inf"),
        require_visible: RequireVisible = "when_known",
    ) -> None:
        super().__init__(still, salient_min, salient_max)
        require_choice(type(self).__name__, require_visible)
        self.require_visible: RequireVisible = require_visible

    def measure(self, clip: Clip, frame_indices: IntArray) -> Mapping[str, FloatArray]:
        """Change of the opening for each effector that has a gripper."""
        return {
            name: np.where(
                shown_pairs(clip, name, frame_indices, self.require_visible),
                differences(track.opening[frame_indices]),
                np.nan,
            )
            for name, track in clip.effectors.items()
            if track.opening is not None
        }
