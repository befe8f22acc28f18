"""From settings to the prompts of several tasks in each split."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal

from remot.data.catalogue import ClipEntry, ClipStore, StoredClips
from remot.data.dataset import TripletDataset
from remot.data.datasets import Asking, SplitSettings, entries_by_split, triplets_of
from remot.data.tasks.base import Task
from remot.data.tasks.dataset import TaskDataset
from remot.data.tasks.mixed import MixedDataset
from remot.data.tasks.motion_contrast import MotionContrast
from remot.errors import ConfigError, EmptySplitError

OnUnservedTask = Literal["raise", "skip"]


def datasets_of_tasks(
    store: ClipStore, entries: Sequence[ClipEntry], asking: Asking, settings: SplitSettings
) -> dict[str, MixedDataset]:
    """The tasks' prompts about clips, divided by scenes.

    Args:
        store: Reads the clips.
        entries: Which ones to use.
        asking: The tasks, and how triplets are asked about if these are among them. Those that no clip serves are left
            out, see :func:`require_served`.
        settings: Sizes and seeds.

    Raises:
        EmptySplitError: If a wanted split has no clip, or none for one of the tasks.
    """
    datasets, left_out = {}, unserved_tasks(store.root, entries, asking.tasks)
    for split, part in entries_by_split(entries, asking, settings).items():
        places = _usable(part, asking, split, left_out, required=settings.required or split == "train")
        size, seed = settings.num_prompts[split], settings.seed_of(split)
        parts = [(asking.tasks[k].name, _part(store, part, asking, k, (split, size, seed))) for k in places]
        if parts:
            datasets[split] = MixedDataset(parts, split, size, seed)
    return datasets


def unserved_tasks(root: Path, entries: Sequence[ClipEntry], tasks: Sequence[Task | MotionContrast]) -> dict[int, str]:
    """For each task, by its number, that can ask about none of the clips, a sentence that says so."""
    return {
        place: f"{root}: the task {task.name} can ask about none of the {len(entries)} clips: it needs pictures and "
        f"{task.needs}"
        for place, task in enumerate(tasks)
        if not any(place in entry.served for entry in entries)
    }


def require_served(
    root: Path, entries: Sequence[ClipEntry], tasks: Sequence[Task | MotionContrast], on_unserved: OnUnservedTask
) -> list[str]:
    """Names of the tasks that are left out because no clip can serve them.

    Args:
        root: Folder of the clips, for messages.
        entries: The clips.
        tasks: The tasks of the run.
        on_unserved: ``raise`` refuses such tasks, ``skip`` leaves them out with a warning.

    Raises:
        ConfigError: If there is such a task under ``raise``, or none is left.
    """
    unserved = unserved_tasks(root, entries, tasks)
    if unserved and (on_unserved == "raise" or len(unserved) == len(tasks)):
        told = next(iter(unserved.values()))
        more = f" (and {len(unserved) - 1} more)" if len(unserved) > 1 else ""
        msg = (
            f"{told}{more}; add such annotations, leave the task out of data.tasks, or set data.on_unserved_task: skip"
        )
        raise ConfigError(msg)
    for told in unserved.values():
        warnings.warn(f"{told}; it is left out", stacklevel=2)
    return [tasks[place].name for place in unserved]


def _usable(
    entries: Sequence[ClipEntry], asking: Asking, split: str, left_out: Collection[int], *, required: bool
) -> list[int]:
    """Numbers of the tasks that have clips in a split, without those that are left out.

    Raises:
        EmptySplitError: If one has none and it is required.
    """
    usable = []
    for place, task in enumerate(asking.tasks):
        if place in left_out:
            continue
        if any(place in entry.served for entry in entries):
            usable.append(place)
            continue
        told = f"the {split} split has no clip for the task {task.name}, which needs {task.needs}"
        if required:
            msg = f"{told}; add scenes, change data.{split}_fraction, or leave the task out"
            raise EmptySplitError(msg)
        warnings.warn(f"{told}; it is left out there", stacklevel=2)
    return usable


def _part(
    store: ClipStore, entries: tuple[ClipEntry, ...], asking: Asking, place: int, names: tuple[str, int, int]
) -> TaskDataset | TripletDataset:
    task, (split, num_prompts, seed) = asking.tasks[place], names
    if not isinstance(task, Task):
        return triplets_of(store, entries, asking, split, num_prompts, seed)
    serving = [number for number, entry in enumerate(entries) if place in entry.served]
    return TaskDataset(task, StoredClips(store, entries), serving, split, num_prompts, seed, place)


def describe_tasks(datasets: Mapping[str, MixedDataset]) -> list[str]:
    """A line for each task: how many prompts of an epoch of each split it has, about how many clips."""
    told: dict[str, list[str]] = {}
    for split, dataset in datasets.items():
        clips = {
            name: len(part.serving if isinstance(part, TaskDataset) else part.clips) for name, part in dataset.parts
        }
        for name, count in dataset.counts().items():
            told.setdefault(name, []).append(f"{split} {count} prompts of {clips[name]} clips")
    return [f"{name}: {', '.join(splits)}" for name, splits in told.items()]
