"""The words of the answers and which of them can be true together, written down a second time."""

from collections.abc import Iterable
from itertools import product

from remot.structures import MotionLabel

#: Words for the two directions of each order, the positive one first; docs/conventions.md gives the signs.
WORDS: dict[str, tuple[str, str]] = {
    "camera_yaw": ("right", "left"),
    "camera_pitch": ("up", "down"),
    "camera_roll": ("clockwise", "counterclockwise"),
    "camera_forward": ("forward", "backward"),
    "camera_sideways": ("right", "left"),
    "camera_height": ("up", "down"),
    "effector_horizontal": ("right", "left"),
    "effector_vertical": ("up", "down"),
    "effector_depth": ("forward", "backward"),
    "gripper": ("opened", "closed"),
    "agent_turn": ("right", "left"),
    "agent_advance": ("forward", "backward"),
    "object_horizontal": ("right", "left"),
    "object_vertical": ("up", "down"),
    "object_depth": ("approaching", "receding"),
}
#: Words for the corners, by sideways and upward sign.
CORNERS = {(1, 1): "upper_right", (-1, 1): "upper_left", (1, -1): "lower_right", (-1, -1): "lower_left"}
COMPOSITE, MASK_FRAME = "effector_composite", "mask_frame"
NO_MOTION = "none"


def possible_tuples(attribute: str, num_answers: int) -> set[str]:
    """Answers, such as ``+0-``, that can be true together: found by putting three images into every order.

    An order has 13 triples. In the plane, where two orders hold at once and both rest or neither, a tuple is written
    with arrows. ``num_answers`` is 3 for all pairs of three images, or 1 for the first pair.
    """
    if attribute == MASK_FRAME:
        return {"1", "2", "0"}
    orders = {
        ((b > a) - (b < a), (c > a) - (c < a), (c > b) - (c < b))  # signs of the differences
        for a, b, c in product(range(3), repeat=3)
    }
    if attribute != COMPOSITE:
        return {"".join("-0+"[sign + 1] for sign in signs)[:num_answers] for signs in orders}
    together = [
        tuple(zip(sideways, upward, strict=True))
        for sideways, upward in product(orders, orders)
        if [sign == 0 for sign in sideways] == [sign == 0 for sign in upward]
    ]
    return {"".join(_ARROWS[step] for step in steps)[:num_answers] for steps in together}


_ARROWS = {(1, 1): "↗", (-1, 1): "↖", (1, -1): "↘", (-1, -1): "↙", (0, 0): "0"}


def answer_tuple(labels: Iterable[MotionLabel]) -> str:
    """Answers of ``labels`` in order, such as ``+0-``; a word that is no value of its attribute is ``?``."""
    written = ""
    for label in labels:
        if label.attribute == MASK_FRAME:
            symbols = {"first": "1", "second": "2", "neither": "0"}
        elif label.attribute == COMPOSITE:
            symbols = {NO_MOTION: "0"} | {corner: _ARROWS[step] for step, corner in CORNERS.items()}
        else:
            symbols = {NO_MOTION: "0"} | dict(zip(WORDS[label.attribute], "+-", strict=True))
        written += symbols.get(label.value, "?")
    return written
