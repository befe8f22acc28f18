"""The motion vocabulary and its algebra: which values an attribute has, their opposites, and what follows from what.

Every attribute here is an *order relation*: frame ``j`` lies to one side of frame ``i`` (sign +1), to the other
(sign -1), or in the same place (sign 0). Three frames can therefore only stand in one of 13 weak orderings, and two
of the three pairwise answers can force the third. That is all that logical consistency means in this library.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

Sign = Literal[-1, 0, 1]
SignTriple = tuple[Sign, Sign, Sign]

#: The pairs asked about a triplet of pictures, 1-based as in the questions.
PAIRS: tuple[tuple[int, int], ...] = ((1, 2), (1, 3), (2, 3))

NONE = "none"
SIGNS: tuple[Sign, ...] = (-1, 0, 1)


@dataclass(frozen=True)
class Attribute:
    """A kind of motion and the words for its two directions.

    Args:
        name: The key used in labels, configurations and reports, such as ``camera_yaw``.
        positive: The value of sign +1.
        negative: The value of sign -1.
        unit: The unit of its magnitude.
    """

    name: str
    positive: str
    negative: str
    unit: str

    @property
    def values(self) -> tuple[str, str, str]:
        """The three possible answers: positive, negative and none."""
        return (self.positive, self.negative, NONE)

    def value_of(self, sign: Sign) -> str:
        """Word for ``sign``."""
        return {1: self.positive, -1: self.negative, 0: NONE}[sign]

    def sign_of(self, value: str) -> Sign:
        """Sign of the word ``value``.

        Raises:
            ValueError: If ``value`` is none of this attribute's values.
        """
        signs: dict[str, Sign] = {self.positive: 1, self.negative: -1, NONE: 0}
        if value not in signs:
            msg = f"{self.name} has no value {value!r}; it has {', '.join(self.values)}"
            raise ValueError(msg)
        return signs[value]


#: Signs follow the terms of someone looking at the pictures; see docs/conventions.md for each one.
ATTRIBUTES: dict[str, Attribute] = {
    attribute.name: attribute
    for attribute in (
        Attribute("camera_yaw", "right", "left", "degrees"),
        Attribute("camera_pitch", "up", "down", "degrees"),
        Attribute("effector_horizontal", "right", "left", "metres"),
        Attribute("effector_vertical", "up", "down", "metres"),
        Attribute("gripper", "opened", "closed", "opening"),
        Attribute("object_horizontal", "right", "left", "pixels"),
        Attribute("object_vertical", "up", "down", "pixels"),
    )
}


def opposite(sign: Sign) -> Sign:
    """Sign of the same motion seen backwards in time."""
    flipped: dict[Sign, Sign] = {1: -1, -1: 1, 0: 0}
    return flipped[sign]


def compose(first: Sign, second: Sign) -> Sign | None:
    """Sign of i→k that follows from the signs of i→j and j→k, or None where nothing follows."""
    if first == 0:
        return second
    if second == 0 or first == second:
        return first
    return None


def _derivations(signs: SignTriple) -> Iterator[tuple[Sign | None, Sign]]:
    """Each relation as (what the other two force it to be, what it is)."""
    one_two, one_three, two_three = signs
    yield compose(one_two, two_three), one_three
    yield compose(one_three, opposite(two_three)), one_two
    yield compose(opposite(one_two), one_three), two_three


def consistency(signs: Sequence[Sign | None]) -> Literal[-1, 0, 1]:
    """Whether three answers (1→2, 1→3, 2→3) can be true together.

    Returns:
        +1 if they can, -1 if two of them force the third to be something else, 0 where an answer is missing (None)
        and nothing follows. (ReMoT, arXiv 2603.00461, R_logic; the released code is not public, this is a
        reconstruction for order relations.)
    """
    if len(signs) != len(PAIRS) or any(sign is None for sign in signs):
        return 0
    one_two, one_three, two_three = signs
    triple: SignTriple = (one_two, one_three, two_three)  # type: ignore[assignment]
    contradicted = any(forced is not None and forced != given for forced, given in _derivations(triple))
    return -1 if contradicted else 1


#: The 13 sign triples that three frames can really have.
CONSISTENT_TRIPLES: tuple[SignTriple, ...] = tuple(
    triple for triple in product(SIGNS, SIGNS, SIGNS) if consistency(triple) == 1
)
