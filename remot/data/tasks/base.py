"""What every task does: say which clips it can ask about, and plan a prompt about one without decoding anything."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from torch import Tensor

from remot.answers import render_response
from remot.structures import Clip, CloserLook, Reference, Slot


class PictureEdit(ABC):
    """What is done to the decoded pictures of a prompt before they are shown; a frozen record."""

    @abstractmethod
    def __call__(self, picture: Tensor) -> Tensor:
        """The changed picture, uint8 [3, H, W] like ``picture``; the same for the same picture."""


@dataclass(frozen=True, eq=False)
class TaskPlan:
    """A prompt before its pictures are decoded.

    Args:
        frame_indices: Annotated frames to show, strictly increasing.
        text: What is asked.
        reference: What completions are compared with.
        answer: The right answer as it stands inside ``<answer>``; "" if none can be written down.
        as_video: Show the frames as a video with their times; False shows them as pictures.
        thought: Reasoning that leads to the answer, told from the annotations; "" if they do not tell it.
        after: What follows the answer, such as ``<glue>[(5.2, 10.4)]</glue>``.
        slots: Questions with letters or numbers, for tasks that have them.
        verdict: What the answer says beyond its letter or number, one of the task's :attr:`Task.answers`; "" for tasks
            whose answers are not balanced.
        edit: What is done to the pictures.
        thinks: Whether the response has a think element.
    """

    frame_indices: tuple[int, ...]
    text: str
    reference: Reference
    answer: str = ""
    as_video: bool = True
    thought: str = ""
    after: str = ""
    slots: tuple[Slot, ...] = ()
    verdict: str = ""
    edit: PictureEdit | None = None
    thinks: bool = True

    @property
    def response(self) -> str:
        """The response of a perfect policy, "" if none can be written down."""
        if not self.answer:
            return ""
        return render_response(self.thought if self.thinks else None, self.answer) + self.after


class Task(ABC):
    """A kind of question about clips with certain annotations.

    Attributes:
        name: What rewards by task call it, see :class:`remot.rewards.PerTaskReward`.
        needs: The annotation it needs, in words, for the error where there is none.
        answers: The answers that are to be equally frequent, where a task has few of them: the plan's
            :attr:`TaskPlan.verdict` is one of these. Empty if nothing is to be balanced.
        key_times: Element of an answer that tells which times of the clip to look at again, such as ``glue``; "" where
            the frames have to stay, since the reference depends on them, or nothing tells it.
    """

    name: str
    needs: ClassVar[str]
    answers: tuple[str, ...] = ()
    key_times: ClassVar[str] = ""

    @abstractmethod
    def serves(self, clip: Clip) -> bool:
        """Whether anything can be asked about ``clip``. Cheap, decodes nothing."""

    @abstractmethod
    def plan(self, clip: Clip, generator: np.random.Generator) -> TaskPlan | None:
        """A prompt about ``clip``, None if what was drawn cannot be asked about.

        Args:
            clip: One that :meth:`serves` says yes to.
            generator: Source of every choice.
        """

    def closer(self, look: CloserLook) -> "Task":  # noqa: ARG002
        """This task with frames that are dense where ``look`` says; itself if its frames stay."""
        return self


def serves(task: Task, clip: Clip) -> bool:
    """Whether a task can ask about ``clip``, which needs pictures in any case."""
    return clip.media is not None and task.serves(clip)
