import math

import numpy as np
import pytest

from remot.data.tasks.geometry.directions import ANSWERS, VERDICTS, quadrant, side, side_or_back, turn_degrees
from tests.helpers import assert_close

# Seen from above, north up. S stands and looks north to F.
#
#      NW  F  NE
#      W   S   E
#      SW  B  SE
PLAN = {
    "F": (0, 1),
    "NE": (1, 1),
    "E": (1, 0),
    "SE": (1, -1),
    "B": (0, -1),
    "SW": (-1, -1),
    "W": (-1, 0),
    "NW": (-1, 1),
}


def turn(target, facing=(0, 1), standing=(0, 0)):
    return turn_degrees(*(np.array(place, dtype=float) for place in (standing, facing, target)))


@pytest.mark.parametrize(
    ("place", "degrees"),
    [("F", 0), ("NW", 45), ("W", 90), ("SW", 135), ("B", 180), ("NE", -45), ("E", -90), ("SE", -135)],
)
def test_turns_seen_from_above(place, degrees):
    assert_close(turn(PLAN[place]), degrees)


def test_facing_south_has_east_on_the_left():
    assert_close(turn(PLAN["E"], facing=(0, -1)), 90)
    assert_close(turn((3, 2), facing=(0, 2), standing=(1, 2)), 180)  # looks west, the thing is in the east
    assert math.isnan(turn((0, 0)))
    assert math.isnan(turn((1, 0), facing=(0, 0)))


@pytest.mark.parametrize(
    ("verdict", "expected"),
    [
        (side, {"F": None, "NE": "right", "E": "right", "SE": "right", "B": None, "SW": "left", "NW": "left"}),
        (side_or_back, {"F": None, "NE": "right", "E": "right", "SE": None, "B": "back", "SW": None, "W": "left"}),
        (quadrant, {"F": None, "NE": "front-right", "E": None, "SE": "back-right", "SW": "back-left", "W": None}),
        (quadrant, {"NW": "front-left", "B": None}),
    ],
)
def test_verdicts_seen_from_above(verdict, expected):
    assert {place: verdict(turn(PLAN[place]), 10) for place in expected} == expected


@pytest.mark.parametrize("difficulty", ANSWERS)
def test_verdicts_follow_mirrors_and_turns(difficulty):
    """A mirrored plan swaps left and right; a turned one changes nothing."""
    rng = np.random.default_rng(0)
    verdict, mirrored = VERDICTS[difficulty], {"left": "right", "right": "left"}
    found = set()
    for _ in range(500):
        places = rng.normal(size=(3, 2))
        said = verdict(turn_degrees(*places), 10)
        angle = rng.uniform(0, 7)
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        assert verdict(turn_degrees(*(places @ rotation.T * 3 + 5)), 10) == said
        swapped = None if said is None else "-".join(mirrored.get(word, word) for word in said.split("-"))
        assert verdict(turn_degrees(*(places * [-1, 1])), 10) == swapped
        found.add(said)
    assert found == {None, *ANSWERS[difficulty]}


@pytest.mark.parametrize("difficulty", ANSWERS)
def test_no_verdict_changes_within_the_margin(difficulty):
    """Two different answers are at least twice the margin apart."""
    angles = np.arange(-180, 180.001, 0.25)
    said = [VERDICTS[difficulty](angle, 12) for angle in angles]
    for k in range(len(angles)):
        near = {other for other in said[k : k + 95] if other is not None}  # 23.5 degrees
        assert len(near) <= 1
