"""How far apart are two things, which is the closest, and on which side does one lie for a viewer?"""

from collections.abc import Iterator
from itertools import combinations, permutations
from typing import Any

import numpy as np

from remot.data.tasks.geometry.boxes import box_distance
from remot.data.tasks.geometry.directions import ANSWERS, VERDICTS, Difficulty, turn_degrees
from remot.data.tasks.rooms.base import RoomTask
from remot.data.tasks.rooms.scene import Scene, kind_counts
from remot.data.tasks.shared.candidates import Candidate, Refusal
from remot.data.tasks.shared.orders import clearly_nearest
from remot.errors import ConfigError
from remot.structures import Clip

#: Things of a scene whose triples are looked at; more are drawn from.
MAX_THINGS = 8


class AbsoluteDistance(RoomTask):
    """Distance of the closest points of two things in metres with one decimal, as VSI-Bench asks.

    Args:
        min_metres: Smallest distance that is asked about: a tenth of a metre is too coarse below, and boxes are too.
        shared: Settings of all questions about rooms, see :class:`RoomTask`.
    """

    name = "absolute_distance"
    num_single = 2

    def __init__(self, min_metres: float = 0.3, **shared: Any) -> None:
        super().__init__(**shared)
        self.min_metres = min_metres

    def candidates(self, scene: Scene, generator: np.random.Generator) -> Iterator[Candidate | Refusal]:
        """One for each two things that their names point at, in drawn order."""
        for pair in combinations(sorted(scene.single), 2):
            metres = box_distance(scene.single[pair[0]], scene.single[pair[1]])
            if metres < self.min_metres:
                yield Refusal("too close")
                continue
            first, second = pair if generator.integers(2) else pair[::-1]
            yield Candidate({"first": first, "second": second}, f"{metres:.1f}")


class RelativeDistance(RoomTask):
    """Which of several kinds is the closest to a thing, by the closest points and the closest of each kind.

    As in VSI-Bench the kinds that are offered may have several things; the margin is ours.

    Args:
        num_options: How many are offered; fewer, down to two, where fewer kinds are shown.
        min_gap_metres: How much closer than the next one the closest must be.
        min_ratio: How many times as far away the next one must be.
        max_sets: Sets of options that are drawn for each thing.
        shared: Settings of all questions about rooms, see :class:`RoomTask`.
    """

    name = "relative_distance"
    num_single = 1

    def __init__(
        self,
        num_options: int = 4,
        min_gap_metres: float = 0.15,
        min_ratio: float = 1.2,
        max_sets: int = 4,
        **shared: Any,
    ) -> None:
        super().__init__(**shared)
        if not 2 <= num_options <= 8 or min_gap_metres < 0 or min_ratio < 1:
            msg = (
                f"{self.name}: {num_options} options, a gap of {min_gap_metres} m, a ratio of {min_ratio}; choose 2 to "
            )
            raise ConfigError(msg + "8 options, a gap of at least 0 and a ratio of at least 1")
        self.num_options = num_options
        self.min_gap_metres = min_gap_metres
        self.min_ratio = min_ratio
        self.max_sets = max_sets

    def serves(self, clip: Clip) -> bool:
        """Whether there are enough kinds."""
        return super().serves(clip) and len(kind_counts(clip)) > 2

    def candidates(self, scene: Scene, generator: np.random.Generator) -> Iterator[Candidate | Refusal]:
        """For each thing that its name points at a few drawn sets of other kinds; balanced over the closest."""
        for name, box in scene.single.items():
            others = [kind for kind in scene.kinds if kind != name]
            if len(others) < 2:
                yield Refusal("too few other kinds")
                continue
            for _ in range(self.max_sets):
                order = generator.permutation(len(others))[: self.num_options]
                kinds = {others[k]: scene.kinds[others[k]] for k in order}
                metres = {kind: min(box_distance(box, one) for one in boxes) for kind, boxes in kinds.items()}
                ordered = clearly_nearest(metres, self.min_gap_metres, self.min_ratio)
                if ordered is None:
                    yield Refusal("two are about as close")
                else:
                    yield Candidate({"thing": name}, ordered[0], tuple(ordered[1:]), verdict=ordered[0])


class RelativeDirection(RoomTask):
    """Left or right (easy); left, right or back (medium); one of four quadrants (hard), by centres seen from above.

    As in VSI-Bench, back is what one has to turn at least 135 degrees to. The margins are ours, and so is that at
    medium nothing is asked about what lies within 45 degrees of straight ahead, for which there is no answer.

    Args:
        difficulty: Which of the three.
        margin_degrees: How far a direction has to be from where the answer would change.
        min_metres: How far the other two must be from where one stands, between centres on the ground.
        shared: Settings of all questions about rooms, see :class:`RoomTask`.
    """

    num_single = 3

    def __init__(
        self, difficulty: Difficulty = "hard", margin_degrees: float = 15.0, min_metres: float = 0.7, **shared: Any
    ) -> None:
        if difficulty not in ANSWERS or not 0 <= margin_degrees < 45:
            msg = f"RelativeDirection: difficulty is {difficulty!r} and margin_degrees {margin_degrees}; choose easy, "
            raise ConfigError(msg + "medium or hard, and 0 to 45 degrees")
        self.difficulty: Difficulty = difficulty
        self.name = f"relative_direction_{difficulty}"
        self.answers = ANSWERS[difficulty]
        super().__init__(**shared)
        self.margin_degrees = margin_degrees
        self.min_metres = min_metres

    def candidates(self, scene: Scene, generator: np.random.Generator) -> Iterator[Candidate | Refusal]:
        """One for each three things that their names point at, in each order."""
        names = sorted(scene.single)
        names = [names[k] for k in sorted(generator.permutation(len(names))[:MAX_THINGS])]
        places = {name: scene.single[name].centre_metres[:2] for name in names}
        for three in permutations(names, 3):
            standing, facing, target = (places[name] for name in three)
            nearest = min(float(np.hypot(*(place - standing))) for place in (facing, target))
            turn = turn_degrees(standing, facing, target)
            said = VERDICTS[self.difficulty](turn, self.margin_degrees)
            if nearest < self.min_metres:
                yield Refusal("too close to where one stands")
            elif said is None:
                yield Refusal("between two directions")
            else:
                words = dict(zip(("standing", "facing", "target"), three, strict=True))
                yield Candidate(words, said, self.other_answers(said), verdict=said)
