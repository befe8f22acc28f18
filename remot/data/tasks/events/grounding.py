"""When does it happen?"""

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from remot.data.tasks.base import TaskPlan
from remot.data.tasks.events.events import in_words, named_events, single
from remot.data.tasks.shared.frames import FrameSampling
from remot.data.tasks.shared.worded import WordedTask
from remot.structures import Clip, Reference


class TemporalGrounding(WordedTask):
    """The stretch of time in which something happens, ``12.54 to 17.83`` (VideoChat-R1, arXiv 2504.06958).

    Asked about events whose words the clip uses once, so that there is one right answer.

    Args:
        frames: Which frames are shown, and how.
        wordings: A file of wordings to use instead.
        thinks: Ask for thinking before the answer, and include it in the response.
    """

    name = "temporal_grounding"
    key_times: ClassVar[str] = "answer"
    needs: ClassVar[str] = "events with times"

    def serves(self, clip: Clip) -> bool:
        """Whether something happens once."""
        return bool(single(named_events(clip)))

    def plan(self, clip: Clip, generator: np.random.Generator) -> TaskPlan:
        """One of the events, drawn evenly."""
        events = single(named_events(clip))
        event = events[int(generator.integers(len(events)))]
        shown = self.frames.frames_of(clip)
        return TaskPlan(
            frame_indices=shown,
            text=self.text("ask", generator, clip=clip, shown=shown, event=event.text),
            reference=Reference(intervals=event.intervals),
            answer=f"{event.start:.2f} to {event.end:.2f}",
            as_video=self.frames.as_video,
            thinks=self.thinks,
            thought=f"{event.text}: it begins at {event.start:.2f} s and is over at {event.end:.2f} s.",
        )


class TemporalGroundingJson(TemporalGrounding):
    """The same, written as ``{"start_time": "4.38", "end_time": "5.25"}`` (Temporal-RLT, arXiv 2506.01908).

    Args:
        frames: Which frames are shown, and how.
        wordings: A file of wordings to use instead.
        thinks: Ask for thinking before the answer, and include it in the response.
    """

    name = "temporal_grounding_json"

    def plan(self, clip: Clip, generator: np.random.Generator) -> TaskPlan:
        """One of the events, drawn evenly."""
        plan = super().plan(clip, generator)
        start, _, end = plan.answer.partition(" to ")
        return replace(plan, answer=f'{{"start_time": "{start}", "end_time": "{end}"}}')


class TemporalGroundingSpans(WordedTask):
    """All stretches of time in which something happens, ``[(5.20, 10.40)]`` (VideoChat-R1.5, arXiv 2509.21100).

    Args:
        frames: Which frames are shown, and how.
        wordings: A file of wordings to use instead.
        max_spans: Most stretches; events that happen more often are not asked about. Published: 3.
        thinks: Ask for thinking before the answer, and include it in the response.
    """

    name = "temporal_grounding_spans"
    key_times: ClassVar[str] = "answer"
    needs: ClassVar[str] = "events with times"

    def __init__(
        self,
        frames: FrameSampling | None = None,
        wordings: Path | None = None,
        max_spans: int = 3,
        thinks: bool = True,  # noqa: FBT001, FBT002 - a setting
    ) -> None:
        super().__init__(frames, wordings, thinks)
        self.max_spans = max_spans

    def serves(self, clip: Clip) -> bool:
        """Whether something happens, and not too often."""
        return any(len(event.intervals) <= self.max_spans for event in named_events(clip))

    def plan(self, clip: Clip, generator: np.random.Generator) -> TaskPlan:
        """One of the events, drawn evenly."""
        events = [event for event in named_events(clip) if len(event.intervals) <= self.max_spans]
        event = events[int(generator.integers(len(events)))]
        shown = self.frames.frames_of(clip)
        return TaskPlan(
            frame_indices=shown,
            text=self.text("ask", generator, clip=clip, shown=shown, event=event.text),
            reference=Reference(intervals=event.intervals),
            answer=in_words(event.intervals),
            as_video=self.frames.as_video,
            thinks=self.thinks,
            thought=f"{event.text}: {'once' if len(event.intervals) == 1 else f'{len(event.intervals)} times'}.",
        )
