"""The contract of a task: which clips it can ask about, how it plans a prompt, and how its prompts are balanced."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from remot.answers import render_response
from remot.data.media.image_changes import ImageChange
from remot.data.tasks.weights import WeightedDraw, weights_of
from remot.errors import ConfigError, EmptySplitError
from remot.seeding import numpy_generator
from remot.structures import Clip, ImageTransform, MotionLabel, Reference, ResampleRequest, Slot

#: Clips drawn for a prompt until one can be asked about with the answer that balancing requests.
MAX_DRAWS = 64

#: Width and height in pixels.
ImageSize = tuple[int, int]
#: What a task has found in a clip: rows of texts and numbers that only the task interprets.
Survey = tuple[tuple[Any, ...], ...]


@dataclass(frozen=True, eq=False)
class TaskPlan:
    """A prompt before its images are decoded.

    Args:
        frame_indices: Annotated frames to show, in the order shown; strictly increasing in a video.
        text: The question.
        reference: What completions are compared with; None if the letters of the slots are all.
        answer: The right answer as it stands inside ``<answer>``; "" if none can be written down, or the slots hold it.
        as_video: Show the frames as a video with their times; False shows them as images.
        thought: Reasoning that leads to the answer, from the annotations; a function of the size of the decoded images
            where it depends on that; "" if the annotations do not provide it.
        after: What follows the answer, such as ``<glue>[(5.2, 10.4)]</glue>``.
        slots: Questions with letters or numbers, for tasks that have them.
        verdict: The answer in words, one of the task's :attr:`Task.answers`; "" where answers are not balanced.
        transforms: For each frame what is done to it before it is shown, None for nothing; empty for nothing at all.
        thinks: Whether the response has a think element.
        format: How the question is asked; the task's name if "".
        as_pairs: Show images in pairs, see :func:`remot.structures.pair_videos`.
        change: What is done alike to all images before they are shown; None for nothing. Built prompts go without it.
        labels: What the annotations say about pairs of the frames, for tasks that label pairs.
        negative: How the third image of a triplet was found or made; "" for other tasks.
    """

    frame_indices: tuple[int, ...]
    text: str
    reference: Reference | None = None
    answer: str = ""
    as_video: bool = True
    thought: str | Callable[[ImageSize], str] = ""
    after: str = ""
    slots: tuple[Slot, ...] = ()
    verdict: str = ""
    transforms: tuple[ImageTransform | None, ...] = ()
    thinks: bool = True
    format: str = ""
    as_pairs: bool = False
    change: ImageChange | None = None
    labels: tuple[MotionLabel, ...] = ()
    negative: str = ""

    def reasoning(self, image_size: ImageSize) -> str:
        """The reasoning for decoded images of this size."""
        return self.thought if isinstance(self.thought, str) else self.thought(image_size)

    def response(self, image_size: ImageSize) -> str:
        """The response of a perfect policy, "" if none can be written down or the slots hold it."""
        if not self.answer:
            return ""
        return render_response(self.reasoning(image_size) if self.thinks else None, self.answer) + self.after

    @property
    def frame_transforms(self) -> tuple[ImageTransform | None, ...]:
        """One transform for each frame."""
        return self.transforms or (None,) * len(self.frame_indices)


@dataclass(frozen=True)
class PromptSeed:
    """The address of a prompt, from 0 without end, which names its random streams."""

    seed: int
    split: str
    address: int
    task_index: int = 0

    def generator(self, *names: str | int) -> np.random.Generator:
        """The random stream of this name."""
        return numpy_generator(self.seed, self.split, self.address, *names)


class TaskIndex(ABC):
    """Plans the prompts of a task from all clips of a split."""

    @abstractmethod
    def plan(self, at: PromptSeed) -> tuple[Clip, TaskPlan]:
        """Clip and plan of the prompt at an address; decodes nothing unless needed. A ConfigError if there is none."""


class Task(ABC):
    """A kind of question about clips with certain annotations.

    Attributes:
        name: The key of its rewards, see :class:`remot.rewards.PerTaskReward`.
        needs: The annotation it needs, in words, for the error where there is none.
        answers: The answers that are to be equally frequent, where a task has few of them: the plan's
            :attr:`TaskPlan.verdict` is one of these. Empty if nothing is to be balanced.
        key_times: Element of an answer that names the times of the clip to look at again, such as ``glue``; "" where
            the frames have to stay, since the reference depends on them.
        num_counted: Prompts that are planned and counted before a run, to warn where few frames are shown again and
            again; 0 for tasks that always show the same frames of a clip.
    """

    name: str
    needs: ClassVar[str]
    answers: tuple[str, ...] = ()
    key_times: ClassVar[str] = ""
    num_counted: int = 0

    @abstractmethod
    def serves(self, clip: Clip) -> bool:
        """Whether anything can be asked about ``clip``. Cheap, decodes nothing."""

    @abstractmethod
    def plan(self, clip: Clip, generator: np.random.Generator) -> TaskPlan | None:
        """A prompt about a clip that the task :meth:`serves`, None if what was drawn cannot be asked about."""

    def survey(self, clip: Clip) -> Survey | None:
        """What :meth:`index` needs of ``clip``, JSON-ready; None if nothing can be asked about it."""
        return () if clip.media is not None and self.serves(clip) else None

    def stratum(self, survey: Survey | None) -> Hashable:
        """What every split should have alike, from the survey of a clip."""
        return survey is not None

    def topics(self, survey: Survey) -> tuple[str, ...]:  # noqa: ARG002
        """What can be asked about a clip, in words, from its survey."""
        return (self.name,)

    def num_frame_sets(self, clip: Clip) -> int:  # noqa: ARG002
        """How many distinct sets of frames of ``clip`` prompts can show; 0 for tasks that are not counted."""
        return 0

    def index(self, clips: Sequence[Clip], surveys: Sequence[Survey | None], split: str) -> TaskIndex:
        """How prompts are drawn from the clips of a split: each clip as often, answers balanced as far as clips allow.

        Args:
            clips: The clips of a split, read when they are asked for.
            surveys: What :meth:`survey` found in each.
            split: Name of the split, for messages.

        Raises:
            EmptySplitError: If the task can ask about none of the clips.
        """
        return UniformIndex(self, clips, surveys, split)

    def settings(self) -> tuple[object, ...]:
        """The components whose settings and code determine what :meth:`survey` finds, besides the task itself."""
        return ()

    def refusals(self, clips: Iterable[Clip], generator: np.random.Generator) -> Counter[str]:
        """How often something is ``asked`` or refused, by reason; one draw of each served clip unless overridden."""
        plans = (self.plan(clip, generator) for clip in clips if self.serves(clip))
        return Counter("nothing clear in what was drawn" if plan is None else "asked" for plan in plans)

    def closer(self, look: ResampleRequest) -> "Task":  # noqa: ARG002
        """This task with frames that are dense in the stretches of ``look``; itself if its frames stay."""
        return self


class UniformIndex(TaskIndex):
    """Draws each clip by its weight; where a task has few answers, the answer is drawn before the clip."""

    def __init__(self, task: Task, clips: Sequence[Clip], surveys: Sequence[Survey | None], split: str) -> None:
        self.task, self.clips, self.split = task, clips, split
        weights = weights_of(clips)
        self.serving = tuple(number for number, survey in enumerate(surveys) if survey is not None)
        self._draw = WeightedDraw([weights[number] for number in self.serving])
        if not self.serving:
            msg = (
                f"the task {task.name} can ask about none of the {len(clips)} clips of the {split} split: it needs "
                f"{task.needs}; add such clips or leave the task out of data.tasks"
            )
            raise EmptySplitError(msg)

    def plan(self, at: PromptSeed) -> tuple[Clip, TaskPlan]:
        """Clip and plan of a prompt; one with another answer where no draw has the requested one."""
        generator = at.generator("task", at.task_index)
        answers = self.task.answers
        requested = answers[int(generator.integers(len(answers)))] if answers else ""
        fallback: tuple[Clip, TaskPlan] | None = None
        for _ in range(MAX_DRAWS):
            clip = self.clips[self.serving[self._draw(generator)]]
            plan = self.task.plan(clip, generator)
            if plan is None:
                continue
            if not answers or plan.verdict == requested:
                return clip, plan
            fallback = fallback or (clip, plan)
        if fallback is not None:
            return fallback
        msg = (
            f"the task {self.task.name} finds nothing to ask in {MAX_DRAWS} tries, though {len(self.serving)} clips of "
            f"the {self.split} split have {self.task.needs}; loosen its settings or leave it out"
        )
        raise ConfigError(msg)
