"""The audit of prompts that were written to disk."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from remot.data.audit.report import Audit
from remot.data.audit.run import Findings, Progress, audit_of, compared, limits_of
from remot.data.built_file import Built, BuiltT, read_prompts
from remot.data.built_folder import RECORDS
from remot.data.built_pictures import names_of
from remot.data.datamodule import TripletDataModule
from remot.data.picture_files import read_picture
from remot.data.record_lines import from_record
from remot.data.records import BuiltPrompt
from remot.data.shown import show
from remot.data.video import read_frames
from remot.errors import AnnotationError
from remot.structures import Clip, MaskOf, Triplet

#: What the audit calls prompts of all splits together.
BUILT = "built"
#: Prompts whose pictures on disk are compared with the source, spread over all of them.
MAX_COMPARED = 100
#: How far a frame's time may be off, in seconds.
SLACK_SECONDS = 1e-6


def audit_built(
    folder: Path,
    data: TripletDataModule,
    num_triplets: int | None = None,
    frames_per_clip: int = 4,
    progress: Progress = lambda *_: None,
) -> Audit:
    """Check built prompts against the annotations they were built from.

    Args:
        folder: What ``remot data build`` wrote.
        data: The data module they were built with; only its clips and thresholds are used.
        num_triplets: Prompts to check, from the first one on; None for all.
        frames_per_clip: Pictures of each clip to compare between the splits.
        progress: Told what is being done and how far it is.

    Raises:
        AnnotationError: If a line is malformed, or is about a clip that is not there.
        DecodeError: If a picture of the source cannot be decoded.
    """
    data.require_clips("their prompts cannot be checked")
    prompts = read_built(folder, num_triplets)
    data.setup()
    clips = {clip.clip_id: clip for dataset in data.datasets.values() for clip in dataset.clips}
    found = Findings(limits_of(data.sampler.experts), data.writer.wordings)
    well_named = []
    for done, prompt in enumerate(prompts, 1):
        triplet = triplet_of(prompt, clips, folder / RECORDS)
        found.take(triplet, prompt.question)
        faults = wrong_facts(prompt, triplet, data)
        found.facts += [f"{prompt.question.prompt_id}: {fault}" for fault in faults]
        well_named += [] if faults else [prompt]
        progress("checking labels", done, len(prompts))
    _compare_pictures(folder, well_named, clips, found, progress)
    overlap = compared(data, clips_by_split(prompts, clips), frames_per_clip, progress)
    return audit_of(found, BUILT, overlap, data.seed)


def read_built(folder: Path, num_prompts: int | None = None) -> list[BuiltPrompt]:
    """The prompts in a folder.

    Raises:
        AnnotationError: If there is none, or a line is malformed.
    """
    return read_prompts(folder / RECORDS, from_record, num_prompts)


def triplet_of(prompt: BuiltPrompt, clips: Mapping[str, Clip], file: Path) -> Triplet:
    """The triplet a prompt of a file was built from, its labels as they stand there.

    Raises:
        AnnotationError: If its clip is not among ``clips``, or lacks a frame.
    """
    where = f"{file}: {prompt.question.prompt_id}"
    clip = clips.get(prompt.clip_id)
    if clip is None or any(one.index >= clip.num_frames for one in prompt.frames):
        msg = f"{where}: clip {prompt.clip_id} or one of its frames is not in the source; give its folder as --root"
        raise AnnotationError(msg)
    first, second, third = (frame.index for frame in prompt.frames)
    transforms = tuple(frame.transform for frame in prompt.frames)
    if unknown := [one for one in transforms if isinstance(one, MaskOf) and one.subject not in clip.objects]:
        msg = f"{where}: clip {prompt.clip_id} has no object {unknown[0].subject!r:.80} to show the mask of"
        raise AnnotationError(msg)
    return Triplet(clip, (first, second, third), prompt.labels, prompt.negative, transforms)


def clips_by_split(prompts: Sequence[Built], clips: Mapping[str, Clip]) -> dict[str, list[Clip]]:
    """The clips that prompts of each split use."""
    used: dict[str, dict[str, Clip]] = defaultdict(dict)
    for prompt in prompts:
        used[prompt.split][prompt.clip_id] = clips[prompt.clip_id]
    return {split: list(of_split.values()) for split, of_split in used.items()}


def spread(prompts: Sequence[BuiltT]) -> list[BuiltT]:
    """At most :data:`MAX_COMPARED` of them, from the first to the last."""
    places = np.unique(np.linspace(0, len(prompts) - 1, MAX_COMPARED).astype(int))
    return [prompts[k] for k in places if prompts]


def wrong_facts(prompt: BuiltPrompt, triplet: Triplet, data: TripletDataModule) -> list[str]:
    """What a prompt says about its clip and pictures that is not so; labels and answers are checked elsewhere."""
    clip, question, faults = triplet.clip, prompt.question, []
    if (question.scene_id, question.domain) != (clip.scene_id, clip.domain):
        faults.append(f"scene {question.scene_id} and domain {question.domain} are not those of clip {clip.clip_id}")
    if prompt.negative not in {negative.name for negative in data.sampler.negatives}:
        faults.append(f"the negative {prompt.negative} is none of those it was built with")
    faults += [
        f"frame {frame.index} is not at {frame.pts_seconds} s"
        for frame in prompt.frames
        if abs(frame.pts_seconds - clip.pts_seconds[frame.index]) > SLACK_SECONDS
    ]
    if list(prompt.images) != list(names_of(triplet, data.writer.num_pictures(triplet))):
        faults.append(f"the pictures {', '.join(prompt.images)} are not named after their frames")
    return faults


def _compare_pictures(
    folder: Path, prompts: Sequence[BuiltPrompt], clips: Mapping[str, Clip], found: Findings, progress: Progress
) -> None:
    """Compare pictures on disk with what the source shows, those of prompts spread over all."""
    chosen = spread(prompts)
    for done, prompt in enumerate(chosen, 1):
        found.pictures += wrong_pictures(folder, prompt, clips[prompt.clip_id])
        found.num_pictures += len(prompt.images)
        progress("comparing built pictures", done, len(chosen))


def wrong_pictures(folder: Path, prompt: BuiltPrompt, clip: Clip) -> list[str]:
    """Pictures of a prompt on disk that are not what the source shows, one sentence each.

    Raises:
        DecodeError: If one cannot be read.
    """
    faults = []
    decoded = read_frames(clip, [frame.index for frame in prompt.frames])
    for name, frame, picture in zip(prompt.images, prompt.frames, decoded, strict=False):
        if not torch.equal(read_picture(folder / name), show(picture, frame.transform, clip, frame.index)):
            faults.append(f"{prompt.question.prompt_id}: {name} is not frame {frame.index} of clip {clip.clip_id}")
    return faults
