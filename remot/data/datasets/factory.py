"""From settings to the prompts of each split: made from clips, or read from disk."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from remot.data.catalogue import ClipEntry, ClipStore, StoredClips
from remot.data.datasets.mixed import MixedDataset
from remot.data.datasets.prompts import TripletDataset
from remot.data.datasets.recorded import RecordDataset
from remot.data.datasets.task_prompts import TaskDataset
from remot.data.questions import QuestionWriter
from remot.data.recorded import read_recorded
from remot.data.splits import split_by_scene
from remot.data.tasks.base import Task
from remot.data.tasks.motion_contrast.balancing import BalanceBy
from remot.data.tasks.motion_contrast.sampler import TripletSampler
from remot.data.tasks.motion_contrast.task import MotionContrast
from remot.errors import ConfigError, EmptySplitError


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
    """

    val_fraction: float
    test_fraction: float
    num_prompts: dict[str, int]
    seed: int
    held_out_seed: int
    required: bool

    def seed_of(self, split: str) -> int:
        """The seed of one split."""
        return self.seed if split == "train" else self.held_out_seed


@dataclass(frozen=True)
class Asking:
    """What is asked about clips.

    Args:
        sampler: Finds triplets.
        writer: Makes questions of them.
        balance_by: Over what answers of triplets are balanced.
        tasks: The tasks that take turns; empty for triplets alone.
    """

    sampler: TripletSampler
    writer: QuestionWriter
    balance_by: BalanceBy = "attribute"
    tasks: tuple[Task | MotionContrast, ...] = ()


def entries_by_split(
    entries: Sequence[ClipEntry], asking: Asking, settings: SplitSettings
) -> dict[str, tuple[ClipEntry, ...]]:
    """The clips of each split that has any, divided by scenes.

    Raises:
        EmptySplitError: If a wanted split has no clip.
    """

    def stratum(entry: ClipEntry) -> tuple[str, ...]:
        """Domain, askable attributes and tasks, so that every split asks about the same things."""
        attributes = {asking.sampler.experts[one.expert_index].attribute.name for one in entry.askables}
        return entry.domain, *sorted(attributes), *map(str, entry.served)

    fractions = settings.val_fraction, settings.test_fraction
    splits = split_by_scene(entries, *fractions, settings.held_out_seed, stratum, required=settings.required)
    parts = {"train": splits.train, "val": splits.val, "test": splits.test}
    return {name: part for name, part in parts.items() if part}


def datasets_of_clips(
    store: ClipStore, entries: Sequence[ClipEntry], asking: Asking, settings: SplitSettings
) -> dict[str, TripletDataset]:
    """Triplets of clips, divided by scenes.

    Args:
        store: Reads the clips.
        entries: Which ones to use.
        asking: How to ask about them.
        settings: Sizes and seeds.

    Raises:
        EmptySplitError: If a wanted split has no clip or no triplet.
    """
    parts = entries_by_split(entries, asking, settings)
    return {
        name: triplets_of(store, part, asking, name, settings.num_prompts[name], settings.seed_of(name))
        for name, part in parts.items()
    }


def triplets_of(
    store: ClipStore, entries: tuple[ClipEntry, ...], asking: Asking, split: str, num_prompts: int, seed: int
) -> TripletDataset:
    """The triplets of one split.

    Raises:
        EmptySplitError: If its clips hold none.
    """
    clips, askables = StoredClips(store, entries), [entry.askables for entry in entries]
    return TripletDataset(clips, asking.sampler, asking.writer, split, num_prompts, seed, asking.balance_by, askables)


def datasets_of_records(records: Path, images_root: Path | None, settings: SplitSettings) -> dict[str, RecordDataset]:
    """Finished prompts; all of them for training, the first ones of the other splits.

    Raises:
        AnnotationError: If a line is malformed.
        DecodeError: If a picture is missing.
        EmptySplitError: If a wanted split has no prompt.
    """
    fractions = {"val": settings.val_fraction, "test": settings.test_fraction}
    splits = read_recorded(records, images_root, fractions, settings.held_out_seed)
    for name, fraction in fractions.items():
        if fraction == 0:
            splits.pop(name, None)
        elif settings.required and name not in splits:
            msg = f"{records} holds no prompt of the {name} split; set data.{name}_fraction to 0 to go on without"
            raise EmptySplitError(msg)
    return {
        name: RecordDataset(
            prompts if name == "train" else prompts[: settings.num_prompts[name]],
            name,
            settings.seed_of(name),
            shuffled=name == "train",
        )
        for name, prompts in splits.items()
    }


def datasets_of_tasks(
    store: ClipStore, entries: Sequence[ClipEntry], asking: Asking, settings: SplitSettings
) -> dict[str, MixedDataset]:
    """The tasks' prompts about clips, divided by scenes.

    Args:
        store: Reads the clips.
        entries: Which ones to use.
        asking: The tasks, and how triplets are asked about if these are among them.
        settings: Sizes and seeds.

    Raises:
        ConfigError: If no clip at all has what a task needs.
        EmptySplitError: If a wanted split has no clip, or none for one of the tasks.
    """
    _require_served(store, entries, asking)
    datasets = {}
    for split, part in entries_by_split(entries, asking, settings).items():
        places = _usable(part, asking, split, required=settings.required or split == "train")
        size, seed = settings.num_prompts[split], settings.seed_of(split)
        parts = [(asking.tasks[k].name, _part(store, part, asking, k, (split, size, seed))) for k in places]
        if parts:
            datasets[split] = MixedDataset(parts, split, size, seed)
    return datasets


def _require_served(store: ClipStore, entries: Sequence[ClipEntry], asking: Asking) -> None:
    for place, task in enumerate(asking.tasks):
        if not any(place in entry.served for entry in entries):
            msg = (
                f"{store.root}: the task {task.name} can ask about none of the {len(entries)} clips: it needs "
                f"pictures and {task.needs}; add such annotations or leave the task out of data.tasks"
            )
            raise ConfigError(msg)


def _usable(entries: Sequence[ClipEntry], asking: Asking, split: str, *, required: bool) -> list[int]:
    """Numbers of the tasks that have clips in a split.

    Raises:
        EmptySplitError: If one has none and it is required.
    """
    usable = []
    for place, task in enumerate(asking.tasks):
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
