"""Where two grippers shall be at each moment: paths through poses in the world of the table (z up, metres)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from remot.structures import FloatArray

#: Lowest and highest place of the left gripper; the right one's are mirrored in x.
LOW, HIGH = np.array([-0.38, 0.4, 0.14]), np.array([-0.1, 0.62, 0.42])
REST_SECONDS = (0.3, 0.6)
MOVE_SECONDS = (0.5, 0.9)
#: A move is at least this share of the reach.
LEAST_SHARE = 0.5
#: How far behind the finger tips the gripper's own place is, and how it is held to take something from above.
TIP_METRES, TAKE_PITCH_DEGREES = 0.14, 60.0


@dataclass(frozen=True, eq=False)
class Pose:
    """Both grippers at a moment.

    Args:
        seconds: The moment.
        places: Of the left and the right gripper, each [3].
        openings: Of both, 0 closed to 1 open.
        pitches_degrees: How far each points downwards.
    """

    seconds: float
    places: tuple[FloatArray, FloatArray]
    openings: tuple[float, float]
    pitches_degrees: tuple[float, float] = (0.0, 0.0)


def levels(start: Sequence[FloatArray], generator: np.random.Generator, seconds: float) -> list[Pose]:
    """Arms that move in turn, each sideways, up or down or with the fingers only, and rest in between."""
    path = [Pose(0.0, (start[0], start[1]), (0.0, 0.0))]
    while path[-1].seconds < seconds:
        last = replace(path[-1], seconds=path[-1].seconds + float(generator.uniform(*REST_SECONDS)))
        path.append(last)
        side, kind = int(generator.integers(2)), int(generator.integers(4))
        places, openings = list(last.places), list(last.openings)
        if kind == 0:
            openings[side] = 1 - openings[side]
        else:
            places[side] = _moved(last.places[side], side, 2 if kind == 1 else 0, generator)
        later = last.seconds + float(generator.uniform(*MOVE_SECONDS))
        path.append(Pose(later, (places[0], places[1]), (openings[0], openings[1])))
    return path


def grasp(start: Sequence[FloatArray], cube: FloatArray, seconds: float) -> list[Pose]:
    """The right arm opens, takes the cube from above and lifts it; the left one waits."""
    tilt = np.radians(TAKE_PITCH_DEGREES)
    behind = TIP_METRES * np.array([np.cos(tilt), 0.0, np.sin(tilt)])
    stops = (
        (0.0, start[1], 0.0, 0.0),
        (0.05, start[1], 0.0, 0.0),
        (0.15, start[1], 1.0, 0.0),
        (0.35, cube + behind + [0, 0, 0.08], 1.0, TAKE_PITCH_DEGREES),
        (0.5, cube + behind, 1.0, TAKE_PITCH_DEGREES),
        (0.6, cube + behind, 0.0, TAKE_PITCH_DEGREES),
        (0.85, cube + behind + [0.03, 0, 0.18], 0.0, TAKE_PITCH_DEGREES),
        (1.0, cube + behind + [0.03, 0, 0.18], 0.0, TAKE_PITCH_DEGREES),
    )
    return [Pose(share * seconds, (start[0], place), (0.0, hand), (0.0, pitch)) for share, place, hand, pitch in stops]


def pose_at(path: Sequence[Pose], seconds: float) -> Pose:
    """The pose on the way between two poses of a path, leaving and arriving slowly."""
    later = next((number for number, pose in enumerate(path) if pose.seconds > seconds), len(path) - 1)
    before, after = path[max(later - 1, 0)], path[later]
    length = after.seconds - before.seconds
    share = 1.0 if length <= 0 else float(np.clip((seconds - before.seconds) / length, 0, 1))
    share = share * share * (3 - 2 * share)

    def between(low: float, high: float) -> float:
        return low + share * (high - low)

    return Pose(
        seconds,
        (
            before.places[0] + share * (after.places[0] - before.places[0]),
            before.places[1] + share * (after.places[1] - before.places[1]),
        ),
        (between(before.openings[0], after.openings[0]), between(before.openings[1], after.openings[1])),
        (
            between(before.pitches_degrees[0], after.pitches_degrees[0]),
            between(before.pitches_degrees[1], after.pitches_degrees[1]),
        ),
    )


def _moved(place: FloatArray, side: int, axis: int, generator: np.random.Generator) -> FloatArray:
    """Another place of a gripper along one axis, clearly away from where it is."""
    mirror = np.array([1.0 if side == 0 else -1.0, 1.0, 1.0])
    own = np.clip(place * mirror, LOW, HIGH)
    reach = HIGH[axis] - LOW[axis]
    upwards = own[axis] - LOW[axis] < reach / 2
    distance = float(generator.uniform(LEAST_SHARE, 1.0)) * reach
    own[axis] = np.clip(own[axis] + (distance if upwards else -distance), LOW[axis], HIGH[axis])
    moved: FloatArray = own * mirror
    return moved
