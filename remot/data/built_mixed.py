"""Prompts of tasks, triplets among them, planned one after another and written with their pictures."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from remot.data.built_frames import FrameFolder, PlannedPrompt, frame_names
from remot.data.built_lines import BuiltLine
from remot.data.built_pictures import PictureFolder, names_of
from remot.data.datasets.mixed import MixedDataset
from remot.data.datasets.prompts import TripletDataset
from remot.data.datasets.task_prompts import TaskDataset
from remot.data.records import BuiltPrompt, built_prompt
from remot.data.task_records import BuiltTaskPrompt
from remot.structures import Triplet, as_task


@dataclass(frozen=True, eq=False)
class PlannedTriplet:
    """A triplet before its pictures are written.

    Args:
        dataset: Makes its question.
        address: Its number there.
        triplet: Frames and labels.
        task: Name of triplets among the tasks.
        prompt_id: Its name among the prompts of all tasks.
    """

    dataset: TripletDataset
    address: int
    triplet: Triplet
    task: str
    prompt_id: str

    @property
    def num_pictures(self) -> int:
        """How many pictures are shown."""
        return self.dataset.writer.num_pictures(self.triplet)

    def built(self, decoded_size: tuple[int, int]) -> BuiltPrompt:
        """What its line holds; the reasoning depends on the size of the pictures, width and height in pixels."""
        question = as_task(self.dataset.question(self.address, self.triplet, decoded_size), self.task)
        question = replace(question, prompt_id=self.prompt_id)
        images = names_of(self.triplet, self.num_pictures)
        return built_prompt(self.triplet, question, images, self.dataset.split, self.dataset.seed)


class MixedFolder:
    """Writes the pictures of prompts of either kind, each once.

    Args:
        root: Folder of the built prompts.
    """

    def __init__(self, root: Path) -> None:
        self._frames = FrameFolder(root)
        self._pictures = PictureFolder.beside(self._frames)

    @property
    def num_pictures(self) -> int:
        """How many have been written."""
        return self._frames.num_pictures

    def add(self, planned: Sequence[PlannedPrompt | PlannedTriplet], progress: Callable[[int], None]) -> None:
        """Write the pictures that are new, clip by clip.

        Raises:
            DecodeError: If one cannot be decoded.
        """
        of_tasks = [one for one in planned if isinstance(one, PlannedPrompt)]
        triplets = [(one.triplet, one.num_pictures) for one in planned if isinstance(one, PlannedTriplet)]
        self._frames.add(of_tasks, progress)
        self._pictures.add(triplets, lambda done: progress(len(of_tasks) + done))

    def built(self, planned: PlannedPrompt | PlannedTriplet) -> BuiltLine:
        """What the line of a prompt holds whose pictures have been added."""
        if isinstance(planned, PlannedPrompt):
            return planned.built
        return planned.built(self._pictures.decoded_size(planned.triplet))


def planned_prompts(mixed: MixedDataset, addresses: Sequence[int]) -> Iterator[PlannedPrompt | PlannedTriplet]:
    """The prompts at some addresses of a split, nothing decoded that plans do not need."""
    for address in addresses:
        number, within = mixed.place(address)
        name, part = mixed.parts[number]
        if isinstance(part, TaskDataset):
            yield _planned(part, within, mixed.prompt_id(address))
        else:
            yield PlannedTriplet(part, within, part.triplet(within), name, mixed.prompt_id(address))


def _planned(part: TaskDataset, address: int, prompt_id: str) -> PlannedPrompt:
    clip, plan = part.plan(address)
    question = replace(part.question(address, clip, plan), prompt_id=prompt_id)
    built = BuiltTaskPrompt(
        question=question,
        place=part.place,
        images=frame_names(clip.clip_id, plan.frame_indices, plan.edit, question.prompt_id),
        frames=plan.frame_indices,
        pts_seconds=tuple(float(clip.pts_seconds[frame]) for frame in plan.frame_indices),
        as_video=plan.as_video,
        edited=plan.edit is not None,
        clip_id=clip.clip_id,
        split=part.split,
        seed=part.seed,
    )
    return PlannedPrompt(clip, plan, built)
