"""Which of these happens first, last, next, or between two times?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from remot.data.tasks.base import TaskPlan
from remot.data.tasks.events.events import NamedEvent, clearly_before, in_words, named_events, near, shared_time
from remot.data.tasks.shared.candidates import shuffled_choice
from remot.data.tasks.shared.frames import FrameSampling
from remot.data.tasks.shared.worded import WordedTask
from remot.errors import ConfigError
from remot.structures import Clip, Reference

MAX_OPTIONS = 4
#: Events that share at least so much of their time may be one in other words.
SAME_SHARE = 0.5


@dataclass(frozen=True)
class EventQuestion:
    """A question before its options are in order: right answer, wrong ones of the same clip, places of the wording."""

    right: NamedEvent
    wrong: tuple[NamedEvent, ...]
    places: Mapping[str, str]


def first_or_last(
    events: Sequence[NamedEvent], about: NamedEvent, margin: float, *, is_last: bool
) -> EventQuestion | None:
    """``about`` against those that begin and end clearly later; clearly earlier if it is the last."""
    if is_last:
        wrong = tuple(other for other in events if clearly_before(other, about, margin))
    else:
        wrong = tuple(other for other in events if clearly_before(about, other, margin))
    return EventQuestion(about, wrong, {}) if wrong else None


def next_after(events: Sequence[NamedEvent], about: NamedEvent, margin: float) -> EventQuestion | None:
    """What begins first once ``about`` is over, against what was over before it began or begins clearly later.

    None if something begins so short before ``about`` is over that it may be next.
    """
    later = [other for other in events if other.start >= about.end]
    if not later or any(about.end - margin < other.start < about.end for other in events if other is not about):
        return None
    right = min(later, key=lambda one: one.start)
    rest = [other for other in later if other is not right]
    if any(other.start < right.start + margin for other in rest):
        return None
    wrong = (*rest, *(other for other in events if other.end <= about.start))
    return EventQuestion(right, wrong, {"event": about.text}) if wrong else None


def during(events: Sequence[NamedEvent], about: NamedEvent, margin: float) -> EventQuestion | None:
    """What happens while ``about`` does, against what happens at no time of it nor shortly before or after."""
    wrong = tuple(other for other in events if other is not about and not near(about, other, margin))
    places = {"start": f"{about.start:.2f}", "end": f"{about.end:.2f}"}
    return EventQuestion(about, wrong, places) if wrong and about.end - about.start >= margin else None


KINDS: Mapping[str, Callable[[Sequence[NamedEvent], NamedEvent, float], EventQuestion | None]] = {
    "first": partial(first_or_last, is_last=False),
    "last": partial(first_or_last, is_last=True),
    "after": next_after,
    "during": during,
}


class EventChoice(WordedTask):
    """Multiple choice about the order and the times of events (question answering of VideoChat-R1, arXiv 2504.06958).

    All options happen in the clip; the wrong ones contradict the annotated times. Of several that happen
    at about the same time, which may say the same, one is offered. Every letter is right as often.

    Args:
        frames: Which frames are shown, and how.
        kinds: What to ask: ``first``, ``last``, ``after`` and ``during``, each as often; the class's own if None.
        margin_seconds: Times nearer than this are not distinguished; above 0, or an event would come before itself.
        shared: ``wordings`` and ``thinks``, see :class:`WordedTask`.
    """

    name = "multiple_choice"
    needs: ClassVar[str] = "at least two events with different words at clearly different times"
    default_kinds: ClassVar[tuple[str, ...]] = ("first", "last", "after", "during")
    #: Whether stretches of time follow the letter.
    is_grounded: ClassVar[bool] = False

    def __init__(
        self,
        frames: FrameSampling | None = None,
        kinds: tuple[str, ...] | None = None,
        margin_seconds: float = 0.2,
        **shared: Any,
    ) -> None:
        super().__init__(frames, **shared)
        self.kinds = self.default_kinds if kinds is None else tuple(kinds)
        self.margin_seconds = margin_seconds
        if not self.kinds or not set(self.kinds) <= KINDS.keys() or not margin_seconds > 0:
            msg = f"{self.name}: kinds are some of {', '.join(KINDS)} and margin_seconds is above 0; got {kinds}, "
            raise ConfigError(msg + str(margin_seconds))

    def serves(self, clip: Clip) -> bool:
        """Whether one of the questions has an answer."""
        return any(self._questions(clip, kind) for kind in self.kinds)

    def plan(self, clip: Clip, generator: np.random.Generator) -> TaskPlan | None:
        """A kind drawn evenly, then one of its questions."""
        kind = self.kinds[int(generator.integers(len(self.kinds)))]
        questions = self._questions(clip, kind)
        if not questions:
            return None
        asked = questions[int(generator.integers(len(questions)))]
        picked: list[NamedEvent] = []  # in a drawn order, no two of which happen at about the same time
        for event in (asked.wrong[k] for k in generator.permutation(len(asked.wrong))):
            if len(picked) < MAX_OPTIONS - 1 and all(shared_time(event, other) < SAME_SHARE for other in picked):
                picked.append(event)
        choice = shuffled_choice(asked.right.text, [event.text for event in picked], generator)
        shown = self.frames.frames_of(clip)
        start, end = asked.right.intervals[0]
        return self.prompt(
            shown,
            self.text(kind, generator, clip=clip, shown=shown, options=choice.lines, **asked.places),
            Reference(answer=choice.letter, intervals=asked.right.intervals if self.is_grounded else None),
            answer=choice.letter,
            thought=f"{asked.right.text}, from {start:.2f} to {end:.2f} s: {choice.letter}",
            after=f"<glue>{in_words(asked.right.intervals)}</glue>" if self.is_grounded else "",
        )

    def _questions(self, clip: Clip, kind: str) -> list[EventQuestion]:
        events = [event for event in named_events(clip) if len(event.intervals) == 1]
        asked = (KINDS[kind](events, event, self.margin_seconds) for event in events)
        return [question for question in asked if question is not None]


class GroundedEventChoice(EventChoice):
    """The same with the stretch of time that shows the answer, ``<glue>[(5.20, 10.40)]</glue>`` (VideoChat-R1).

    ``during`` is not asked by default, since its text gives the stretch.
    """

    name = "grounded_qa"
    key_times: ClassVar[str] = "glue"
    default_kinds: ClassVar[tuple[str, ...]] = ("first", "last", "after")
    is_grounded: ClassVar[bool] = True
