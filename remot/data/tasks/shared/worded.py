"""Tasks about frames of a clip whose questions are worded by a file, one file for a family of tasks."""

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from remot.data.questions.templates import read_yaml_mapping, require_texts
from remot.data.tasks.base import Task, TaskPlan
from remot.data.tasks.shared.frames import FrameSampling, KeyFrames, times_in_words
from remot.errors import ConfigError
from remot.structures import Clip, Reference, ResampleRequest

#: A place in a wording.
_PLACE = re.compile(r"\{([a-z_]+)\}")


class WordedTask(Task):
    """A task with wordings in ``remot/assets/wordings/tasks_FAMILY.yaml``, in the section of its name.

    Args:
        frames: Which frames are shown, and how.
        wordings: A file of wordings to use instead.
        thinks: Ask for thinking before the answer, and include it in the response.
    """

    family: ClassVar[str] = "videochat"

    def __init__(
        self,
        frames: FrameSampling | None = None,
        wordings: Path | None = None,
        thinks: bool = True,  # noqa: FBT001, FBT002 - a setting
    ) -> None:
        self.frames = frames if frames is not None else FrameSampling()
        self.thinks = thinks
        self.wordings = read_wordings(self.name, self.family, wordings)
        self.shared = read_wordings("common", self.family, wordings)

    def closer(self, look: ResampleRequest) -> Self:
        """See :meth:`Task.closer`."""
        task, first = copy.copy(self), self.frames
        task.frames = KeyFrames(first.max_frames, first.fps, first.as_video, first=first, request=look)
        return task

    def text(
        self,
        use: str,
        generator: np.random.Generator,
        *,
        clip: Clip,
        shown: Sequence[int],
        options: str = "",
        **places: str,
    ) -> str:
        """A whole prompt: times of the shown frames unless a video has them, question ``use``, options, closing."""
        lines = [
            self.wordings.say(use, generator, **places),
            options,
            self.wordings.say("closing" if self.thinks else "closing_at_once", generator, **places),
        ]
        if self.frames.states_times and len(shown) > 1:
            times = times_in_words(clip, tuple(shown), self.frames.time_decimals)
            use = "video_times" if self.frames.as_video else "times"
            lines = [self.shared.say(use, generator, times=times), *lines]
        return "\n".join(line for line in lines if line)

    def prompt(
        self,
        shown: tuple[int, ...],
        text: str,
        reference: Reference,
        *,
        answer: str,
        thought: str,
        after: str = "",
        verdict: str = "",
    ) -> TaskPlan:
        """A plan with the task's way to show frames and to think; see :class:`TaskPlan`."""
        as_video = self.frames.as_video
        return TaskPlan(shown, text, reference, answer, as_video, thought, after, (), verdict, thinks=self.thinks)


@dataclass(frozen=True)
class TaskWordings:
    """Texts of one task by use, such as ``ask`` and ``closing``, each in one or several wordings."""

    file: Path
    task: str
    texts: dict[str, tuple[str, ...]]

    def say(self, use: str, generator: np.random.Generator, **places: str) -> str:
        """One of the texts for ``use``, drawn evenly, with its places filled; a ConfigError if that cannot be done."""
        texts = self.texts.get(use)
        if not texts:
            msg = f"the wordings {self.file} hold no text for {self.task}: {use}"
            raise ConfigError(msg)
        text = texts[int(generator.integers(len(texts)))]
        unknown = set(_PLACE.findall(text)) - places.keys()
        if unknown:
            msg = f"{self.file}: {self.task}: {use}: {{{unknown.pop()}}} is no place here; known: {', '.join(places)}"
            raise ConfigError(msg)
        return _PLACE.sub(lambda found: places[found[1]], text)


@cache
def read_wordings(task: str, family: str = "videochat", file: Path | None = None) -> TaskWordings:
    """The wordings of one task: the section of its name in ``remot/assets/wordings/tasks_FAMILY.yaml``, or in ``file``.

    Raises:
        ConfigError: If the file cannot be read, lacks the section, or the section holds something else than texts.
    """
    if file is None:
        file = Path(str(files("remot") / "assets" / "wordings" / f"tasks_{family}.yaml"))
    section = read_yaml_mapping(file).get(task)
    if not isinstance(section, dict) or not section:
        msg = f"the wordings {file} have no section {task!r} with texts by use"
        raise ConfigError(msg)
    uses = {str(use): require_texts(f"{file}: {task}: {use}", held) for use, held in section.items()}
    return TaskWordings(file, task, {use: tuple(map(str.strip, texts)) for use, texts in uses.items()})
