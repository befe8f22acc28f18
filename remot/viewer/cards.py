"""What the page shows of one prompt. All texts may be hostile: the page escapes them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from PIL import Image

#: A mark: how it looks, and its words.
Mark = tuple[Literal["right", "wrong", "gold"], str]


@dataclass(frozen=True)
class TimelineRow:
    """One line below the frames.

    Args:
        name: Such as ``person 1`` or the text of an event.
        spans: Start and end of each bar in seconds.
        curve: Times in seconds with values in [0, 1], such as how far a gripper is open.
        colour: Number of the colour, that of the object's boxes; None for the right answer's.
    """

    name: str
    spans: tuple[tuple[float, float], ...] = ()
    curve: tuple[tuple[float, float], ...] = ()
    colour: int | None = 0


@dataclass(frozen=True)
class Timeline:
    """What happens when in the clip, and when its frames are.

    Args:
        start_seconds: Left end.
        end_seconds: Right end, later than the left one.
        frame_seconds: Times of the frames shown.
        rows: Events, tracks, right and given stretches of time.
    """

    start_seconds: float
    end_seconds: float
    frame_seconds: tuple[float, ...]
    rows: tuple[TimelineRow, ...] = ()


@dataclass(frozen=True, eq=False)
class Answer:
    """One completion.

    Args:
        text: All of it; what stands in its think element is folded.
        marks: The verdict on each slot.
        parts: Reward parts or scores; NaN for one that does not apply.
        right: Whether it is right altogether; None if that is not known.
        contradictory: Its answers cannot be true together.
        cut_off: It did not end by itself within the budget; None if that is not known.
        best: No other completion of the prompt has a higher reward.
        run: Which of the compared runs gave it; "" if there is one run only.
        read_as: What was read from it, where marks do not show it.
    """

    text: str
    marks: Sequence[Mark] = ()
    parts: Mapping[str, float] = field(default_factory=dict)
    right: bool | None = None
    contradictory: bool = False
    cut_off: bool | None = None
    best: bool = False
    run: str = ""
    read_as: str = ""


@dataclass(frozen=True, eq=False)
class Card:
    """One prompt.

    Args:
        title: Its name.
        images: In the order shown; small ones are shown pixel by pixel.
        captions: One for each image.
        question: Its text.
        gold: Marks with the right answers.
        gold_text: The right answer as a text, "" if the marks hold it.
        answers: Completions.
        facts: Lines about it, such as labels.
        tags: What it can be filtered by, such as attribute and task; values that are "" are left out.
        timeline: What happens when; None for none.
    """

    title: str
    images: Sequence[Image.Image]
    captions: Sequence[str]
    question: str
    gold: Sequence[Mark] = ()
    gold_text: str = ""
    answers: Sequence[Answer] = ()
    facts: Sequence[str] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    timeline: Timeline | None = None

    @property
    def runs(self) -> list[str]:
        """The compared runs in their order; [""] if there is one only."""
        return list(dict.fromkeys(answer.run for answer in self.answers)) or [""]

    @property
    def states(self) -> list[str]:
        """Keys of :data:`STATES` that apply."""
        answers = self.answers
        found = {
            "right": any(one.right is True for one in answers),
            "wrong": any(one.right is False for one in answers),
            "contradictory": any(one.contradictory for one in answers),
            "cut_off": any(one.cut_off for one in answers),
        }
        if len(self.runs) == 2:
            before, after = ([one.right for one in answers if one.run == run] for run in self.runs)
            found["gained"] = True in after and True not in before and False in before
            found["lost"] = True in before and True not in after and False in after
        return [name for name, applies in found.items() if applies]


#: States of a card that can be asked for, in words.
STATES = {
    "right": "a right answer",
    "wrong": "a wrong answer",
    "contradictory": "a contradictory answer",
    "cut_off": "an answer cut off",
    "gained": "right in the second run only",
    "lost": "right in the first run only",
}


def side_by_side(first: Card, second: Card, runs: tuple[str, str]) -> Card:
    """One prompt with the completions of two runs, in a column each."""
    answers = [replace(one, run=run) for card, run in zip((first, second), runs, strict=True) for one in card.answers]
    return replace(first, answers=answers)
