"""Which events of a clip can be asked about without a doubt."""

from collections.abc import Sequence
from dataclasses import dataclass

from remot.data.questions.text import plain
from remot.structures import Clip, Interval


@dataclass(frozen=True)
class NamedEvent:
    """An event of a clip, by its text: when it happens, in order, in seconds to two decimals."""

    text: str
    intervals: tuple[Interval, ...]

    @property
    def start(self) -> float:
        """When it happens first."""
        return self.intervals[0][0]

    @property
    def end(self) -> float:
        """When it is over for the last time."""
        return max(end for _, end in self.intervals)


def named_events(clip: Clip) -> list[NamedEvent]:
    """The events of a clip by their first times, those with the same words as one.

    Times are rounded as answers are written; what lasts too short for that is left out.
    """
    found: dict[str, tuple[str, list[Interval]]] = {}
    for event in clip.events:
        text = plain(event.text).rstrip(" .")
        span = round(event.start_seconds, 2), round(event.end_seconds, 2)
        if text and span[0] < span[1]:
            found.setdefault(text.lower(), (text, []))[1].append(span)
    events = [NamedEvent(text, tuple(sorted(intervals))) for text, intervals in found.values()]
    return sorted(events, key=lambda one: one.intervals)


def clearly_before(one: NamedEvent, other: NamedEvent, margin_seconds: float) -> bool:
    """Whether ``one`` begins, and is over, at least so long before ``other`` is."""
    return one.start + margin_seconds <= other.start and one.end + margin_seconds <= other.end


def near(one: NamedEvent, other: NamedEvent, margin_seconds: float) -> bool:
    """Whether both happen at some time, or with less than so long between."""
    return any(a < d + margin_seconds and c < b + margin_seconds for a, b in one.intervals for c, d in other.intervals)


def shared_time(one: NamedEvent, other: NamedEvent) -> float:
    """Share of the time from the first start to the last end in which both happen, each from start to end."""
    both = min(one.end, other.end) - max(one.start, other.start)
    return max(0.0, both) / (max(one.end, other.end) - min(one.start, other.start))


def in_words(spans: Sequence[Interval]) -> str:
    """As VideoChat-R1 writes stretches of time: ``[(5.20, 10.40)]``."""
    return f"[{', '.join(f'({start:.2f}, {end:.2f})' for start, end in spans)}]"
