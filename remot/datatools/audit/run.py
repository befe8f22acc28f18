"""The audit of prompts that a run would be trained on."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from remot.data.datasets.mixed import MixedDataset
from remot.data.datasets.prompts import TaskDataset
from remot.data.experts import default_experts
from remot.data.prompt_data import PromptData
from remot.data.tasks import MotionContrast, Task
from remot.datatools.audit.checkers import ClipCounts, TaskChecker, checker_of
from remot.datatools.audit.overlap import SplitOverlap, overlap_of
from remot.datatools.audit.report import Audit, TaskFigures
from remot.datatools.audit.tasks.prompt import AskedPrompt
from remot.errors import ConfigError
from remot.seeding import numpy_generator
from remot.structures import Clip

#: Called with what is being done, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]
#: Clips of a split whose refusals are counted, spread over it.
MAX_CLIPS = 200
#: Size of the images in pixels given to the writer of questions. Only the reasoning of triplets depends on it, which is
#: not audited; the true size would take decoding.
_IMAGE_SIZE = (1, 1)


def audit_data(
    data: PromptData,
    num_prompts: int = 2000,
    split: str = "train",
    frames_per_clip: int = 4,
    on_progress: Progress = lambda *_: None,
) -> Audit:
    """Build prompts of all tasks as a run would, and check them and the splits.

    Args:
        data: The data module of the run.
        num_prompts: Prompts to check, from the first one on.
        split: Where to take them from.
        frames_per_clip: Images of each clip to compare between the splits.
        on_progress: Called with what is being done and how far it is.

    Raises:
        ConfigError: If there is no such split or nothing is to be checked.
        DecodeError: If an image cannot be decoded.
    """
    data.require_clips("audit the folder of these prompts instead: remot data audit DIR")
    data.setup()
    if num_prompts < 1 or split not in data.mixed:
        msg = f"{num_prompts} prompts of the {split} split: ask for at least 1 of {', '.join(data.mixed)}"
        raise ConfigError(msg)
    mixed = data.mixed[split]
    checkers: dict[int, TaskChecker] = {part.task_index: checker_of(part.task) for part in mixed.parts}
    for address in range(num_prompts):
        asked = asked_at(mixed, address)
        checkers[mixed.part(address)[0].task_index].add(asked)
        on_progress("checking labels and references", address + 1, num_prompts)
    names = numbered([part.task.name for part in mixed.parts])
    tasks = [
        checkers[part.task_index].figures(name, _clip_counts(part), part.seed)
        for name, part in zip(names, mixed.parts, strict=True)
    ]
    splits = {name: one.clips for name, one in data.mixed.items()}
    return audit_of(tasks, split, compared(data.tasks, splits, frames_per_clip, on_progress))


def asked_at(mixed: MixedDataset, address: int) -> AskedPrompt:
    """The prompt at an address as the audit sees it; decodes nothing unless the task has to look at images."""
    part, within = mixed.part(address)
    clip, plan = part.plan(within)
    question = mixed.named(address, part.question(within, clip, plan, _IMAGE_SIZE))
    return AskedPrompt(
        clip=clip,
        frames=plan.frame_indices,
        question=question,
        task=part.task,
        as_video=plan.as_video,
        transforms=plan.frame_transforms,
        labels=plan.labels,
        negative=plan.negative,
        verdict=plan.verdict,
    )


def compared(
    tasks: Sequence[Task], splits: Mapping[str, Sequence[Clip]], frames_per_clip: int, on_progress: Progress
) -> SplitOverlap:
    """What the splits have in common.

    Args:
        tasks: Their experts decide whether two clips show the same motion; the default ones if no task has any.
        splits: Clips of each split.
        frames_per_clip: Images of each clip to compare.
        on_progress: Called with what is done, how much of it is done and how much there is.
    """
    experts = [expert for task in tasks if isinstance(task, MotionContrast) for expert in task.sampler.experts]
    num_clips = sum(map(len, splits.values()))
    return overlap_of(
        splits,
        experts or default_experts(),
        frames_per_clip,
        lambda done: on_progress("comparing images", done, num_clips),
    )


def audit_of(tasks: Sequence[TaskFigures], split: str, overlap: SplitOverlap) -> Audit:
    """The figures of tasks, with those of the splits.

    Args:
        tasks: What was found of each.
        split: Split of the prompts.
        overlap: What the splits have in common.
    """
    return Audit(split=split, num_prompts=sum(task.num_prompts for task in tasks), tasks=tasks, overlap=overlap)


def numbered(names: Sequence[str]) -> list[str]:
    """Names of tasks, a second one of the same name with a number behind it."""
    return [f"{name} {names[:k].count(name) + 1}" if name in names[:k] else name for k, name in enumerate(names)]


def _clip_counts(part: TaskDataset) -> ClipCounts:
    serving = part.serving
    places = np.unique(np.linspace(0, len(serving) - 1, MAX_CLIPS).astype(int))
    clips = [part.clips[serving[int(k)]] for k in places]
    refusals = part.task.refusals(clips, numpy_generator(part.seed, part.split, "refusals", part.task_index))
    by_count = dict(sorted(refusals.items(), key=lambda one: -one[1]))
    return ClipCounts(len(part.clips), len(serving), by_count, len(clips))
