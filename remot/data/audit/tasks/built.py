"""The audit of prompts of tasks that were written to disk."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from remot.data.audit.built import (
    BUILT,
    SLACK_SECONDS,
    clips_by_split,
    spread,
    triplet_of,
    wrong_facts,
    wrong_pictures,
)
from remot.data.audit.run import Findings, compared, limits_of
from remot.data.audit.tasks.prompt import AskedPrompt
from remot.data.audit.tasks.report import TaskAudit, TaskFigures
from remot.data.audit.tasks.run import (
    Progress,
    TaskFindings,
    audit_of_tasks,
    figures_of,
    figures_of_triplets,
    numbered,
)
from remot.data.built_file import read_prompts
from remot.data.built_folder import TASK_RECORDS
from remot.data.built_frames import frame_names
from remot.data.built_lines import BuiltLine, from_built_record
from remot.data.datamodule import TripletDataModule
from remot.data.picture_files import read_picture
from remot.data.records import BuiltPrompt
from remot.data.task_records import BuiltTaskPrompt
from remot.data.tasks.base import PictureEdit, Task
from remot.data.video import read_frames
from remot.errors import AnnotationError
from remot.structures import Clip, Triplet, task_of


@dataclass(frozen=True)
class PictureOnDisk(PictureEdit):
    """Whatever was done to a picture, it is the one in a file.

    Args:
        file: The picture.
    """

    file: Path

    def __call__(self, picture: Tensor) -> Tensor:  # noqa: ARG002 - what was decoded does not matter
        """The picture in the file.

        Raises:
            DecodeError: If it cannot be read.
        """
        return read_picture(self.file)


def read_built_tasks(folder: Path, num_prompts: int | None = None) -> list[BuiltLine]:
    """The prompts in a folder, of whichever kind each line is.

    Raises:
        AnnotationError: If there is none, an id stands there twice, or a line is malformed.
    """
    return read_prompts(folder / TASK_RECORDS, from_built_record, num_prompts)


def audit_built_tasks(
    folder: Path,
    data: TripletDataModule,
    num_prompts: int | None = None,
    frames_per_clip: int = 4,
    progress: Progress = lambda *_: None,
) -> TaskAudit:
    """Check built prompts of tasks against the annotations they were built from.

    Args:
        folder: What ``remot data build`` wrote.
        data: The data module they were built with; its clips and the settings of its tasks are used.
        num_prompts: Prompts to check, from the first one on; None for all.
        frames_per_clip: Pictures of each clip to compare between the splits.
        progress: Told what is being done and how far it is.

    Raises:
        AnnotationError: If a line is malformed, or is about a clip or task that is not there.
        DecodeError: If a picture cannot be decoded.
    """
    data.require_asked("their prompts cannot be checked")
    prompts = read_built_tasks(folder, num_prompts)
    data.setup()
    clips = {clip.clip_id: clip for mixed in data.mixed.values() for clip in mixed.parts[0][1].clips}
    found: dict[int, TaskFindings | Findings] = {}
    facts: list[str] = []
    for done, prompt in enumerate(prompts, 1):
        if isinstance(prompt, BuiltPrompt):
            facts += _take_triplet(found, prompt, triplet_of(prompt, clips, folder / TASK_RECORDS), data)
        else:
            facts += _take(found, prompt, asked_of(folder, prompt, clips, data))
        progress("checking references", done, len(prompts))
    pictures, num_pictures = _compare(folder, prompts, clips, progress)
    figures = list(_figures(found, list(clips.values()), data))
    overlap = compared(data, clips_by_split(prompts, clips), frames_per_clip, progress)
    audit = audit_of_tasks(figures, BUILT, overlap)
    return audit.with_folder(facts, pictures, num_pictures)


def _take(found: dict[int, TaskFindings | Findings], prompt: BuiltTaskPrompt, asked: AskedPrompt) -> list[str]:
    """Check a prompt; gives what it says about its clip that is not so."""
    of_task = found.setdefault(prompt.place, TaskFindings(asked.task))
    assert isinstance(of_task, TaskFindings)  # of the number is a task, as `asked_of` has seen to
    of_task.take(asked)
    return _wrong_facts(prompt, asked.clip)


def _take_triplet(
    found: dict[int, TaskFindings | Findings], prompt: BuiltPrompt, triplet: Triplet, data: TripletDataModule
) -> list[str]:
    """The same of a triplet.

    Raises:
        AnnotationError: If triplets are none of the tasks.
    """
    name, prompt_id = task_of(prompt.question), prompt.question.prompt_id
    places = [k for k, task in enumerate(data.tasks) if not isinstance(task, Task) and task.name == name]
    if not places:
        msg = f"{prompt_id}: the settings have no task {name!r:.60} of triplets in data.tasks"
        raise AnnotationError(msg)
    of_triplets = found.setdefault(places[0], Findings(limits_of(data.sampler.experts), data.writer.wordings))
    assert isinstance(of_triplets, Findings)
    of_triplets.take(triplet, prompt.question)
    return [f"{prompt_id}: {fault}" for fault in wrong_facts(prompt, triplet, data)]


def asked_of(folder: Path, prompt: BuiltTaskPrompt, clips: Mapping[str, Clip], data: TripletDataModule) -> AskedPrompt:
    """A built prompt with its clip and task.

    Raises:
        AnnotationError: If one of them, or a frame, is not there.
    """
    where = f"{folder / TASK_RECORDS}: {prompt.question.prompt_id}"
    clip = clips.get(prompt.clip_id)
    if clip is None or prompt.frames[-1] >= clip.num_frames:
        msg = f"{where}: clip {prompt.clip_id} or one of its frames is not in the source; give its folder as --root"
        raise AnnotationError(msg)
    task = data.tasks[prompt.place] if prompt.place < len(data.tasks) else None
    if not isinstance(task, Task) or task.name != prompt.question.task:
        msg = f"{where}: the settings have no task {prompt.question.task!r:.60} as number {prompt.place} of data.tasks"
        raise AnnotationError(msg)
    edit = PictureOnDisk(folder / prompt.images[0]) if prompt.edited else None
    return AskedPrompt(clip, prompt.frames, prompt.question, task, prompt.as_video, edit)


def _figures(
    found: Mapping[int, TaskFindings | Findings], clips: Sequence[Clip], data: TripletDataModule
) -> Iterator[TaskFigures]:
    names: list[str] = []
    for place in sorted(found):
        of_task, name = found[place], data.tasks[place].name
        called = numbered(name, names)
        names.append(name)
        if isinstance(of_task, Findings):
            yield figures_of_triplets(called, of_task, len(clips), data.seed)
        else:
            serving = sum(clip.media is not None and of_task.task.serves(clip) for clip in clips)
            yield figures_of(called, of_task, len(clips), serving, {}, 0, data.seed)


def _wrong_facts(prompt: BuiltTaskPrompt, clip: Clip) -> list[str]:
    """What a prompt says about its clip and pictures that is not so."""
    question, faults = prompt.question, []
    if (question.scene_id, question.domain) != (clip.scene_id, clip.domain):
        faults.append(f"scene {question.scene_id} and domain {question.domain} are not those of clip {clip.clip_id}")
    faults += [
        f"frame {frame} is not at {seconds} s"
        for frame, seconds in zip(prompt.frames, prompt.pts_seconds, strict=True)
        if abs(seconds - clip.pts_seconds[frame]) > SLACK_SECONDS
    ]
    if not prompt.edited and prompt.images != frame_names(clip.clip_id, prompt.frames, None, question.prompt_id):
        faults.append(f"the pictures {', '.join(prompt.images)} are not named after their frames")
    return [f"{question.prompt_id}: {fault}" for fault in faults]


def _compare(
    folder: Path, prompts: Sequence[BuiltLine], clips: Mapping[str, Clip], progress: Progress
) -> tuple[list[str], int]:
    """Pictures of prompts spread over all that are not what the source shows, and how many were compared.

    What was changed on purpose is left out: there is nothing to compare it with.
    """
    faults: list[str] = []
    count, chosen = 0, spread([one for one in prompts if isinstance(one, BuiltPrompt) or not one.edited])
    for done, prompt in enumerate(chosen, 1):
        clip = clips[prompt.clip_id]
        if isinstance(prompt, BuiltPrompt):
            faults += wrong_pictures(folder, prompt, clip)
        else:
            faults += _wrong_frames(folder, prompt, clip)
        count += len(prompt.images)
        progress("comparing built pictures", done, len(chosen))
    return faults, count


def _wrong_frames(folder: Path, prompt: BuiltTaskPrompt, clip: Clip) -> list[str]:
    """Pictures of a prompt that are not what the source shows, one sentence each."""
    decoded = read_frames(clip, prompt.frames)
    return [
        f"{prompt.question.prompt_id}: {name} is not frame {frame} of clip {prompt.clip_id}"
        for name, frame, picture in zip(prompt.images, prompt.frames, decoded, strict=True)
        if not torch.equal(read_picture(folder / name), picture)
    ]
