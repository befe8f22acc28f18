"""Tasks about frames of a clip whose questions are worded by a file."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Self

import numpy as np

from remot.data.tasks.base import Task, TaskPlan
from remot.data.tasks.shared.frames import FrameSampling, KeyFrames, times_in_words
from remot.data.tasks.shared.wordings import read_wordings
from remot.structures import Clip, Reference, ResampleRequest


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
        task = copy.copy(self)
        task.frames = KeyFrames.after(self.frames, look)
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
