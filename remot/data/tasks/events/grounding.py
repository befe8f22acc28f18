"""When does something happen, and what does?"""

from typing import Any, ClassVar

import numpy as np

from remot.data.tasks.base import TaskPlan
from remot.data.tasks.events.events import NamedEvent, in_words, named_events
from remot.data.tasks.shared.frames import FrameSampling
from remot.data.tasks.shared.worded import WordedTask
from remot.structures import Clip, Reference


class TemporalGrounding(WordedTask):
    """The stretch of time in which something happens, ``12.54 to 17.83`` (VideoChat-R1, arXiv 2504.06958).

    Asked about events whose words the clip uses once, so that there is one right answer.
    """

    name = "temporal_grounding"
    key_times: ClassVar[str] = "answer"
    needs: ClassVar[str] = "events with times"
    #: The answer, and the reasoning after the event's text, from its start, end, spans and number of times.
    answer_form: ClassVar[str] = "{start} to {end}"
    reason_form: ClassVar[str] = "it begins at {start} s and is over at {end} s"
    #: Most stretches of an event that is asked about.
    max_spans: int = 1

    def serves(self, clip: Clip) -> bool:
        """Whether something happens, and not too often."""
        return bool(self._events(clip))

    def plan(self, clip: Clip, generator: np.random.Generator) -> TaskPlan:
        """One of the events, drawn evenly."""
        events = self._events(clip)
        event = events[int(generator.integers(len(events)))]
        count = len(event.intervals)
        parts = {
            "start": f"{event.start:.2f}",
            "end": f"{event.end:.2f}",
            "spans": in_words(event.intervals),
            "times": "once" if count == 1 else f"{count} times",
        }
        shown = self.frames.frames_of(clip)
        return self.prompt(
            shown,
            self.text("ask", generator, clip=clip, shown=shown, event=event.text),
            Reference(intervals=event.intervals),
            answer=self.answer_form.format(**parts),
            thought=f"{event.text}: {self.reason_form.format(**parts)}.",
        )

    def _events(self, clip: Clip) -> list[NamedEvent]:
        return [event for event in named_events(clip) if len(event.intervals) <= self.max_spans]


class TemporalGroundingJson(TemporalGrounding):
    """The same, written as ``{"start_time": "4.38", "end_time": "5.25"}`` (Temporal-RLT, arXiv 2506.01908)."""

    name = "temporal_grounding_json"
    answer_form = '{{"start_time": "{start}", "end_time": "{end}"}}'


class TemporalGroundingSpans(TemporalGrounding):
    """All stretches of time in which something happens, ``[(5.20, 10.40)]`` (VideoChat-R1.5, arXiv 2509.21100).

    Args:
        frames: Which frames are shown, and how.
        max_spans: Most stretches; events that happen more often are not asked about. Published: 3.
        shared: ``wordings`` and ``thinks``, see :class:`WordedTask`.
    """

    name = "temporal_grounding_spans"
    answer_form = "{spans}"
    reason_form = "{times}"

    def __init__(self, frames: FrameSampling | None = None, max_spans: int = 3, **shared: Any) -> None:
        super().__init__(frames, **shared)
        self.max_spans = max_spans


class EventCaption(WordedTask):
    """A description of the clip, scored by the share of annotated events that it describes (VideoChat-R1)."""

    name = "caption"
    needs: ClassVar[str] = "events"

    def serves(self, clip: Clip) -> bool:
        """Whether something happens."""
        return bool(named_events(clip))

    def plan(self, clip: Clip, generator: np.random.Generator) -> TaskPlan:
        """All events, in the order in which they begin."""
        texts = tuple(event.text for event in named_events(clip))
        # The capital of "ß" would be two letters, so it stays.
        capitals = [text[0].upper() if len(text[0].upper()) == 1 else text[0] for text in texts]
        shown = self.frames.frames_of(clip)
        return self.prompt(
            shown,
            self.text("ask", generator, clip=clip, shown=shown),
            Reference(events=texts),
            answer=" ".join(f"{capital}{text[1:]}." for capital, text in zip(capitals, texts, strict=True)),
            thought=f"Things that happen: {len(texts)}.",
        )
