"""What a policy asks for before it answers: frames by time, or FrameThinker's actions."""

import re
from dataclasses import dataclass

from remot.answers import MAX_COMPLETION_CHARS
from remot.rewards.parsing.tags import elements, last_element

_NUMBER = r"-?[0-9]{1,9}(?:\.[0-9]{1,9})?"
_FRAME_AT = re.compile(rf"FrameAt\(\s?({_NUMBER})\s?\)")
_VIDEO_CLIP = re.compile(rf"VideoClip\(\s?({_NUMBER})\s?,\s?({_NUMBER})\s?\)")
_CHOOSE = re.compile(r"choose frames between ([0-9]{1,9}) and ([0-9]{1,9})(?![0-9])")
_LOOK_UP = re.compile(r"get frame number at time ([0-9]{1,3}):([0-9]{2})(?![0-9])")
_OUTPUT = "output answer:"
#: Most calls that are read from one element.
MAX_CALLS = 64


@dataclass(frozen=True)
class TimeRequest:
    """Frames between two times in seconds; a single frame if ``is_single``."""

    start_seconds: float
    end_seconds: float
    is_single: bool = False


@dataclass(frozen=True)
class FrameRange:
    """Frames between two frame numbers."""

    first: int
    last: int


@dataclass(frozen=True)
class FrameLookUp:
    """The number of the frame at a time."""

    seconds: int


#: None stands for something that is meant as a request and is none.
Request = TimeRequest | FrameRange | FrameLookUp | None


def calls_in(response: str, tag: str) -> list[Request]:
    """The calls ``FrameAt(t)`` and ``VideoClip(t0, t1)`` in the elements ``tag``, separated by ``;`` or a line break.

    Args:
        response: Text of which the first ``MAX_COMPLETION_CHARS`` characters are read.
        tag: Name of the element.

    Returns:
        At most ``MAX_CALLS``; none if there is no such element.

    >>> calls_in("<request>FrameAt(2.5); VideoClip(1, 4); FrameAt(two)</request>", "request")[1:]
    [TimeRequest(start_seconds=1.0, end_seconds=4.0, is_single=False), None]
    """
    calls: list[Request] = []
    for content in elements(response[:MAX_COMPLETION_CHARS], tag):
        written = [part.strip() for part in content.replace("\n", ";").split(";", MAX_CALLS)]
        calls += [_call(part) for part in written if part] or [None]
        if len(calls) >= MAX_CALLS:
            break
    return calls[:MAX_CALLS]


def _call(text: str) -> Request:
    if single := _FRAME_AT.fullmatch(text):
        return TimeRequest(float(single[1]), float(single[1]), is_single=True)
    found = _VIDEO_CLIP.fullmatch(text)
    return None if found is None else TimeRequest(float(found[1]), float(found[2]))


def action_in(response: str) -> Request:
    """What FrameThinker's last ``<action>`` element asks for; None if it is no request.

    Words after the request are ignored, as by the published reward.

    >>> action_in("<action>choose frames between 10 and 40</action>")
    FrameRange(first=10, last=40)
    >>> action_in("<action>get frame number at time 01:30</action>")
    FrameLookUp(seconds=90)
    """
    written = (last_element(response[:MAX_COMPLETION_CHARS], "action") or "").strip()
    if chosen := _CHOOSE.match(written):
        return FrameRange(int(chosen[1]), int(chosen[2]))
    found = _LOOK_UP.match(written)
    return None if found is None else FrameLookUp(60 * int(found[1]) + int(found[2]))


def action_answer(response: str) -> str | None:
    """X of FrameThinker's last action ``output answer: X``; None if it is another action."""
    written = (last_element(response[:MAX_COMPLETION_CHARS], "action") or "").strip()
    return written[len(_OUTPUT) :].strip() if written.startswith(_OUTPUT) else None
