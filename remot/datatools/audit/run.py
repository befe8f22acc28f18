"""The audit of prompts that a run would be trained on."""

from collections.abc import Callable, Mapping, Sequence

from remot.data.datasets.mixed import MixedDataset
from remot.data.experts import default_experts
from remot.data.prompt_data import PromptData
from remot.data.tasks import MotionContrast, Task
from remot.datatools.audit.checkers import TaskChecker, checker_of
from remot.datatools.audit.overlap import SplitOverlap, overlap_of
from remot.datatools.audit.report import Audit, ClipCounts
from remot.datatools.audit.tasks.prompt import AskedPrompt
from remot.datatools.build.manifest import spread_clips
from remot.errors import ConfigError
from remot.seeding import numpy_generator
from remot.structures import Clip

#: Called with what is being done, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]
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
    figures = []
    for name, part in zip(names, mixed.parts, strict=True):
        clips = spread_clips(part)
        refusals = part.task.refusals(clips, numpy_generator(part.seed, part.split, "refusals", part.task_index))
        by_count = dict(sorted(refusals.items(), key=lambda one: -one[1]))
        counts = ClipCounts(len(part.clips), len(part.serving), by_count, len(clips))
        figures.append(checkers[part.task_index].figures(name, counts, part.seed))
    splits = {name: one.clips for name, one in data.mixed.items()}
    return Audit(split, figures, compared(data.tasks, splits, frames_per_clip, on_progress))


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
    """What the splits have in common; the tasks' experts, or else the default ones, compare the motion of clips."""
    experts = [expert for task in tasks if isinstance(task, MotionContrast) for expert in task.sampler.experts]
    num_clips = sum(map(len, splits.values()))
    return overlap_of(
        splits,
        experts or default_experts(),
        frames_per_clip,
        lambda done: on_progress("comparing images", done, num_clips),
    )


def numbered(names: Sequence[str]) -> list[str]:
    """Names of tasks, a second one of the same name with a number behind it."""
    return [f"{name} {names[:k].count(name) + 1}" if name in names[:k] else name for k, name in enumerate(names)]
