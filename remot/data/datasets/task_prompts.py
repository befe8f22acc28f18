"""The prompts of one task by number."""

import copy
from collections.abc import Sequence
from typing import Self

import torch
from torch.utils.data import Dataset

from remot.data.datasets.prompts import Sample
from remot.data.tasks.base import Task, TaskPlan
from remot.data.video import read_frames
from remot.errors import ConfigError, DecodeError, EmptySplitError
from remot.seeding import numpy_generator
from remot.structures import Clip, CloserLook, ReferencedQuestion, Video

#: Clips drawn for a prompt until one can be asked about as wished.
MAX_DRAWS = 64


class TaskDataset(Dataset[Sample]):
    """Prompts of one task about annotated clips.

    An item's number is an *address*, as of :class:`remot.data.datasets.prompts.TripletDataset`: any integer from 0, with no end.
    The prompt is a function of (seed, split, number of the task, address) alone. Each clip is drawn as often as any
    other. Where a task has few answers, the answer wished for is drawn before the clip, so that none is more frequent
    than another as far as the clips allow.

    Args:
        task: What is asked.
        clips: The clips of this split.
        serving: Numbers of the clips that the task serves.
        split: Name of the split, part of every prompt's name and random stream.
        num_prompts: Prompts in an epoch.
        seed: Names the random streams.
        place: Number of the task among those of the run, part of the random streams.

    Raises:
        EmptySplitError: If the task serves no clip.
    """

    def __init__(
        self,
        task: Task,
        clips: Sequence[Clip],
        serving: Sequence[int],
        split: str,
        num_prompts: int,
        seed: int = 0,
        place: int = 0,
    ) -> None:
        if not serving:
            msg = (
                f"the task {task.name} can ask about none of the {len(clips)} clips of the {split} split: it needs "
                f"{task.needs}; add such clips or leave the task out of data.tasks"
            )
            raise EmptySplitError(msg)
        self.task = task
        self.clips = clips
        self.serving = tuple(serving)
        self.split = split
        self.num_prompts = num_prompts
        self.seed = seed
        self.place = place

    def __len__(self) -> int:
        return self.num_prompts

    def renamed(self, split: str) -> Self:
        """The same clips under a name with random streams of its own."""
        renamed = copy.copy(self)
        renamed.split = split
        return renamed

    def __getitem__(self, address: int) -> Sample:
        return self._sample(address, *self.plan(address))

    def look_again(self, address: int, look: CloserLook) -> Sample | None:
        """The same prompt with frames that are dense where ``look`` says; everything else about it stays.

        Returns:
            None if the task's frames stay, or would be the same.

        Raises:
            ConfigError: If the answer of the task is another one for other frames.
        """
        if not self.task.key_times:
            return None
        _, plan = self.plan(address)
        clip, closer = self._planned(self.task.closer(look), address)
        if closer.frame_indices == plan.frame_indices:
            return None
        if (closer.response, vars(closer.reference)) != (plan.response, vars(plan.reference)):
            msg = f"the task {self.task.name} has key_times, but its answer depends on the frames shown; leave them out"
            raise ConfigError(msg)
        return self._sample(address, clip, closer)

    def _sample(self, address: int, clip: Clip, plan: TaskPlan) -> Sample:
        question = self.question(address, clip, plan)
        pictures = read_frames(clip, plan.frame_indices)
        if plan.edit is not None:
            pictures = [plan.edit(picture) for picture in pictures]
        if not plan.as_video:
            return Sample(pictures, question, clip.clip_id)
        if any(picture.shape != pictures[0].shape for picture in pictures):
            msg = f"clip {clip.clip_id}: its pictures differ in size, and make no video; set frames.as_video to false"
            raise DecodeError(msg)
        times = tuple(float(clip.pts_seconds[frame]) for frame in plan.frame_indices)
        return Sample((), question, clip.clip_id, [Video(torch.stack(pictures), times)])

    def plan(self, address: int) -> tuple[Clip, TaskPlan]:
        """Clip and plan of a prompt; decodes nothing.

        Raises:
            ConfigError: If nothing can be asked about any clip that is drawn.
        """
        return self._planned(self.task, address)

    def _planned(self, task: Task, address: int) -> tuple[Clip, TaskPlan]:
        """The plan of ``task`` from the random stream of a prompt."""
        generator = numpy_generator(self.seed, self.split, address, "task", self.place)
        answers = task.answers
        wish = answers[int(generator.integers(len(answers)))] if answers else ""
        fallback: tuple[Clip, TaskPlan] | None = None
        for _ in range(MAX_DRAWS):
            clip = self.clips[self.serving[int(generator.integers(len(self.serving)))]]
            plan = task.plan(clip, generator)
            if plan is None:
                continue
            if not answers or plan.verdict == wish:
                return clip, plan
            fallback = fallback or (clip, plan)
        if fallback is not None:
            return fallback
        msg = (
            f"the task {task.name} finds nothing to ask in {MAX_DRAWS} tries, though {len(self.serving)} clips of "
            f"the {self.split} split have {task.needs}; loosen its settings or leave it out"
        )
        raise ConfigError(msg)

    def question(self, address: int, clip: Clip, plan: TaskPlan) -> ReferencedQuestion:
        """Text and reference of a prompt, from what :meth:`plan` gives for ``address``."""
        epoch, number = divmod(address, self.num_prompts)
        return ReferencedQuestion(
            prompt_id=f"{self.split}/{epoch}/{number}",
            text=plan.text,
            slots=plan.slots,
            domain=clip.domain,
            scene_id=clip.scene_id,
            reasoning=plan.thought,
            format=self.task.name,
            target=plan.response,
            task=self.task.name,
            reference=plan.reference,
            key_times=self.task.key_times,
        )
