"""A prompt whose reference is to be checked, and how its text is read back."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from remot.data.media import read_frames
from remot.data.tasks.base import Task
from remot.structures import Clip, ImageTransform, MotionLabel, Question, Reference, Triplet

K = TypeVar("K", bound=Task)

#: A place in a wording.
_PLACE = re.compile(r"\{([a-z_]+)\}")
_OPTION = re.compile(r"^([A-Z])\. (.*)$", re.MULTILINE)
#: Seconds as prompts write them, and what stands between two of them.
SECONDS = r"\d+\.\d\d"
#: Longest annotated name in a prompt.
_MAX_CHARS = 300


class UnreadableError(ValueError):
    """A text that does not ask what its task asks about such a clip, and what is missing."""


@dataclass(frozen=True, eq=False)
class AskedPrompt:
    """One prompt and what it was made from: clip, question, task, and the fields of its :class:`TaskPlan`.

    Of the task, settings are taken as numbers. ``known_size`` is width and height of the clip's images in pixels; None
    to decode one.
    """

    clip: Clip
    frames: tuple[int, ...]
    question: Question
    task: Task
    as_video: bool = True
    transforms: tuple[ImageTransform | None, ...] = ()
    labels: tuple[MotionLabel, ...] = ()
    negative: str = ""
    verdict: str = ""
    known_size: tuple[int, int] | None = None

    @property
    def triplet(self) -> Triplet:
        """Frames and labels of a motion-contrast prompt."""
        return Triplet(self.clip, self.frames, self.labels, self.negative, self.transforms)

    @property
    def reference(self) -> Reference:
        """What completions are compared with."""
        return self.question.reference or Reference()

    @property
    def number(self) -> float:
        """The right number; an UnreadableError if the reference has none."""
        if self.reference.number is None:
            msg = "the reference holds no number"
            raise UnreadableError(msg)
        return self.reference.number

    def settings(self, kind: type[K]) -> K:
        """The task as one of a class that has the settings needed."""
        assert isinstance(self.task, kind)
        return self.task

    @cached_property
    def image_size(self) -> tuple[int, int]:
        """Width and height in pixels of the first shown image, decoded unless it is known."""
        if self.known_size is not None:
            return self.known_size
        (image,) = read_frames(self.clip, self.frames[:1])
        return int(image.shape[2]), int(image.shape[1])

    def frame_at(self, seconds: str) -> int:
        """The shown frame at a time of the text; an UnreadableError if no frame, or several, are shown then."""
        found = [frame for frame in self.frames if f"{float(self.clip.pts_seconds[frame]):.2f}" == seconds]
        if len(found) != 1:
            msg = f"{len(found)} frames are shown at {seconds} s"
            raise UnreadableError(msg)
        return found[0]

    def read(self, wordings: Sequence[str], patterns: Mapping[str, str] | None = None) -> dict[str, str]:
        """What stands at the places of the one wording, such as ``When does {event}?``, that is a line of the text.

        ``patterns`` are regular expressions of places that are more than any text. An UnreadableError if the text holds
        no such line, or can be read in two ways.
        """
        found = readings(self.question.text, wordings, patterns or {})
        if len(found) != 1:
            msg = f"the text asks {len(found)} such questions as {wordings[0]!r:.60}"
            raise UnreadableError(msg)
        return found[0]

    def options(self) -> dict[str, str]:
        """Options by letter; an UnreadableError unless there are two different ones in the order of letters."""
        found = _OPTION.findall(self.question.text)
        if len(found) < 2 or len({text for _, text in found}) < len(found):
            msg = f"the text has {len(found)} options, or two alike"
            raise UnreadableError(msg)
        if "".join(letter for letter, _ in found) != "ABCDEFGHIJKLMNOP"[: len(found)]:
            msg = "the options are not in the order of their letters"
            raise UnreadableError(msg)
        return dict(found)

    def chosen(self) -> str:
        """The option that the reference says is right; an UnreadableError if it names none."""
        options, letter = self.options(), self.reference.answer
        if letter not in options:
            msg = f"the answer {letter!r:.40} is no letter of an option"
            raise UnreadableError(msg)
        return options[letter]


def readings(text: str, wordings: Sequence[str], patterns: Mapping[str, str]) -> list[dict[str, str]]:
    """All different ways to read lines of a text as one of the wordings: what stands at their places."""
    found: list[dict[str, str]] = []
    for wording in wordings:
        for match in re.finditer(_regular_expression(wording, patterns), text, re.MULTILINE):
            if match.groupdict() not in found:
                found.append(match.groupdict())
    return found


def _regular_expression(wording: str, patterns: Mapping[str, str]) -> str:
    parts = _PLACE.split(wording)
    written = [re.escape(parts[0])]
    for place, following in zip(parts[1::2], parts[2::2], strict=True):
        again = f"(?P<{place}>" in "".join(written)
        written += [f"(?P={place})" if again else f"(?P<{place}>{patterns.get(place, '.+')})", re.escape(following)]
    return f"^{''.join(written)}$"


def one_of(names: Sequence[str]) -> str:
    """Regular expression for one of some names, the longest first."""
    return "|".join(re.escape(name) for name in sorted(set(names), key=lambda name: (-len(name), name))) or "(?!)"


def spoken(text: str) -> str:
    """An annotated text as a prompt holds it: one line, no "<" and no marks of special tokens, of bounded length."""
    unmarked = re.sub(r"\|>|<\|?", lambda found: ")" if found[0][0] == "|" else "(", text[: 4 * _MAX_CHARS])
    return re.sub(r"\s+", " ", unmarked).strip()[:_MAX_CHARS]


def thing(name: str) -> str:
    """An annotated name of a thing as a prompt holds it, ``red_crate`` as ``red crate``."""
    return spoken(re.sub("_", " ", name))


def kind(name: str) -> str:
    """The kind of a thing: its name in a prompt without the number at its end."""
    head, _, tail = thing(name).rpartition(" ")
    return head if head and tail.isdecimal() and tail.isascii() else thing(name)
