"""On which side does a thing lie for a viewer who stands at another and faces a third?"""

from collections.abc import Iterator
from itertools import permutations
from typing import Any

import numpy as np

from remot.data.tasks.geometry.directions import ANSWERS, VERDICTS, Difficulty, turn_degrees
from remot.data.tasks.rooms.base import RoomTask
from remot.data.tasks.rooms.scene import Scene
from remot.data.tasks.shared.candidates import Candidate, Refusal
from remot.errors import ConfigError

#: Things of a scene whose triples are looked at; more are drawn from.
MAX_THINGS = 8


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
