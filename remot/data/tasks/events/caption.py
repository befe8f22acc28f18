"""What happens?"""

from typing import ClassVar

import numpy as np

from remot.data.tasks.base import TaskPlan
from remot.data.tasks.events.events import named_events
from remot.data.tasks.shared.worded import WordedTask
from remot.structures import Clip, Reference


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
        shown = self.frames.frames_of(clip)
        return self.prompt(
            shown,
            self.text("ask", generator, clip=clip, shown=shown),
            Reference(events=texts),
            answer=" ".join(f"{_capital(text[0])}{text[1:]}." for text in texts),
            thought=f"Things that happen: {len(texts)}.",
        )


def _capital(letter: str) -> str:
    """The capital of a letter that has one; that of "ß" would be two."""
    capital = letter.upper()
    return capital if len(capital) == 1 else letter
