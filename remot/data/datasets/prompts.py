"""Map-style datasets of prompts; an index or address deterministically identifies a prompt."""

import copy
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.utils.data import Dataset

from remot.data.media.frames import media_files
from remot.data.media.transforms import read_shown
from remot.data.media.unchanged import require_unchanged
from remot.data.tasks.base import ImageSize, PromptSeed, Survey, Task, TaskPlan
from remot.errors import ConfigError, DecodeError
from remot.structures import Clip, Question, ResampleRequest, Video, pair_videos


@dataclass(frozen=True, eq=False)
class Sample:
    """One prompt.

    Args:
        images: Its images, uint8 tensors [3, H, W].
        question: What is asked about them.
        clip_id: Where they come from.
        videos: Its videos, shown after the images.
        replaced: Clip and message of each prompt that could not be read and that it takes the place of.
    """

    images: Sequence[Tensor]
    question: Question
    clip_id: str
    videos: Sequence[Video] = ()
    replaced: Sequence[tuple[str, str]] = ()

    def __repr__(self) -> str:
        shapes = ", ".join(str(tuple(image.shape)) for image in self.images)
        return f"Sample({self.question.prompt_id!r}, images=[{shapes}], videos={list(self.videos)})"


class PromptDataset(Dataset[Sample], ABC):
    """Prompts of one split. An index is a prompt of the first epoch, and iteration ends after it.

    Beyond an epoch prompts have *addresses*, any integer from 0 without end: address ``a`` is prompt ``a % len(self)``
    of epoch ``a // len(self)``. Later epochs hold new prompts, and resuming means asking for later addresses.

    Args:
        split: Name of the split, part of every prompt's name and random stream.
        num_prompts: Prompts in an epoch.
        scenes: Scenes of what the prompts are about.

    Raises:
        ConfigError: If there is to be no prompt.
    """

    def __init__(self, split: str, num_prompts: int, scenes: Iterable[str]) -> None:
        if num_prompts < 1:
            msg = f"the {split} split has {num_prompts} prompts; ask for at least 1"
            raise ConfigError(msg)
        self.split = split
        self.num_prompts = num_prompts
        self._scenes = frozenset(scenes)

    def __len__(self) -> int:
        return self.num_prompts

    def __getitem__(self, index: int) -> Sample:
        """The prompt at an index of the first epoch."""
        if not 0 <= index < len(self):
            msg = f"index {index} is outside an epoch of {len(self)} prompts; prompt(address) takes addresses beyond it"
            raise IndexError(msg)
        return self.prompt(index)

    def __getitems__(self, addresses: Sequence[int]) -> list[Sample]:
        """The prompts of a batch, for a loader whose sampler gives addresses, which may lie beyond an epoch."""
        return [self.prompt(address) for address in addresses]

    @abstractmethod
    def prompt(self, address: int) -> Sample:
        """The prompt at an address.

        Raises:
            DecodeError: If an image cannot be decoded.
        """

    def replacement(self, address: int, attempt: int) -> Sample:
        """The prompt that takes the place of one that cannot be read; ``attempt`` counts from 1."""
        return self.with_split(replaced_split(self.split, attempt)).prompt(address)

    def scenes(self) -> set[str]:
        """Scenes of what the prompts are about."""
        return set(self._scenes)

    @abstractmethod
    def facts(self) -> Iterable[object]:
        """What the prompts are made from, in its order, each with a text that is the same in every process."""

    def prompt_id(self, address: int) -> str:
        """Name of the prompt at an address."""
        epoch, number = divmod(address, self.num_prompts)
        return f"{self.split}/{epoch}/{number}"

    def with_split(self, split: str) -> Self:
        """The same clips under another name, which has random streams of its own."""
        renamed = copy.copy(self)
        renamed.split = split
        return renamed


def replaced_split(split: str, attempt: int) -> str:
    """Name of the random streams of prompts that take the place of those of ``split``."""
    return f"{split}~{attempt}"


class TaskDataset(PromptDataset):
    """Prompts of one task about annotated clips; a function of (seed, split, task index, address) alone.

    Args:
        task: What is asked.
        clips: The clips of this split.
        surveys: What the task found in each, see :meth:`Task.survey`.
        split: Name of the split.
        num_prompts: Prompts in an epoch.
        seed: Seed of the random streams.
        task_index: Position of the task among those of the run, part of the random streams.
        surveyed_ns: When the clips were surveyed, in ns since 1970; files that change later are refused. None: never.

    Raises:
        EmptySplitError: If the task can ask about none of the clips.
    """

    def __init__(
        self,
        task: Task,
        clips: Sequence[Clip],
        surveys: Sequence[Survey | None],
        split: str,
        num_prompts: int,
        seed: int = 0,
        task_index: int = 0,
        surveyed_ns: int | None = None,
    ) -> None:
        super().__init__(split, num_prompts, {clip.scene_id for clip in getattr(clips, "entries", clips)})
        self.task = task
        self.clips = clips
        self.surveys = tuple(surveys)
        self.seed = seed
        self.task_index = task_index
        self.surveyed_ns = surveyed_ns
        self.index = task.index(clips, self.surveys, split)
        #: Numbers of the clips that the task can ask about.
        self.serving = [number for number, survey in enumerate(self.surveys) if survey is not None]

    def facts(self) -> Iterator[str]:
        """The clips, and what the tasks found in them."""
        for clip in getattr(self.clips, "entries", self.clips):
            surveys = getattr(clip, "surveys", None)
            weight = [] if clip.weight == 1 else [clip.weight]
            yield json.dumps([clip.clip_id, clip.scene_id, clip.num_frames, surveys, *weight], allow_nan=False)

    def prompt(self, address: int) -> Sample:
        """The prompt at an address."""
        return self.sample(address, *self.plan(address))

    def plan(self, address: int) -> tuple[Clip, TaskPlan]:
        """Clip and plan of a prompt; decodes nothing unless the task has to look at images.

        Raises:
            ConfigError: If nothing can be asked about any clip that is drawn.
        """
        return self.index.plan(PromptSeed(self.seed, self.split, address, self.task_index))

    def sample(self, address: int, clip: Clip, plan: TaskPlan) -> Sample:
        """The prompt of a plan that :meth:`plan` gives for ``address``.

        Raises:
            DecodeError: If an image cannot be decoded, has changed since the survey, or frames of a video differ in
                size.
        """
        try:
            shown, size = read_shown(clip, plan.frame_indices, plan.frame_transforms)
            if self.surveyed_ns is not None:
                require_unchanged(media_files(clip, plan.frame_indices), self.surveyed_ns)
        except DecodeError as error:
            named = DecodeError(f"clip {clip.clip_id}: {error}", reason=error.reason)
            named.clip_id = clip.clip_id
            raise named from error
        shown = shown if plan.change is None else plan.change(shown)
        question = self.question(address, clip, plan, size)
        if plan.as_pairs:
            return Sample((), question, clip.clip_id, pair_videos(shown))
        if not plan.as_video:
            return Sample(shown, question, clip.clip_id)
        if any(image.shape != shown[0].shape for image in shown):
            msg = f"clip {clip.clip_id}: its images differ in size, and make no video; set frames.as_video to false"
            raise DecodeError(msg)
        times = tuple(float(clip.pts_seconds[frame]) for frame in plan.frame_indices)
        return Sample((), question, clip.clip_id, [Video(torch.stack(shown), times)])

    def question(self, address: int, clip: Clip, plan: TaskPlan, image_size: ImageSize) -> Question:
        """Text and reference of a prompt.

        Args:
            address: Its address.
            clip: Its clip.
            plan: What :meth:`plan` gives for ``address``.
            image_size: Width and height of the clip's images in pixels; only the reasoning depends on it.
        """
        return Question(
            prompt_id=self.prompt_id(address),
            text=plan.text,
            slots=plan.slots,
            domain=clip.domain,
            scene_id=clip.scene_id,
            reasoning=plan.reasoning(image_size),
            format=plan.format or self.task.name,
            target=plan.response(image_size),
            task=self.task.name,
            reference=plan.reference,
            key_times=self.task.key_times,
            thinks=plan.thinks,
        )

    def resample_frames(self, address: int, look: ResampleRequest) -> Sample | None:
        """The same prompt with frames that are dense where ``look`` says; everything else about it stays.

        Returns:
            None if the task's frames stay, or would be the same.

        Raises:
            ConfigError: If the answer of the task is another one for other frames.
        """
        if not self.task.key_times:
            return None
        _, plan = self.plan(address)
        index = self.task.closer(look).index(self.clips, self.surveys, self.split)
        clip, closer = index.plan(PromptSeed(self.seed, self.split, address, self.task_index))
        if closer.frame_indices == plan.frame_indices:
            return None
        answers = [(one.response((1, 1)), one.reference and vars(one.reference)) for one in (closer, plan)]
        if answers[0] != answers[1]:
            msg = f"the task {self.task.name} has key_times, but its answer depends on the frames shown; leave them out"
            raise ConfigError(msg)
        return self.sample(address, clip, closer)
