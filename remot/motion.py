"""The motion vocabulary and its algebra: which values an attribute has, their opposites, and what follows from what.

Each value of an attribute has a *code*: 0 for no motion, and for a motion the negative of the code of its opposite.
Most attributes are *order relations*: frame ``j`` lies to one side of frame ``i`` (code +1), to the other (-1), or in
the same place (0). Three frames can therefore only stand in one of 13 weak orderings, and two of the three pairwise
answers can force the third. That is all that logical consistency means in this library.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import ClassVar, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

#: What a value says in arithmetic.
Code = int
#: Codes of the pairs (1, 2), (1, 3) and (2, 3).
Pattern = tuple[Code, Code, Code]

#: The pairs asked about a triplet of images, 1-based as in the questions.
PAIRS: tuple[tuple[int, int], ...] = ((1, 2), (1, 3), (2, 3))

NONE = "none"
SIGNS: tuple[Code, ...] = (-1, 0, 1)


def opposite(code: Code) -> Code:
    """Code of the same motion seen backwards in time."""
    return -code


def compose(first: Code, second: Code) -> Code | None:
    """Sign of i→k that follows from the signs of i→j and j→k, or None where nothing follows."""
    if first == 0:
        return second
    if second == 0 or first == second:
        return first
    return None


def consistency(signs: Sequence[Code | None]) -> Literal[-1, 0, 1]:
    """Whether three signs (1→2, 1→3, 2→3) of an order can be true together.

    Returns:
        +1 if they can, -1 if two of them force the third to be something else, 0 where an answer is missing (None)
        and nothing follows. (ReMoT, arXiv 2603.00461, R_logic; the released code is not public, this is a
        reconstruction for order relations.)
    """
    if len(signs) != len(PAIRS) or any(sign is None for sign in signs):
        return 0
    one_two, one_three, two_three = (sign for sign in signs if sign is not None)
    relations = (  # what the other two force each to be, and what it is
        (compose(one_two, two_three), one_three),
        (compose(one_three, opposite(two_three)), one_two),
        (compose(opposite(one_two), one_three), two_three),
    )
    return -1 if any(forced is not None and forced != given for forced, given in relations) else 1


#: The 13 sign triples that three frames can really have.
CONSISTENT_TRIPLES: tuple[Pattern, ...] = tuple(
    triple for triple in product(SIGNS, SIGNS, SIGNS) if consistency(triple) == 1
)


@dataclass(frozen=True)
class Attribute(ABC):
    """A kind of motion.

    Args:
        name: The key used in labels, configurations and reports, such as ``camera_yaw``.
        unit: The unit of its magnitude.
    """

    #: True if each code of a pattern is the answer to a question of its own.
    answers_are_codes: ClassVar[bool] = True

    name: str
    unit: str

    @property
    @abstractmethod
    def codes(self) -> Mapping[str, Code]:
        """The possible answers, in a fixed order, with their codes."""

    @property
    @abstractmethod
    def patterns(self) -> Mapping[Pattern, float]:
        """The codes three images can have, each with its share in a balanced data set.

        The shares make all answers to each question equally frequent.
        """

    @abstractmethod
    def consistency(self, codes: Sequence[Code | None]) -> Literal[-1, 0, 1]:
        """Whether the answers about :data:`PAIRS` can be true together: +1 yes, -1 no, 0 if undetermined."""

    @property
    def values(self) -> tuple[str, ...]:
        """The possible answers in a fixed order."""
        return tuple(self.codes)

    def answers(self, pattern: Pattern) -> tuple[str, ...]:
        """The right answers, one for each question, about three images with the codes ``pattern``."""
        return tuple(self.value_of(code) for code in pattern)

    def value_of(self, code: Code) -> str:
        """Word for ``code``."""
        return {of: word for word, of in self.codes.items()}[code]

    def code_of(self, value: str) -> Code:
        """Code of the word ``value``.

        Raises:
            ValueError: If ``value`` is none of this attribute's values.
        """
        if value not in self.codes:
            msg = f"{self.name} has no value {value!r}; it has {', '.join(self.values)}"
            raise ValueError(msg)
        return self.codes[value]


_ORDER_SHARES: dict[Pattern, float] = {triple: 1 / 9 if 0 in triple else 1 / 27 for triple in CONSISTENT_TRIPLES}


@dataclass(frozen=True)
class Order(Attribute):
    """A motion one way, the other way, or not at all.

    Args:
        positive: The value of code +1.
        negative: The value of code -1.
    """

    #: The 13 orders; none more frequent than 1 in 9, the least that is possible with balanced answers. Three zeros have
    #: 1/9, each triple with one zero 1/9 and each without 1/27.
    patterns = _ORDER_SHARES

    positive: str
    negative: str

    @property
    def codes(self) -> Mapping[str, Code]:
        """Positive, negative and none."""
        return {self.positive: 1, self.negative: -1, NONE: 0}

    def consistency(self, codes: Sequence[Code | None]) -> Literal[-1, 0, 1]:
        """See :func:`consistency`."""
        return consistency(codes)


#: Factor of the vertical sign in the code of a motion in the plane.
_VERTICAL = 3


@dataclass(frozen=True)
class Plane(Attribute):
    """A motion to one of four corners, or none: two orders at once, horizontal and vertical.

    The code is the horizontal sign (right +1) plus three times the vertical one (up +1). A motion along one axis only
    has no value: it is not asked about.
    """

    @property
    def codes(self) -> Mapping[str, Code]:
        """The four corners and none."""
        corners = {f"{v_word}_{h_word}": plane_code(h, v) for v_word, v in _HEIGHTS for h_word, h in _SIDES}
        return corners | {NONE: 0}

    @cached_property
    def patterns(self) -> Mapping[Pattern, float]:
        """The 49 pairs of orders with zeros in the same places.

        Each of the five answers has 1/5 of every question: three zeros 1/25, one zero 12 times 1/25, the rest equal.
        """
        possible: list[Pattern] = []
        for sides, heights in product(CONSISTENT_TRIPLES, CONSISTENT_TRIPLES):
            if [side == 0 for side in sides] == [height == 0 for height in heights]:
                first, second, third = map(plane_code, sides, heights)
                possible.append((first, second, third))
        num_without_zero = sum(0 not in pattern for pattern in possible)
        return {pattern: 1 / 25 if 0 in pattern else 12 / 25 / num_without_zero for pattern in possible}

    def consistency(self, codes: Sequence[Code | None]) -> Literal[-1, 0, 1]:
        """Consistent if both axes are, contradictory if one is."""
        known = [code for code in codes if code is not None]
        if len(known) != len(PAIRS):
            return 0
        vertical = [(code > 0) - (code < 0) for code in known]
        horizontal = [code - _VERTICAL * up for code, up in zip(known, vertical, strict=True)]
        return -1 if -1 in (consistency(horizontal), consistency(vertical)) else 1


_SIDES = (("right", 1), ("left", -1))
_HEIGHTS = (("upper", 1), ("lower", -1))


_Codes = TypeVar("_Codes", int, NDArray[np.int8])


def plane_code(horizontal: _Codes, vertical: _Codes) -> _Codes:
    """Code of a motion with these signs (right +1, up +1), both zero or neither."""
    return horizontal + _VERTICAL * vertical


_MASK_ANSWERS: dict[Pattern, str] = {(1, 0, 1): "first", (1, 1, 0): "second", (1, 1, 1): "neither"}
_MASK_CODES = {"first": 1, "second": -1, "neither": 0}
_MASK_SHARES = dict.fromkeys(_MASK_ANSWERS, 1 / 3)


@dataclass(frozen=True)
class WhichFrame(Attribute):
    """To which of the first two images the third belongs, which is a mask: one question, no composition.

    Codes are between *images* here, not answers: 1 where their masks differ, 0 where they are the same.
    """

    answers_are_codes = False  # the three codes together are one answer
    codes = _MASK_CODES
    patterns = _MASK_SHARES  # the mask is that of the first image, of the second, or of a third one

    def answers(self, pattern: Pattern) -> tuple[str, ...]:
        """The single answer."""
        return (_MASK_ANSWERS[pattern],)

    def consistency(self, codes: Sequence[Code | None]) -> Literal[-1, 0, 1]:  # noqa: ARG002
        """Nothing follows from a single answer."""
        return 0


#: Signs follow the terms of someone looking at the images; see docs/conventions.md for each one.
ATTRIBUTES: dict[str, Attribute] = {
    attribute.name: attribute
    for attribute in (
        Order("camera_yaw", "degrees", "right", "left"),
        Order("camera_pitch", "degrees", "up", "down"),
        Order("camera_roll", "degrees", "clockwise", "counterclockwise"),
        Order("camera_forward", "metres", "forward", "backward"),
        Order("camera_sideways", "metres", "right", "left"),
        Order("camera_height", "metres", "up", "down"),
        Order("effector_horizontal", "metres", "right", "left"),
        Order("effector_vertical", "metres", "up", "down"),
        Order("effector_depth", "metres", "forward", "backward"),
        Plane("effector_composite", "metres"),
        Order("gripper", "opening", "opened", "closed"),
        Order("agent_turn", "degrees", "right", "left"),
        Order("agent_advance", "metres", "forward", "backward"),
        Order("object_horizontal", "pixels", "right", "left"),
        Order("object_vertical", "pixels", "up", "down"),
        Order("object_depth", "metres", "approaching", "receding"),
        WhichFrame("mask_frame", "overlap"),
    )
}
