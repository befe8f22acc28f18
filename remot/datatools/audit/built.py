"""The audit of prompts that were written to disk."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from remot.data.media import read_frames
from remot.data.media.images import read_image
from remot.data.media.transforms import show
from remot.data.prompt_data import PromptData
from remot.data.records.folder import RECORDS
from remot.data.records.jsonl import read_prompts
from remot.data.records.parsing import from_record
from remot.data.records.schema import BuiltPrompt
from remot.data.tasks import MotionContrast, Task
from remot.datatools.audit.checkers import TaskChecker, checker_of
from remot.datatools.audit.report import Audit, ClipCounts
from remot.datatools.audit.run import Progress, compared, numbered
from remot.datatools.audit.tasks.prompt import AskedPrompt
from remot.datatools.build.images import image_name
from remot.errors import AnnotationError
from remot.structures import Clip, ImageEdit, MaskOf

#: The split of an audit of a folder.
BUILT = "built"
#: Times are written as JSON, which keeps them to the last digit; other tools may not.
SLACK_SECONDS = 1e-6
#: Prompts whose images are compared with the source.
MAX_COMPARED = 100


@dataclass(frozen=True)
class ImageOnDisk(ImageEdit):
    """Stands for an edit that a line does not describe: the result is the image in a file."""

    file: Path

    def __call__(self, picture: Tensor) -> Tensor:  # noqa: ARG002 - what was decoded does not matter
        """The image in the file."""
        return read_image(self.file)


def audit_built(
    folder: Path,
    data: PromptData,
    num_prompts: int | None = None,
    frames_per_clip: int = 4,
    on_progress: Progress = lambda *_: None,
) -> Audit:
    """Check built prompts against the annotations they were built from.

    Args:
        folder: What ``remot data build`` wrote.
        data: The data module they were built with; its clips and the settings of its tasks are used.
        num_prompts: Prompts to check, from the first one on; None for all.
        frames_per_clip: Images of each clip to compare between the splits.
        on_progress: Called with what is being done and how far it is.

    Raises:
        AnnotationError: If a line is malformed, or is about a clip or task that is not there.
        DecodeError: If an image cannot be decoded.
    """
    data.require_clips("their prompts cannot be checked")
    prompts = read_built(folder, num_prompts)
    data.setup()
    clips = {clip.clip_id: clip for mixed in data.mixed.values() for clip in mixed.clips}
    checkers: dict[int, TaskChecker] = {}
    facts: list[str] = []
    well_named = []
    for done, prompt in enumerate(prompts, 1):
        asked = asked_of(folder, prompt, clips, data.tasks)
        checkers.setdefault(prompt.task_index, checker_of(asked.task)).add(asked)
        faults = wrong_facts(prompt, asked)
        facts += [f"{prompt.question.prompt_id}: {fault}" for fault in faults]
        well_named += [] if faults else [prompt]
        on_progress("checking labels and references", done, len(prompts))
    images, num_images = _compare_images(folder, well_named, clips, on_progress)
    places = sorted(checkers)
    names = numbered([data.tasks[k].name for k in places])
    figures = [
        checkers[k].figures(
            name,
            ClipCounts(len(clips), sum(data.tasks[k].survey(clip) is not None for clip in clips.values())),
            data.options.seed,
        )
        for name, k in zip(names, places, strict=True)
    ]
    used: dict[str, dict[str, Clip]] = defaultdict(dict)
    for prompt in prompts:
        used[prompt.split][prompt.clip_id] = clips[prompt.clip_id]
    splits = {split: list(of_split.values()) for split, of_split in used.items()}
    overlap = compared(data.tasks, splits, frames_per_clip, on_progress)
    return Audit(BUILT, figures, overlap, facts, images, num_images)


def read_built(folder: Path, num_prompts: int | None = None) -> list[BuiltPrompt]:
    """The prompts in a folder; an AnnotationError if there are none, an id occurs twice, or a line is malformed."""
    return read_prompts(folder / RECORDS, from_record, num_prompts)


def asked_of(folder: Path, prompt: BuiltPrompt, clips: Mapping[str, Clip], tasks: Sequence[Task]) -> AskedPrompt:
    """A built prompt with its clip and task; an AnnotationError if one, a frame or a masked object is missing."""
    where = f"{folder / RECORDS}: {prompt.question.prompt_id}"
    clip = clips.get(prompt.clip_id)
    if clip is None or any(frame.index >= clip.num_frames for frame in prompt.frames):
        msg = f"{where}: clip {prompt.clip_id} or one of its frames is not in the source; give its folder as --root"
        raise AnnotationError(msg)
    task = tasks[prompt.task_index] if prompt.task_index < len(tasks) else None
    if task is None or task.name != prompt.question.task:
        name = prompt.question.task
        msg = f"{where}: the settings have no task {name!r:.60} as number {prompt.task_index} of data.tasks"
        raise AnnotationError(msg)
    masked = [frame.transform for frame in prompt.frames if isinstance(frame.transform, MaskOf)]
    if unknown := [one.subject for one in masked if one.subject not in clip.objects]:
        msg = f"{where}: clip {prompt.clip_id} has no object {unknown[0]!r:.80} to show the mask of"
        raise AnnotationError(msg)
    if isinstance(task, MotionContrast) and not prompt.labels:
        msg = f"{where}: a motion-contrast prompt without labels"
        raise AnnotationError(msg, reason="missing")
    return AskedPrompt(
        clip=clip,
        frames=tuple(frame.index for frame in prompt.frames),
        question=prompt.question,
        task=task,
        as_video=prompt.as_video,
        transforms=tuple(
            ImageOnDisk(folder / name) if frame.edited else frame.transform
            for name, frame in zip(prompt.images, prompt.frames, strict=True)
        ),
        labels=prompt.labels,
        negative=prompt.negative,
    )


def wrong_facts(prompt: BuiltPrompt, asked: AskedPrompt) -> list[str]:
    """Facts about clip and images that a prompt states wrongly; labels and answers are checked elsewhere."""
    clip, question, faults = asked.clip, prompt.question, []
    if (question.scene_id, question.domain) != (clip.scene_id, clip.domain):
        faults.append(f"scene {question.scene_id} and domain {question.domain} are not those of clip {clip.clip_id}")
    if isinstance(asked.task, MotionContrast):
        known = {negative.name for negative in asked.task.sampler.negatives}
        faults += [] if prompt.negative in known else [f"the negative {prompt.negative} is none of {', '.join(known)}"]
    faults += [
        f"frame {frame.index} is not at {frame.pts_seconds} s"
        for frame in prompt.frames
        if abs(frame.pts_seconds - clip.pts_seconds[frame.index]) > SLACK_SECONDS
    ]
    names = [image_name(clip.clip_id, frame.index, frame.transform, question.prompt_id) for frame in prompt.frames]
    if not prompt.edited and list(prompt.images) != names:
        faults.append(f"the images {', '.join(prompt.images)} are not named after their frames")
    return faults


def _compare_images(
    folder: Path, prompts: Sequence[BuiltPrompt], clips: Mapping[str, Clip], on_progress: Progress
) -> tuple[list[str], int]:
    """Images of prompts spread over all that are not what the source shows, and how many were compared.

    Edited images are left out: there is nothing to compare them with.
    """
    comparable = [one for one in prompts if not one.edited]
    places = np.unique(np.linspace(0, len(comparable) - 1, MAX_COMPARED).astype(int)).tolist() if comparable else []
    faults: list[str] = []
    count = 0
    for done, k in enumerate(places, 1):
        faults += wrong_images(folder, comparable[k], clips[comparable[k].clip_id])
        count += len(comparable[k].images)
        on_progress("comparing built images", done, len(places))
    return faults, count


def wrong_images(folder: Path, prompt: BuiltPrompt, clip: Clip) -> list[str]:
    """Images of a prompt on disk that are not what the source shows, one sentence each."""
    decoded = read_frames(clip, [frame.index for frame in prompt.frames])
    return [
        f"{prompt.question.prompt_id}: {name} is not frame {frame.index} of clip {clip.clip_id}"
        for name, frame, image in zip(prompt.images, prompt.frames, decoded, strict=True)
        if not torch.equal(read_image(folder / name), show(image, frame.transform, clip, frame.index))
    ]
