"""Which columns of a LeRobot data set hold a hand or gripper, and what they mean."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from remot.data.annotations.robots.axes import (
    UPRIGHT_CAMERA,
    axes_matrix,
    check_opening_range,
    scale_opening,
    to_viewer,
    unknown_positions,
)
from remot.data.annotations.robots.lerobot_folder import LeRobotFolder
from remot.data.annotations.robots.lerobot_rows import EpisodeRows
from remot.errors import AnnotationError, ConfigError
from remot.structures import EffectorTrack, FloatArray


@dataclass(frozen=True)
class LeRobotEffector:
    """Where a data set keeps one hand or gripper.

    Args:
        positions: Feature with positions, such as ``observation.state``; None if the robot publishes joint angles only.
        position_columns: Its three columns with x, y and z, by number or name; None if it has three columns.
        opening: Feature with readings of the gripper; None if there is none.
        opening_columns: Its columns, by number or name; the readings of several fingers are averaged. None if it has
            one column.
        opening_range: Readings of the closed and of the open gripper; None if they are 0 and 1.
        axes: How the positions' axes lie for the viewer, see :mod:`remot.data.annotations.robots.axes`.
        metres_per_unit: Length of the unit of the positions.
        poses: Array of the reader's ``poses_file`` with poses [N, 4, 4] or positions [N, 3], instead of ``positions``.
    """

    positions: str | None = None
    position_columns: list[int | str] | None = None
    opening: str | None = None
    opening_columns: list[int | str] | None = None
    opening_range: tuple[float, float] | None = None
    axes: str = UPRIGHT_CAMERA
    metres_per_unit: float = 1.0
    poses: str | None = None

    def check(self, name: str) -> None:
        """Refuse what cannot be meant; called by the reader, which knows the name.

        Args:
            name: The effector's name, for errors.
        """
        axes_matrix(self.axes)
        check_opening_range(self.opening_range)
        if self.positions is None and self.opening is None and self.poses is None:
            msg = f"effector {name!r}: name the feature that holds its positions, its opening, or both"
            raise ConfigError(msg)
        if self.positions is not None and self.poses is not None:
            msg = f"effector {name!r}: positions {self.positions!r} and poses {self.poses!r} are both given, keep one"
            raise ConfigError(msg)


def track_of(
    folder: LeRobotFolder, name: str, effector: LeRobotEffector, rows: EpisodeRows, poses: FloatArray | None
) -> EffectorTrack:
    """An effector's track in an episode.

    Args:
        folder: The data set.
        name: The effector's name, for errors.
        effector: Where its columns are.
        rows: The episode.
        poses: [N, 3] positions from an archive, if it has them there.

    Raises:
        AnnotationError: If a column is missing, not finite, or does not hold what it should.
    """
    where = f"{rows.file}: episode {rows.episode}, {name}"
    positions = poses
    if effector.positions is not None:
        positions = _columns(folder, where, rows, effector.positions, effector.position_columns)
        if positions.shape[1] != 3:
            msg = f"{where}: positions have {positions.shape[1]} columns, set position_columns to those of x, y and z"
            raise AnnotationError(msg, reason="shape")
        if not np.isfinite(positions).all():
            msg = f"{where}: positions hold NaN or infinity, leave out the episode"
            raise AnnotationError(msg, reason="not finite")
    opening = None
    if effector.opening is not None:
        readings = _columns(folder, where, rows, effector.opening, effector.opening_columns)
        opening = scale_opening(where, readings, effector.opening_range).mean(axis=1)
    if positions is None:
        return EffectorTrack(unknown_positions(len(rows.pts_seconds)), opening)
    return EffectorTrack(to_viewer(positions * effector.metres_per_unit, effector.axes), opening)


def _columns(
    folder: LeRobotFolder, where: str, rows: EpisodeRows, feature: str, columns: Sequence[int | str] | None
) -> FloatArray:
    """[N, K] of a feature."""
    values, names = rows.features[feature], folder.column_names(feature)
    if columns is None:
        return values
    chosen = [names.index(column) if column in names else column for column in columns]
    for column in chosen:
        if not isinstance(column, int) or not 0 <= column < values.shape[1]:
            msg = f"{where}: {feature} has no column {column!r:.60}, it has {values.shape[1]}: {', '.join(names):.300}"
            raise AnnotationError(msg)
    return values[:, [int(column) for column in chosen]]


_FINGERS = ("Pinky", "Ring", "Middle", "Index", "ThumbBend", "ThumbRotation")

#: Hands by the ``robot_type`` of ``meta/info.json``, only those that were held against images: an opening read the
#: wrong way round would make every answer about a gripper wrong. None of these publishes positions, so that only
#: openings are asked about. Other robots need the ``effectors`` setting.
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


def effectors_of(where: str, robot_type: str) -> dict[str, LeRobotEffector]:
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
