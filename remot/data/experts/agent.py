"""Which way a player, vehicle or mobile robot turned and went, seen from above."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from remot.data.experts.base import IntArray, MotionExpert, differences
from remot.motion import ATTRIBUTES
from remot.structures import Clip, FloatArray


@dataclass(eq=False)
class AgentTurn(MotionExpert):
    """Agent turned to its right (positive) or left.

    Args:
        still: Largest turn in degrees that counts as none.
        salient_min: Smallest turn in degrees that is asked about.
        salient_max: Largest turn in degrees that is asked about.
    """

    attribute = ATTRIBUTES["agent_turn"]

    still: float = 1.0
    salient_min: float = 10.0
    salient_max: float = 90.0

    def measure(self, clip: Clip, frame_indices: IntArray) -> Mapping[str, FloatArray]:
        """Turns; headings are counter-clockwise, so a turn to the right makes them smaller."""
        if clip.agent is None:
            return {}
        return {"": _wrapped(-differences(clip.agent.headings_degrees[frame_indices]))}


@dataclass(eq=False)
class AgentAdvance(MotionExpert):
    """Agent went forward (positive) or backward, along where it faced in the first image.

    Args:
        still: Largest way in metres that counts as none.
        salient_min: Smallest way in metres that is asked about.
        salient_max: Largest way in metres that is asked about.
        max_turn_degrees: Largest turn between the two images.
    """

    attribute = ATTRIBUTES["agent_advance"]

    still: float = 0.05
    salient_min: float = 0.5
    salient_max: float = math.inf
    max_turn_degrees: float = 45.0

    def measure(self, clip: Clip, frame_indices: IntArray) -> Mapping[str, FloatArray]:
        """Ways in the direction the agent faced at the first of the two frames."""
        if clip.agent is None:
            return {}
        headings = np.radians(clip.agent.headings_degrees[frame_indices])
        places = clip.agent.positions_metres[frame_indices]
        ways = places[None] - places[:, None]
        ahead = np.cos(headings)[:, None] * ways[..., 0] + np.sin(headings)[:, None] * ways[..., 1]
        turned = np.abs(_wrapped(np.degrees(differences(headings))))
        return {"": np.where(turned <= self.max_turn_degrees, ahead, np.nan)}


def _wrapped(degrees: FloatArray) -> FloatArray:
    """Turns the shorter way round, in [-180, 180)."""
    return (degrees + 180) % 360 - 180
