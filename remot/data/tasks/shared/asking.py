"""A candidate in the words of a prompt, the same for rooms and tracks: the question, its options, the right answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from remot.data.tasks.geometry.choices import shuffled_choice
from remot.data.tasks.shared.frames import FrameSampling, times_in_words
from remot.data.tasks.shared.wordings import TaskWordings
from remot.structures import Clip


class Candidate(Protocol):
    """Something that can be asked: what fills its wording, the right answer and wrong options, if it has options."""

    @property
    def places(self) -> Mapping[str, str]:
        """What fills the wording, by place."""

    @property
    def right(self) -> str:
        """The right option, or the answer as text."""

    @property
    def wrong(self) -> tuple[str, ...]:
        """Wrong options; none if there are no options."""


@dataclass(frozen=True)
class WordedQuestion:
    """A candidate put into words.

    Args:
        lines: The question and, if it has any, its options.
        answer: The letter of the right option, or the right answer itself.
        kind: What is to be answered, which is also the name of its wording.
    """

    lines: tuple[str, ...]
    answer: str
    kind: Literal["choice", "number"]


def worded_question(chosen: Candidate, wordings: TaskWordings, generator: np.random.Generator) -> WordedQuestion:
    """Draws the wording, then the order of the options."""
    asked = wordings.say("ask", generator, **chosen.places)
    if not chosen.wrong:
        return WordedQuestion((asked,), chosen.right, "number")
    choice = shuffled_choice(chosen.right, chosen.wrong, generator)
    return WordedQuestion((asked, "Options:", choice.lines), choice.letter, "choice")


def times_lines(
    clip: Clip, shown: tuple[int, ...], frames: FrameSampling, wordings: TaskWordings, generator: np.random.Generator
) -> list[str]:
    """A line with the times of shown frames, none for a video, which has them by itself."""
    return [] if frames.as_video else [wordings.say("times", generator, times=times_in_words(clip, shown))]
