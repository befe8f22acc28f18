"""From settings to the prompts of each split: made from clips, or read from disk."""

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from remot.data.clips.catalogue import ClipEntry, ClipStore, StoredClips
from remot.data.clips.splits import split_by_scene
from remot.data.datasets.mixed import MixedDataset
from remot.data.datasets.prompts import TaskDataset
from remot.data.datasets.recorded import RecordDataset
from remot.data.records.reading import RecordSettings, read_recorded
from remot.data.tasks.base import Task
from remot.errors import ConfigError, EmptySplitError

OnUnservedTask = Literal["raise", "skip"]


@dataclass(frozen=True)
class SplitSettings:
    """How large the splits are and what their random streams are called.

    Args:
        val_fraction: Share to validate on; 0 for none.
        test_fraction: Share to test on; 0 for none.
        num_prompts: Prompts of each split.
        seed: Names the training prompts.
        held_out_seed: Names the division and the other prompts.
        required: Refuse to leave a wanted split empty.
        surveyed_ns: When clips or prompts were read, in ns since 1970; files that change later are refused.
    """

    val_fraction: float
    test_fraction: float
    num_prompts: dict[str, int]
    seed: int
    held_out_seed: int
    required: bool
    surveyed_ns: int | None = None

    def seed_of(self, split: str) -> int:
        """The seed of one split."""
        return self.seed if split == "train" else self.held_out_seed


def datasets_of_clips(
    store: ClipStore, entries: Sequence[ClipEntry], tasks: Sequence[Task], settings: SplitSettings
) -> dict[str, MixedDataset]:
    """Prompts of all tasks about clips, divided by scenes.

    Args:
        store: Reads the clips.
        entries: Which ones to use, surveyed by ``tasks``.
        tasks: What to ask. Those that no clip serves are left out, see :func:`require_served`.
        settings: Sizes and seeds.

    Raises:
        EmptySplitError: If a wanted split has no clip, or none for one of the tasks.
    """
    datasets, left_out = {}, unserved_tasks(store.root, entries, tasks)
    for split, part in entries_by_split(entries, tasks, settings).items():
        clips, size, seed = StoredClips(store, part), settings.num_prompts[split], settings.seed_of(split)
        parts = [
            TaskDataset(
                tasks[k], clips, [entry.surveys[k] for entry in part], split, size, seed, k, settings.surveyed_ns
            )
            for k in _usable(part, tasks, split, left_out, required=settings.required or split == "train")
        ]
        if parts:
            datasets[split] = MixedDataset(parts, split, size, seed)
    return datasets


def entries_by_split(
    entries: Sequence[ClipEntry], tasks: Sequence[Task], settings: SplitSettings
) -> dict[str, tuple[ClipEntry, ...]]:
    """The clips of each split that has any, divided by scenes.

    Raises:
        EmptySplitError: If a wanted split has no clip.
    """

    def stratum(entry: ClipEntry) -> tuple[object, ...]:
        """Domain and what the tasks can ask, so that every split asks about the same things."""
        return entry.domain, *(task.stratum(survey) for task, survey in zip(tasks, entry.surveys, strict=True))

    fractions = settings.val_fraction, settings.test_fraction
    splits = split_by_scene(entries, *fractions, settings.held_out_seed, stratum, required=settings.required)
    parts = {"train": splits.train, "val": splits.val, "test": splits.test}
    return {name: part for name, part in parts.items() if part}


def unserved_tasks(root: Path, entries: Sequence[ClipEntry], tasks: Sequence[Task]) -> dict[int, str]:
    """For each task, by its position, that can ask about none of the clips, a sentence with the reason."""
    none = f"can ask about none of the {len(entries)} clips"
    return {
        k: f"{root}: the task {task.name} {none}: it needs images and {task.needs}"
        for k, task in enumerate(tasks)
        if all(entry.surveys[k] is None for entry in entries)
    }


def require_served(
    root: Path, entries: Sequence[ClipEntry], tasks: Sequence[Task], on_unserved: OnUnservedTask
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
        more = f" (and {len(unserved) - 1} more)" if len(unserved) > 1 else ""
        advice = "add such annotations, leave the task out of data.tasks, or set data.options.on_unserved_task: skip"
        msg = f"{next(iter(unserved.values()))}{more}; {advice}"
        raise ConfigError(msg)
    for reason in unserved.values():
        warnings.warn(f"{reason}; it is left out", stacklevel=2)
    return [tasks[k].name for k in unserved]


def _usable(
    entries: Sequence[ClipEntry], tasks: Sequence[Task], split: str, left_out: Collection[int], *, required: bool
) -> list[int]:
    """Positions of the tasks that have clips in a split, without those that are left out."""
    usable = []
    for k, task in enumerate(tasks):
        if k in left_out:
            continue
        if any(entry.surveys[k] is not None for entry in entries):
            usable.append(k)
            continue
        problem = f"the {split} split has no clip for the task {task.name}, which needs {task.needs}"
        if required:
            msg = f"{problem}; add scenes, change data.{split}_fraction, or leave the task out"
            raise EmptySplitError(msg)
        warnings.warn(f"{problem}; it is left out there", stacklevel=2)
    return usable


def describe_tasks(datasets: Mapping[str, MixedDataset]) -> list[str]:
    """A line for each task: how many prompts of an epoch of each split it has, about how many clips."""
    lines: dict[str, list[str]] = {}
    for split, dataset in datasets.items():
        clips = {part.task.name: len(part.serving) for part in dataset.parts}
        for name, count in dataset.counts().items():
            lines.setdefault(name, []).append(f"{split} {count} prompts of {clips[name]} clips")
    return [f"{name}: {', '.join(splits)}" for name, splits in lines.items()]


def datasets_of_records(records: Path, shown: RecordSettings, settings: SplitSettings) -> dict[str, RecordDataset]:
    """Finished prompts; all of them for training, the first ones of the other splits.

    Args:
        records: Folder or file.
        shown: How the prompts are shown and divided.
        settings: Sizes and seeds.

    Raises:
        AnnotationError: If a line is malformed.
        DecodeError: If an image or video is missing.
        EmptySplitError: If a wanted split has no prompt.
    """
    fractions = {"val": settings.val_fraction, "test": settings.test_fraction}
    splits = read_recorded(records, replace(shown, fractions=fractions, seed=settings.held_out_seed))
    for name, fraction in fractions.items():
        if fraction == 0:
            splits.pop(name, None)
        elif settings.required and name not in splits:
            msg = (
                f"{records} holds no prompt of the {name} split; add scenes, or set data.{name}_fraction to 0 to go on "
                "without"
            )
            raise EmptySplitError(msg)
    return {
        name: RecordDataset(
            prompts if name == "train" else prompts[: settings.num_prompts[name]],
            name,
            settings.seed_of(name),
            shuffled=name == "train",
            surveyed_ns=settings.surveyed_ns,
        )
        for name, prompts in splits.items()
    }
