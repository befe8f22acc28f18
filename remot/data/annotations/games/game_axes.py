"""How game engines count directions, and camera poses from what they count.

A game says in its log's header which axis points up, whether its axes are right- or left-handed, where a player with
yaw 0 looks, and which way each angle grows. Yaw turns about the world's up axis, then pitch about the camera's own
right axis, then roll about where it looks, as Unity (``eulerAngles``: z, x, y about the world's axes, which is the
same), Unreal (``FRotator``) and Doom do.

Everything is turned into one right-handed world with x to the east, y to the north and z up. Engines with left-handed
axes are mirrored by that, not turned: no rotation makes a left-handed world right-handed.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from remot.data.annotations.cameras.poses import headings_degrees
from remot.errors import AnnotationError
from remot.structures import FloatArray

Side = Literal["left", "right"]
Way = Literal["up", "down"]
HorizontalAxis = Literal["+x", "-x", "+y", "-y", "+z", "-z"]

#: Rows: east, north and up in the game's x, y, z.
TO_WORLD = {
    ("z", "right"): ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    ("z", "left"): ((1, 0, 0), (0, -1, 0), (0, 0, 1)),
    ("y", "right"): ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    ("y", "left"): ((1, 0, 0), (0, 0, 1), (0, 1, 0)),
}

#: Settings that a header may name by the engine. Unity: metres, z forward, ``eulerAngles`` grow to the right, down and
#: to the left. Unreal: centimetres, x forward, ``FRotator`` grows to the right, up and to the right (clockwise). Doom:
#: 32 map units count as a metre, angles from the east to the left, pitch down; it does not roll.
ENGINES: dict[str, dict[str, Any]] = {
    "unity": {
        "up": "y",
        "handedness": "left",
        "units_per_metre": 1.0,
        "yaw_zero": "+z",
        "yaw_positive": "right",
        "pitch_positive": "down",
        "roll_positive": "left",
    },
    "unreal": {
        "up": "z",
        "handedness": "left",
        "units_per_metre": 100.0,
        "yaw_zero": "+x",
        "yaw_positive": "right",
        "pitch_positive": "up",
        "roll_positive": "right",
    },
    "doom": {
        "up": "z",
        "handedness": "right",
        "units_per_metre": 32.0,
        "yaw_zero": "+x",
        "yaw_positive": "left",
        "pitch_positive": "down",
    },
}

CHOICES: dict[str, tuple[str, ...]] = {
    "up": ("y", "z"),
    "handedness": get_args(Side),
    "yaw_zero": get_args(HorizontalAxis),
    "yaw_positive": get_args(Side),
    "pitch_positive": get_args(Way),
    "roll_positive": get_args(Side),
}
AXIS_KEYS = (*CHOICES, "units_per_metre")
OPTIONAL_AXIS_KEY = "roll_positive"
MAX_UNITS_PER_METRE = 1e9


@dataclass(frozen=True)
class GameAxes:
    """How a game counts places and angles.

    Args:
        up: Axis that points up.
        handedness: Of the axes.
        yaw_zero: Axis along which a player with yaw 0 looks.
        yaw_positive: Where a player turns whose yaw grows.
        pitch_positive: Where a player looks whose pitch grows.
        units_per_metre: Length of a metre.
        roll_positive: Where the player's head tilts when roll grows: "right" is clockwise as the player sees it; None
            if the game does not roll.

    Raises:
        AnnotationError: If a setting is none of the choices.
    """

    up: str
    handedness: str
    yaw_zero: str
    yaw_positive: str
    pitch_positive: str
    units_per_metre: float
    roll_positive: str | None = None
    #: [3, 3] from the game's axes to the world's.
    _to_world: FloatArray = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for key, choices in CHOICES.items():
            value = getattr(self, key)
            if value not in choices and not (key == OPTIONAL_AXIS_KEY and value is None):
                msg = f"{key} is {value!r:.40}, choose one of {', '.join(choices)}"
                raise AnnotationError(msg)
        if self.yaw_zero[1] == self.up:
            msg = (
                f"yaw_zero is {self.yaw_zero}, which is up or down; name the level axis a player with yaw 0 looks along"
            )
            raise AnnotationError(msg)
        number = isinstance(self.units_per_metre, int | float) and not isinstance(self.units_per_metre, bool)
        if not number or not 0 < self.units_per_metre < MAX_UNITS_PER_METRE:
            msg = f"units_per_metre is {self.units_per_metre!r:.40}, give a number above 0 and below 1e9"
            raise AnnotationError(msg)
        object.__setattr__(self, "_to_world", np.array(TO_WORLD[self.up, self.handedness], dtype=np.float64))

    def places_metres(self, positions: FloatArray) -> FloatArray:
        """World places [N, 3] (east, north, up) in metres of positions [N, 3] in the game's axes and units."""
        return positions @ self._to_world.T / self.units_per_metre

    def forwards(self, yaws_degrees: FloatArray) -> FloatArray:
        """Level unit vectors [N, 3] in the world along which players with yaws [N] look."""
        zero = np.zeros(3)
        zero["xyz".index(self.yaw_zero[1])] = 1.0 if self.yaw_zero[0] == "+" else -1.0
        ahead = self._to_world @ zero
        left = np.cross([0, 0, 1], ahead)
        angles = np.radians(yaws_degrees if self.yaw_positive == "left" else -yaws_degrees)[:, None]
        level: FloatArray = np.cos(angles) * ahead + np.sin(angles) * left
        return level

    def headings_degrees(self, yaws_degrees: FloatArray) -> FloatArray:
        """Headings [N] counter-clockwise from east of yaws [N]."""
        return headings_degrees(self.forwards(yaws_degrees))

    def camera_to_world(self, positions: FloatArray, angles_degrees: FloatArray) -> FloatArray:
        """Poses [N, 4, 4] in OpenCV axes and metres.

        Args:
            positions: [N, 3] of the camera, in the game's axes and units.
            angles_degrees: [N, 3] yaw, pitch and roll as the game counts them.

        Raises:
            AnnotationError: If there is a roll but no ``roll_positive``.
        """
        yaw, pitch, roll = angles_degrees.T
        if self.roll_positive is None and np.any(roll != 0):
            msg = f"roll is given, so the header needs {OPTIONAL_AXIS_KEY}: left or right"
            raise AnnotationError(msg)
        level, sky = self.forwards(yaw), np.array([0.0, 0.0, 1.0])
        side = np.cross(level, sky)
        lift = np.radians(pitch if self.pitch_positive == "up" else -pitch)[:, None]
        tilt = np.radians(roll if self.roll_positive == "right" else -roll)[:, None]
        forward = np.cos(lift) * level + np.sin(lift) * sky
        above = np.cos(lift) * sky - np.sin(lift) * level
        poses = np.tile(np.eye(4), (len(positions), 1, 1))
        poses[:, :3, 0] = np.cos(tilt) * side - np.sin(tilt) * above
        poses[:, :3, 1] = -np.cos(tilt) * above - np.sin(tilt) * side
        poses[:, :3, 2] = forward
        poses[:, :3, 3] = self.places_metres(positions)
        return poses


def axes_from(header: dict[str, Any]) -> GameAxes:
    """The axes a log's header names, by an engine, one by one, or both: what is named one by one counts.

    Raises:
        AnnotationError: If the engine is unknown or something is left open.
    """
    engine = header.get("engine")
    if engine is not None and (not isinstance(engine, str) or engine not in ENGINES):
        msg = (
            f"engine is {engine!r:.40}, choose one of {', '.join(ENGINES)} or leave it out and name the axes one by one"
        )
        raise AnnotationError(msg)
    settings = {**ENGINES.get(engine or "", {}), **{key: header[key] for key in AXIS_KEYS if key in header}}
    if missing := [key for key in AXIS_KEYS if key not in settings and key != OPTIONAL_AXIS_KEY]:
        msg = f"the header needs {', '.join(missing)}, or engine: one of {', '.join(ENGINES)}"
        raise AnnotationError(msg)
    return GameAxes(**settings)
