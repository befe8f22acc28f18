"""Which way a hand, gripper or tool moved, and whether it opened or closed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, get_args

import numpy as np

from remot.data.experts.base import AMBIGUOUS, IntArray, MotionExpert, Verdicts, differences
from remot.data.experts.visibility import RequireVisible, directions_known, shown_pairs
from remot.errors import ConfigError
from remot.motion import ATTRIBUTES, plane_code
from remot.structures import Clip, FloatArray


@dataclass(eq=False)
class _SeenExpert(MotionExpert):
    """Shared by what is asked about effectors, which an image may not show."""

    require_visible: RequireVisible = field(default="when_known", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        choices = get_args(RequireVisible)
        if self.require_visible not in choices:
            name = type(self).__name__
            msg = f"{name}: require_visible is {self.require_visible!r:.40}, choose {', '.join(choices)}"
            raise ConfigError(msg)


@dataclass(eq=False)
class _EffectorMove(_SeenExpert):
    """Shared by the directions.

    A direction is that of the images. It is asked about only where the positions are in the axes of each image's own
    camera, or the camera is known to have stood still between the two frames; see
    :class:`remot.structures.EffectorTrack`.

    Args:
        still: Largest displacement along an axis in metres that counts as none.
        salient_min: Smallest displacement along an axis in metres that is asked about.
        salient_max: Largest displacement along an axis in metres that is asked about.
        max_camera_degrees: Rotation up to which a camera with poses counts as still.
        max_camera_metres: Translation up to which a camera with poses counts as still.
        require_visible: ``when_known`` leaves out frames in which the effector is known not to be visible, ``always``
            also those in which that is not known, ``never`` none.
    """

    axis: ClassVar[int]
    direction: ClassVar[int]

    still: float = 0.02
    salient_min: float = 0.2
    salient_max: float = math.inf
    max_camera_degrees: float = 0.5
    max_camera_metres: float = 0.01

    def measure(self, clip: Clip, frame_indices: IntArray) -> Mapping[str, FloatArray]:
        """Displacements [K, K]; NaN where the images do not show them."""
        return self._displacements(clip, frame_indices, self.axis, self.direction)

    def _displacements(
        self, clip: Clip, frame_indices: IntArray, axis: int, direction: int
    ) -> Mapping[str, FloatArray]:
        limits = self.max_camera_degrees, self.max_camera_metres
        return {
            name: np.where(
                directions_known(clip, track, frame_indices, *limits)
                & shown_pairs(clip, name, frame_indices, self.require_visible),
                direction * differences(track.positions[frame_indices, axis]),
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


class EffectorComposite(_EffectorMove):
    """Effector moved towards one of the four corners, as the viewer sees it.

    Both its sideways and its vertical displacement have to be still, or both salient; a motion along one of them only
    is not asked about.
    """

    attribute = ATTRIBUTES["effector_composite"]

    def judge(self, clip: Clip, frame_indices: IntArray) -> Mapping[str, Verdicts]:
        """Verdicts whose magnitude is the length of the way in the image's plane."""
        sideways = self._displacements(clip, frame_indices, 0, 1)
        upward = self._displacements(clip, frame_indices, 1, -1)
        found = {}
        for name in clip.effectors:
            across, up = self._classify(sideways[name]), self._classify(upward[name])
            together = (across != AMBIGUOUS) & (up != AMBIGUOUS) & ((across == 0) == (up == 0))
            codes = np.full(across.shape, AMBIGUOUS, dtype=np.int8)
            codes[together] = plane_code(across[together], up[together])  # of remot.motion.Plane
            found[name] = Verdicts(codes, np.hypot(sideways[name], upward[name]))
        return found


@dataclass(eq=False)
class Gripper(_SeenExpert):
    """Gripper opened (positive) or closed. It does not matter how the camera moves.

    Args:
        still: Largest change of the opening that counts as none.
        salient_min: Smallest change of the opening that is asked about.
        salient_max: Largest change of the opening that is asked about.
        require_visible: See :class:`EffectorHorizontal`.
    """

    attribute = ATTRIBUTES["gripper"]

    still: float = 0.05
    salient_min: float = 0.25
    salient_max: float = math.inf

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
