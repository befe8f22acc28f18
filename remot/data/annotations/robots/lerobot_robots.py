"""Robots whose columns are known, by ``robot_type`` of a data set's ``meta/info.json``.

Only what was held against images stands here: an opening read the wrong way round would make every answer about a
gripper wrong. Other robots need the ``effectors`` setting.
"""

from collections.abc import Mapping

from remot.data.annotations.robots.lerobot_effectors import LeRobotEffector
from remot.errors import ConfigError

_FINGERS = ("Pinky", "Ring", "Middle", "Index", "ThumbBend", "ThumbRotation")

#: Hands by robot type; none of these publishes positions, so that only openings are asked about.
KNOWN_ROBOTS: dict[str, dict[str, LeRobotEffector]] = {
    # Inspire hands: 1 open, 0 closed.
    "Unitree_G1_Inspire": {
        f"{side.lower()} arm": LeRobotEffector(
            opening="observation.state", opening_columns=[f"k{side}Hand{finger}" for finger in _FINGERS]
        )
        for side in ("Left", "Right")
    },
    # Bend of the four fingers in radians, 0 stretched; columns by hand: see meta/modality.json.
    "GR1ArmsOnly": {
        f"{side} arm": LeRobotEffector(
            opening="observation.state", opening_columns=list(range(first, first + 4)), opening_range=(1.5, 0.0)
        )
        for side, first in (("left", 7), ("right", 29))
    },
}


def effectors_of(where: str, robot_type: str) -> Mapping[str, LeRobotEffector]:
    """The hands of a known robot.

    Raises:
        ConfigError: If the robot is not known.
    """
    if robot_type not in KNOWN_ROBOTS:
        msg = (
            f"{where}: robot_type is {robot_type!r:.60}, of which the columns are not known ({', '.join(KNOWN_ROBOTS)} "
            "are); set data.reader.init_args.effectors to the columns that hold positions and openings"
        )
        raise ConfigError(msg)
    return KNOWN_ROBOTS[robot_type]
