"""Questions about events, answered from the annotated times once more."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from remot.data.tasks.events.event_choice import EventChoice
from remot.data.tasks.events.grounding import TemporalGrounding
from remot.datatools.audit.tasks.prompt import SECONDS, AskedPrompt, UnreadableError, readings, spoken
from remot.datatools.audit.tasks.responses import TWO
from remot.structures import Clip, Interval

Stretches = Mapping[str, Sequence[Interval]]


def stretches_of(clip: Clip) -> dict[str, list[Interval]]:
    """When each text happens, in seconds as annotated and in order as written, by the text in small letters.

    What is too short to be written with two decimals does not happen.
    """
    found: dict[str, list[Interval]] = {}
    for event in clip.events:
        text = spoken(event.text).rstrip(" .").lower()
        if text and f"{event.start_seconds:.2f}" != f"{event.end_seconds:.2f}":
            found.setdefault(text, []).append((event.start_seconds, event.end_seconds))
    return {text: sorted(times, key=lambda one: np.round(one, 2).tolist()) for text, times in found.items()}


def check_grounding(asked: AskedPrompt) -> Iterator[str]:
    """All stretches of an event, of which there is one unless the task allows more."""
    task = asked.settings(TemporalGrounding)
    event, stretches = asked.read(task.wordings.texts["ask"])["event"], stretches_of(asked.clip)
    if event.lower() not in stretches:
        msg = f"{event!r:.60} does not happen in the clip"
        raise UnreadableError(msg)
    times = stretches[event.lower()]
    if len(times) > task.max_spans:
        yield f"{event!r:.60} happens {len(times)} times, which are too many"
    yield from _wrong_intervals(asked, event, times)


def check_caption(asked: AskedPrompt) -> Iterator[str]:
    """Everything that happens, by its first moment."""
    described = [text.lower() for text in asked.reference.events or ()]
    stretches = stretches_of(asked.clip)
    if sorted(described) != sorted(stretches):
        yield f"the reference tells {len(described)} events, the annotations {len(stretches)}, or others"
        return
    starts = [stretches[text][0][0] for text in described]
    if any(later < earlier - 2 * TWO for earlier, later in pairwise(starts)):
        yield "the events are not in the order in which they begin"


def check_choice(asked: AskedPrompt) -> Iterator[str]:
    """Of the options, all of which happen once, exactly one is true of the question."""
    task = asked.settings(EventChoice)
    stretches = {text: times[0] for text, times in stretches_of(asked.clip).items() if len(times) == 1}
    options = {letter: text.lower() for letter, text in asked.options().items()}
    unknown = [text for text in options.values() if text not in stretches]
    if unknown:
        yield f"the option {unknown[0]!r:.60} does not happen once"
        return
    times = {letter: stretches[text] for letter, text in options.items()}
    right = _right_letters(asked, task, times, stretches)
    if right != {asked.reference.answer}:
        should = ", ".join(sorted(right)) or "none"
        yield f"by the annotated times {should} is right, and not {asked.reference.answer}"
    elif asked.reference.intervals is not None:
        yield from _wrong_intervals(asked, asked.chosen(), [times[asked.reference.answer or ""]])


def _right_letters(
    asked: AskedPrompt, task: EventChoice, times: Mapping[str, Interval], stretches: Mapping[str, Interval]
) -> set[str]:
    """Letters of the options that may be right, by the kind of question that the text is."""
    margin = task.margin_seconds - 2 * TWO
    times_of = {"start": SECONDS, "end": SECONDS}
    kinds = [
        kind
        for kind in task.kinds
        if len(readings(asked.question.text, task.wordings.texts.get(kind, ()), times_of)) == 1
    ]
    if len(kinds) != 1:
        msg = f"the text asks {len(kinds)} kinds of questions about events"
        raise UnreadableError(msg)
    places = asked.read(task.wordings.texts[kinds[0]], times_of)
    if "event" in places:
        return _next(places["event"].lower(), times, stretches, margin)
    if "start" in places:
        start, end = float(places["start"]) - margin, float(places["end"]) + margin
        return {letter for letter, (a, b) in times.items() if a < end and start < b}
    sign = {"first": 1, "last": -1}.get(kinds[0], 0)
    # Seen from the asked end of time an option is right if no other comes before it or clearly with it.
    edges = {letter: (sign * a, sign * b) if sign > 0 else (sign * b, sign * a) for letter, (a, b) in times.items()}
    return {
        letter
        for letter, (a, b) in edges.items()
        if sign and not any(c < a + margin or d < b + margin for other, (c, d) in edges.items() if other != letter)
    }


def _next(given: str, times: Mapping[str, Interval], stretches: Mapping[str, Interval], margin: float) -> set[str]:
    """Letters of what begins first once ``given`` is over, among all that happens in the clip.

    None if something begins so short before that it may be next.
    """
    if given not in stretches:
        msg = f"{given!r:.60} does not happen once"
        raise UnreadableError(msg)
    end = stretches[given][1]
    over = end - 2 * TWO
    if any(end - margin < start < over for text, (start, _) in stretches.items() if text != given):
        return set()
    later = sorted(start for text, (start, _) in stretches.items() if text != given and start >= over)
    return {letter for letter, (a, _) in times.items() if later and a >= over and a <= later[0] + min(margin, 2 * TWO)}


def _wrong_intervals(asked: AskedPrompt, event: str, times: Sequence[Interval]) -> Iterator[str]:
    described = np.array(asked.reference.intervals or np.empty((0, 2)))
    if described.shape != (len(times), 2) or (np.abs(described - np.array(times)) > TWO).any():
        should = ", ".join(f"{start:.2f} to {end:.2f}" for start, end in times)
        yield f"{event!r:.60} is said to happen at {described.tolist()}, should be {should} s"
