"""Several tasks in one run, interleaved."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Self

from remot.data.datasets.prompts import PromptDataset, Sample, TaskDataset, replaced_split
from remot.data.tasks.base import TaskPlan
from remot.seeding import numpy_generator
from remot.structures import Clip, Question, ResampleRequest


class MixedDataset(PromptDataset):
    """Prompts of several tasks: each run of as many addresses as there are tasks holds every task once.

    Args:
        parts: The prompts of each task in the order of the configuration.
        split: Name of the split.
        num_prompts: Prompts in an epoch.
        seed: Seed of the order within each run.
    """

    def __init__(self, parts: Sequence[TaskDataset], split: str, num_prompts: int, seed: int = 0) -> None:
        super().__init__(split, num_prompts, parts[0].scenes())
        self.parts = tuple(parts)
        self.seed = seed
        #: The clips of the split, which all tasks share.
        self.clips = self.parts[0].clips

    def with_split(self, split: str) -> Self:
        """The same clips under another name, which has random streams of its own."""
        renamed = super().with_split(split)
        renamed.parts = tuple(part.with_split(split) for part in self.parts)
        return renamed

    def facts(self) -> Iterator[str]:
        """The clips, and what the tasks found in them."""
        return self.parts[0].facts()

    def prompt(self, address: int) -> Sample:
        """The prompt at an address."""
        part, within = self.part(address)
        sample = part.prompt(within)
        return replace(sample, question=self.named(address, sample.question))

    def replacement(self, address: int, attempt: int) -> Sample:
        """A prompt of the same task in place of the one at an address."""
        part, within = self.part(address)
        sample = part.replacement(within, attempt)
        name = self.prompt_id(address).replace(self.split, replaced_split(self.split, attempt), 1)
        return replace(sample, question=replace(sample.question, prompt_id=name))

    def part(self, address: int) -> tuple[TaskDataset, int]:
        """The task whose turn it is at an address, and the address within it."""
        turn, position = divmod(address, len(self.parts))
        if len(self.parts) > 1:
            order = numpy_generator(self.seed, self.split, turn, "tasks").permutation(len(self.parts))
            position = int(order[position])
        return self.parts[position], turn

    def plan(self, address: int) -> tuple[TaskDataset, Clip, TaskPlan]:
        """Task, clip and plan of a prompt; decodes nothing unless the task has to look at images."""
        part, within = self.part(address)
        return part, *part.plan(within)

    def named(self, address: int, question: Question) -> Question:
        """``question`` with the name of the prompt at an address."""
        return replace(question, prompt_id=self.prompt_id(address))

    def resample_frames(self, prompt_id: str, look: ResampleRequest) -> Sample | None:
        """The prompt of that name with other frames, or None, see :meth:`TaskDataset.resample_frames`."""
        part, within = self._named_part(prompt_id)
        sample = part.resample_frames(within, look)
        return sample and replace(sample, question=replace(sample.question, prompt_id=prompt_id))

    def clip_of(self, prompt_id: str) -> Clip:
        """The clip that the prompt of that name is about."""
        part, within = self._named_part(prompt_id)
        return part.plan(within)[0]

    def _named_part(self, prompt_id: str) -> tuple[TaskDataset, int]:
        """The task that the prompt of that name belongs to, and the address within it."""
        split, *numbers = prompt_id.split("/")
        epoch, number = (int(word) for word in numbers)
        drawn = split.partition("~")[0]  # a replacement is of the task whose turn it was
        mixed = self if drawn == self.split else self.with_split(drawn)
        part, within = mixed.part(epoch * self.num_prompts + number)
        return (part if split == drawn else part.with_split(split)), within

    def counts(self) -> Mapping[str, int]:
        """Prompts of each task in the first epoch, by name; a name may come twice."""
        turns, num_left = divmod(self.num_prompts, len(self.parts))  # each part has one prompt in a turn
        counts = dict.fromkeys((part.task.name for part in self.parts), 0)
        for part in self.parts:
            counts[part.task.name] += turns
        for address in range(self.num_prompts - num_left, self.num_prompts):
            counts[self.part(address)[0].task.name] += 1
        return counts
