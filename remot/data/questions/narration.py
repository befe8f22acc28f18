"""Reasoning told by the one who moves: what is seen from where, then motion by motion, each from the annotations.

EgoMind (arXiv 2604.03318) has a caption in the first person and a progressive spatial analysis before the answer. Its
texts come from a language model and are not published; these sentences are a reconstruction from poses and tracks.
"""

from collections.abc import Sequence

from remot.data.questions.reasoning import describe_labels, describe_observations
from remot.data.questions.text import called
from remot.motion import NONE
from remot.structures import Clip, MotionLabel, Slot

#: What happens by attribute, if something does and if nothing does; ``{value}`` is the answer, ``{it}`` what moves.
PHRASES = {
    "camera_yaw": ("I turn {value}", "I keep facing the same way"),
    "camera_pitch": ("I look further {value}", "I look no further up or down"),
    "camera_roll": ("I tilt my head {value}", "I keep my head level with before"),
    "camera_forward": ("I move {value}", "I move neither forward nor backward"),
    "camera_sideways": ("I move to the {value}", "I do not move sideways"),
    "camera_height": ("I move {value}", "I stay at the same height"),
    "agent_turn": ("I turn {value}", "I keep facing the same way"),
    "agent_advance": ("I go {value}", "I stay where I am"),
    "effector_horizontal": ("{it} moves {value}", "{it} moves neither left nor right"),
    "effector_vertical": ("{it} moves {value}", "{it} moves neither up nor down"),
    "effector_depth": ("{it} moves {value}", "{it} moves neither forward nor backward"),
    "effector_composite": ("{it} moves to the {value}", "{it} stays where it is"),
    "gripper": ("{it} has {value}", "{it} is as open as before"),
    "object_horizontal": ("{it} moves {value}", "{it} moves neither left nor right"),
    "object_vertical": ("{it} moves {value}", "{it} moves neither up nor down"),
    "object_depth": ("{it} is {value}", "{it} keeps its distance"),
}
#: Digits of a size by its unit; sizes in other units are left out.
DIGITS = {"degrees": 0, "metres": 2}
#: Attributes whose mover is the one who tells.
_OWN = ("camera", "agent")


def narrate(clip: Clip, frame_indices: Sequence[int], slots: Sequence[Slot], image_size: tuple[int, int]) -> str:
    """Where I am and what I see, then what happens from image to image, with its letter.

    Such as ``I am where the camera is. The red tower is at x3, x3, x7. From image 1 to image 2 I keep facing the same
    way: C.`` Attributes without a phrase are described as :func:`remot.data.questions.reasoning.describe_labels` does.
    """
    label = slots[0].label
    if label.attribute not in PHRASES:
        return describe_labels(slots)
    is_own = label.attribute.startswith(_OWN)
    what, seen = describe_observations(clip, frame_indices, label, image_size)
    opening = "I am where the camera is." if is_own else f"I watch {_mover(label)}."
    sight = f" {what[:1].upper()}{what[1:]} is at {', '.join(seen)}." if seen else ""
    return opening + sight + "".join(f" {_sentence(slot)}" for slot in slots)


def _sentence(slot: Slot) -> str:
    label = slot.label
    moves, rests = PHRASES[label.attribute]
    phrase = (rests if label.value == NONE else moves).format(value=label.value.replace("_", " "), it=_mover(label))
    first, second = label.pair
    return f"From image {first} to image {second} {phrase}{_size(label)}: {slot.gold}."


def _mover(label: MotionLabel) -> str:
    if label.attribute == "gripper":
        return f"the gripper of {called(label.subject)}" if label.subject else "the gripper"
    return f"the {called(label.subject)}" if label.subject else "it"


def _size(label: MotionLabel) -> str:
    """How far, if something moves and the unit says something without the images."""
    if label.value == NONE or label.unit not in DIGITS:
        return ""
    return f" by about {label.magnitude:.{DIGITS[label.unit]}f} {label.unit}"
