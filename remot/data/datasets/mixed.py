"""Several tasks in one run, which take turns."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Self

from torch.utils.data import Dataset

from remot.data.datasets.prompts import Sample, TripletDataset
from remot.data.datasets.task_prompts import TaskDataset
from remot.seeding import numpy_generator
from remot.structures import CloserLook, as_task


class MixedDataset(Dataset[Sample]):
    """Prompts of several tasks: each run of as many addresses as there are tasks holds every task once.

    Args:
        parts: The prompts of each task, by name and in the order of the configuration; a name may come twice.
        split: Name of the split.
        num_prompts: Prompts in an epoch.
        seed: Names the order within each run.
    """

    def __init__(
        self, parts: Sequence[tuple[str, TaskDataset | TripletDataset]], split: str, num_prompts: int, seed: int = 0
    ) -> None:
        self.parts = tuple(parts)
        self.split = split
        self.num_prompts = num_prompts
        self.seed = seed

    def __len__(self) -> int:
        return self.num_prompts

    def renamed(self, split: str) -> Self:
        """The same clips under a name with random streams of its own."""
        renamed = copy.copy(self)
        renamed.split = split
        renamed.parts = tuple((name, part.renamed(split)) for name, part in self.parts)
        return renamed

    def __getitem__(self, address: int) -> Sample:
        number, within = self.place(address)
        name, part = self.parts[number]
        sample = part[within]
        question = as_task(sample.question, name)
        return replace(sample, question=replace(question, prompt_id=self.prompt_id(address)))

    def place(self, address: int) -> tuple[int, int]:
        """Whose turn it is at an address: the number of the part, and the address within it."""
        turn, place = divmod(address, len(self.parts))
        return self._order(turn)[place], turn

    def prompt_id(self, address: int) -> str:
        """Name of the prompt at an address."""
        epoch, number = divmod(address, self.num_prompts)
        return f"{self.split}/{epoch}/{number}"

    def look_again(self, prompt_id: str, look: CloserLook) -> Sample | None:
        """The prompt of that name with other frames, see :meth:`TaskDataset.look_again`; None if it keeps its own."""
        epoch, number = (int(word) for word in prompt_id.split("/")[-2:])
        place, within = self.place(epoch * self.num_prompts + number)
        _, part = self.parts[place]
        sample = part.look_again(within, look) if isinstance(part, TaskDataset) else None
        return sample and replace(sample, question=replace(sample.question, prompt_id=prompt_id))

    def counts(self) -> Mapping[str, int]:
        """Prompts of each task in the first epoch."""
        counts = dict.fromkeys((name for name, _ in self.parts), 0)
        for address in range(self.num_prompts):
            counts[self.parts[self.place(address)[0]][0]] += 1
        return counts

    def _order(self, turn: int) -> list[int]:
        generator = numpy_generator(self.seed, self.split, turn, "tasks")
        return [int(part) for part in generator.permutation(len(self.parts))]
