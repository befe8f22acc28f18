"""Is the reasoning longer than it needs to be?"""

from collections.abc import Callable, Mapping
from typing import Literal

from remot.answers import ParsedAnswer
from remot.errors import ConfigError
from remot.rewards.base import PointwiseReward
from remot.structures import Question

LengthUnit = Literal["words", "characters"]


def count_words(text: str) -> int:
    """Number of runs of non-white-space."""
    return len(text.split())


LENGTHS: Mapping[LengthUnit, Callable[[str], int]] = {"words": count_words, "characters": len}


class ConcisenessReward(PointwiseReward):
    """``max(floor, −max(0, |think| − target_length) / scale)``: free up to the target, then a linear cost.

    R_length of ReMoT (arXiv 2603.00461, section "Reward") is −max(0, |o_think| − L_target). L_target, the unit and any
    normalisation are not published, and without one a long completion would drown every other term: the defaults,
    ``scale`` and ``floor`` are a reconstruction. A completion without a closed think element counts as length 0.

    Args:
        target_length: Length of reasoning that costs nothing.
        unit: What lengths are counted in.
        scale: Surplus that costs 1.
        floor: Lowest value.
    """

    name = "conciseness"

    def __init__(
        self, target_length: float = 200, unit: LengthUnit = "words", scale: float = 200, floor: float = -1
    ) -> None:
        if not (target_length >= 0 and scale > 0 and floor <= 0):
            msg = f"conciseness needs target_length >= 0, scale > 0, floor <= 0; got {target_length}, {scale}, {floor}"
            raise ConfigError(msg)
        if unit not in LENGTHS:
            msg = f"conciseness counts in {' or '.join(LENGTHS)}, not {unit!r}"
            raise ConfigError(msg)
        self.target_length = target_length
        self.unit: LengthUnit = unit
        self.scale = scale
        self.floor = floor

    def score(self, parsed: ParsedAnswer, question: Question) -> Mapping[str, float]:  # noqa: ARG002
        """Part ``conciseness``."""
        surplus = max(0.0, LENGTHS[self.unit](parsed.reasoning) - self.target_length)
        return {self.name: max(self.floor, -surplus / self.scale)}
