"""Which operation to test the consistency of answers with next."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from remot.errors import ConfigError

#: Changes of an input and what they make of an answer. A reversed order also changes the sign of every motion.
ANSWER_MAPS: Mapping[str, Mapping[str, str]] = {
    "mirror": {
        "left": "right",
        "right": "left",
        "clockwise": "counterclockwise",
        "counterclockwise": "clockwise",
        "upper left": "upper right",
        "upper right": "upper left",
        "lower left": "lower right",
        "lower right": "lower left",
    },
    "reversed_time": {
        "left": "right",
        "right": "left",
        "up": "down",
        "down": "up",
        "forward": "backward",
        "backward": "forward",
        "clockwise": "counterclockwise",
        "counterclockwise": "clockwise",
        "opened": "closed",
        "closed": "opened",
        "approaching": "receding",
        "receding": "approaching",
        "upper left": "lower right",
        "lower right": "upper left",
        "upper right": "lower left",
        "lower left": "upper right",
    },
    "negation": {"yes": "no", "no": "yes", "true": "false", "false": "true", "t": "f", "f": "t"},
}


class OperationPool:
    """Draws operations, the more often the less consistent the answers under them are, and retires mastered ones.

    SAGE's dynamic pool (arXiv 2605.18162): it "promotes" what the model is inconsistent on and retires what it has
    mastered. How is not published: reconstruction. The consistency of an operation is a running mean with weight
    ``decay``; its chance to be drawn is proportional to ``floor`` + 1 − consistency; it is retired once it was seen
    ``min_seen`` times and the mean is at least ``mastered_at``. When all are retired, all come back.

    Args:
        operations: Names, such as those of :data:`ANSWER_MAPS`.
        decay: Weight of what was seen before.
        mastered_at: Consistency from which an operation is mastered.
        min_seen: How often it has to be seen before.
        floor: Chance that is left to a wholly consistent operation.
    """

    def __init__(
        self,
        operations: list[str],
        decay: float = 0.95,
        mastered_at: float = 0.95,
        min_seen: int = 32,
        floor: float = 0.05,
    ) -> None:
        if not operations or len(set(operations)) != len(operations):
            msg = f"a pool needs operations with different names, got {operations}"
            raise ConfigError(msg)
        if not (0 <= decay < 1 and 0 < mastered_at <= 1 and min_seen >= 1 and floor > 0):
            msg = f"a pool needs 0 <= decay < 1, 0 < mastered_at <= 1, min_seen >= 1, floor > 0; got {decay}, "
            raise ConfigError(msg + f"{mastered_at}, {min_seen}, {floor}")
        self.decay = decay
        self.mastered_at = mastered_at
        self.min_seen = min_seen
        self.floor = floor
        self.consistency = dict.fromkeys(operations, 0.0)
        self.num_seen = dict.fromkeys(operations, 0)

    @property
    def active(self) -> list[str]:
        """Operations that are not retired, in the order they were given; all if all are."""
        left = [
            name
            for name, share in self.consistency.items()
            if self.num_seen[name] < self.min_seen or share < self.mastered_at
        ]
        return left or list(self.consistency)

    def chances(self) -> dict[str, float]:
        """Chance of each active operation."""
        weights = {name: self.floor + 1 - self.consistency[name] for name in self.active}
        total = sum(weights.values())
        return {name: weight / total for name, weight in weights.items()}

    def draw(self, generator: np.random.Generator) -> str:
        """An active operation."""
        chances = self.chances()
        return str(generator.choice(list(chances), p=list(chances.values())))

    def observe(self, operation: str, consistency: float) -> None:
        """Note the consistency in [0, 1] of some answers under ``operation``; the first one is the mean."""
        keep = self.decay if self.num_seen[operation] else 0.0
        self.consistency[operation] = keep * self.consistency[operation] + (1 - keep) * consistency
        self.num_seen[operation] += 1

    def state_dict(self) -> dict[str, Any]:
        """Plain numbers for a checkpoint."""
        return {"consistency": dict(self.consistency), "num_seen": dict(self.num_seen)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from :meth:`state_dict`; operations it does not know start anew."""
        for name in self.consistency:
            self.consistency[name] = float(state["consistency"].get(name, 0.0))
            self.num_seen[name] = int(state["num_seen"].get(name, 0))
