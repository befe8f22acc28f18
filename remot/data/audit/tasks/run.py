"""The audit of prompts that a run with tasks would be trained on."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from remot.data.audit.blind import score_blind
from remot.data.audit.overlap import SplitOverlap
from remot.data.audit.report import describe
from remot.data.audit.run import Findings, compared, findings_of
from remot.data.audit.tasks.checks import is_checked, wrong_references
from remot.data.audit.tasks.guessers import Guessed
from remot.data.audit.tasks.guessing import Guesses, score_guesses
from remot.data.audit.tasks.prompt import AskedPrompt
from remot.data.audit.tasks.report import TaskAudit, TaskFigures
from remot.data.datamodule import TripletDataModule
from remot.data.dataset import TripletDataset
from remot.data.tasks.base import Task
from remot.data.tasks.dataset import TaskDataset
from remot.data.tasks.mixed import MixedDataset
from remot.errors import ConfigError
from remot.seeding import numpy_generator
from remot.structures import Clip, Reference

#: Told what is being done, how much of it is done, and how much there is.
Progress = Callable[[str, int, int], None]
#: Clips of a split whose refusals are counted, spread over it.
MAX_CLIPS = 200
#: Answers that are listed.
MAX_ANSWERS = 16


@dataclass
class TaskFindings:
    """What the prompts of one task show, gathered one by one.

    Args:
        task: The task.
    """

    task: Task
    prompts: list[Guessed] = field(default_factory=list)
    verdicts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    num_wrong: int = 0

    def take(self, asked: AskedPrompt, verdict: str = "") -> None:
        """Check one prompt.

        Raises:
            DecodeError: If a picture is needed and cannot be decoded.
        """
        times = asked.clip.pts_seconds
        seconds = max(float(times[asked.frames[-1]] - times[0]), 1e-3)
        self.prompts.append(Guessed(asked.question, seconds, self.task.answers))
        self.verdicts[_answer_of(self.prompts[-1], verdict)] += 1
        if is_checked(self.task):
            faults = wrong_references(asked)
            self.wrong += faults
            self.num_wrong += bool(faults)


def _answer_of(prompt: Guessed, verdict: str) -> str:
    """The right answer in words, "" for what is no short text."""
    reference = prompt.reference
    if prompt.options:
        return verdict or prompt.options.get(reference.answer or "", "")
    if reference.number is not None:
        return f"{reference.number:g}"
    return (reference.answer or "") if not (reference.intervals or reference.boxes) else ""


def audit_tasks(
    data: TripletDataModule,
    num_prompts: int = 2000,
    split: str = "train",
    frames_per_clip: int = 4,
    progress: Progress = lambda *_: None,
) -> TaskAudit:
    """Build prompts of all tasks as a run would, and check them and the splits.

    Args:
        data: The data module of the run.
        num_prompts: Prompts to check, from the first one on.
        split: Where to take them from.
        frames_per_clip: Pictures of each clip to compare between the splits.
        progress: Told what is being done and how far it is.

    Raises:
        ConfigError: If there is no such split or nothing is to be checked.
        DecodeError: If a picture cannot be decoded.
    """
    data.require_asked("audit the folder of these prompts instead: remot data audit DIR")
    data.setup()
    if num_prompts < 1 or split not in data.mixed:
        msg = f"{num_prompts} prompts of the {split} split: ask for at least 1 of {', '.join(data.mixed)}"
        raise ConfigError(msg)
    mixed = data.mixed[split]
    tasks = _figures(mixed, num_prompts, progress)
    splits = {name: _clips(one) for name, one in data.mixed.items()}
    return audit_of_tasks(tasks, split, compared(data, splits, frames_per_clip, progress))


def audit_of_tasks(tasks: Sequence[TaskFigures], split: str, overlap: SplitOverlap) -> TaskAudit:
    """The figures of tasks, with those of the splits.

    Args:
        tasks: What was found of each.
        split: Split of the prompts.
        overlap: What the splits have in common.
    """
    return TaskAudit(
        split=split,
        num_prompts=sum(task.num_prompts for task in tasks),
        tasks=tasks,
        overlap=overlap,
    )


def _clips(mixed: MixedDataset) -> Sequence[Clip]:
    """The clips of a split, which all of its tasks share."""
    return mixed.parts[0][1].clips


def _figures(mixed: MixedDataset, num_prompts: int, progress: Progress) -> list[TaskFigures]:
    addresses: list[list[tuple[int, int]]] = [[] for _ in mixed.parts]
    for address in range(num_prompts):
        number, within = mixed.place(address)
        addresses[number].append((address, within))
    found, done = [], 0
    for number, (name, part) in enumerate(mixed.parts):

        def told(one: int, before: int = done) -> None:
            progress("checking references", before + one, num_prompts)

        called = numbered(name, [one for one, _ in mixed.parts[:number]])
        if isinstance(part, TaskDataset):
            found.append(_figures_of(called, mixed, part, addresses[number], number, told))
        else:
            found.append(_figures_of_triplets(called, part, addresses[number], told))
        done += len(addresses[number])
    return found


def numbered(name: str, before: Sequence[str]) -> str:
    """The name of a task, with a number behind it if the tasks before it have it, too."""
    return f"{name} {before.count(name) + 1}" if name in before else name


def _figures_of(
    name: str,
    mixed: MixedDataset,
    part: TaskDataset,
    addresses: Sequence[tuple[int, int]],
    number: int,
    told: Callable[[int], None],
) -> TaskFigures:
    found = TaskFindings(part.task)
    for done, (address, within) in enumerate(addresses, 1):
        clip, plan = part.plan(within)
        question = replace(part.question(within, clip, plan), prompt_id=mixed.prompt_id(address))
        asked = AskedPrompt(clip, plan.frame_indices, question, part.task, plan.as_video, plan.edit)
        found.take(asked, plan.verdict)
        told(done)
    places = np.unique(np.linspace(0, len(part.serving) - 1, MAX_CLIPS).astype(int))
    looked_at = [part.clips[part.serving[int(k)]] for k in places]
    refusals = part.task.refusals(looked_at, numpy_generator(part.seed, part.split, "refusals", number))
    return figures_of(name, found, len(part.clips), len(part.serving), refusals, len(looked_at), part.seed)


def figures_of(
    name: str,
    found: TaskFindings,
    num_clips: int,
    num_serving: int,
    refusals: Mapping[str, int],
    num_looked_at: int,
    seed: int,
) -> TaskFigures:
    """The figures of one task.

    Args:
        name: What it is called.
        found: What its prompts show.
        num_clips: Clips of the split.
        num_serving: Those that have what it needs.
        refusals: How often something is asked or refused.
        num_looked_at: Clips that these are of.
        seed: Names the halves that guesses are fitted to.
    """
    answers = {answer: count for answer, count in found.verdicts.most_common(MAX_ANSWERS) if answer}
    return TaskFigures(
        name=name,
        num_prompts=len(found.prompts),
        num_checked=len(found.prompts) * is_checked(found.task),
        wrong=found.wrong,
        num_wrong=found.num_wrong,
        needs=found.task.needs,
        num_clips=num_clips,
        num_serving=num_serving,
        refusals=dict(sorted(refusals.items(), key=lambda one: -one[1])),
        num_looked_at=num_looked_at,
        answers=answers,
        quantiles=_quantiles([prompt.reference for prompt in found.prompts]),
        guesses=score_guesses(found.prompts, seed) if len(found.prompts) > 1 else [],
    )


def _quantiles(references: Sequence[Reference]) -> tuple[float, ...] | None:
    """Spread of numbers, else of the lengths of times, else of the areas of boxes."""
    values = [one.number for one in references if one.number is not None]
    values = values or [end - start for one in references for start, end in one.intervals or ()]
    values = values or [(box[2] - box[0]) * (box[3] - box[1]) for one in references for box in one.boxes or ()]
    return tuple(float(one) for one in np.quantile(values, (0, 0.25, 0.5, 0.75, 1))) if values else None


def _figures_of_triplets(
    name: str,
    part: TripletDataset,
    addresses: Sequence[tuple[int, int]],
    told: Callable[[int], None],
) -> TaskFigures:
    """Triplets among the tasks: labels and letters as in the audit of triplets alone."""
    found = findings_of(part, [within for _, within in addresses], told)
    return figures_of_triplets(name, found, len(part.clips), part.seed)


def figures_of_triplets(name: str, found: Findings, num_clips: int, seed: int) -> TaskFigures:
    """The figures of triplets that are one task among others.

    Args:
        name: What they are called.
        found: What they show.
        num_clips: Clips of the split.
        seed: Names the halves that guesses are fitted to.
    """
    wrong = [*map(describe, found.wrong), *found.letters, *found.impossible]
    blind = score_blind(found.questions, seed)
    guesses = (
        []
        if blind is None
        else [Guesses("right", blind.by_model, blind.standard_errors, blind.halved_by, blind.chance)]
    )
    return TaskFigures(
        name=name,
        num_prompts=len(found.questions),
        num_checked=len(found.questions),
        wrong=wrong,
        num_wrong=found.num_wrong,
        needs="tracks in which something clearly moves",
        num_clips=num_clips,
        num_serving=num_clips,
        refusals={},
        num_looked_at=0,
        answers=dict(found.tuples.most_common(MAX_ANSWERS)),
        quantiles=None,
        guesses=guesses,
    )
