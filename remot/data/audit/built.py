"""The audit of prompts that were written to disk."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from remot.data.audit.report import Audit, Findings, Progress, audit_of, limits_of
from remot.data.build import picture_name
from remot.data.datamodule import TripletDataModule
from remot.data.manifest import RECORDS
from remot.data.records import BuiltPrompt, from_record, read_lines
from remot.data.shown import show
from remot.data.video import read_frames
from remot.errors import AnnotationError, DecodeError
from remot.structures import Clip, Triplet

#: What the audit calls prompts of all splits together.
BUILT = "built"
#: Pictures on disk that are compared with the source, spread over the prompts.
MAX_PICTURES = 300


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
    prompts = read_built(folder, num_triplets)
    data.setup()
    clips = {clip.clip_id: clip for dataset in data.datasets.values() for clip in dataset.clips}
    found = Findings(limits_of(data.sampler.experts), data.writer.wordings)
    for done, prompt in enumerate(prompts, 1):
        found.take(triplet_of(prompt, clips, folder), prompt.question)
        progress("checking labels", done, len(prompts))
    found.pictures = wrong_pictures(folder, prompts, clips, progress)
    return audit_of(found, BUILT, clips_by_split(prompts, clips), data.seed, frames_per_clip, progress)


def read_built(folder: Path, num_prompts: int | None = None) -> list[BuiltPrompt]:
    """The prompts in a folder.

    Raises:
        AnnotationError: If there is none, or a line is malformed.
    """
    file, prompts = folder / RECORDS, []
    for number, record in read_lines(file):
        prompts.append(from_record(f"{file}: line {number}", record))
        if len(prompts) == num_prompts:
            break
    if not prompts:
        msg = f"{file}: holds no prompt, build it again"
        raise AnnotationError(msg)
    return prompts


def triplet_of(prompt: BuiltPrompt, clips: Mapping[str, Clip], folder: Path) -> Triplet:
    """The triplet a prompt was built from, its labels as they stand in the file.

    Raises:
        AnnotationError: If its clip is not among ``clips``, or lacks a frame.
    """
    where = f"{folder / RECORDS}: {prompt.question.prompt_id}"
    clip = clips.get(prompt.clip_id)
    if clip is None or len(prompt.frames) != 3 or any(not 0 <= one.index < clip.num_frames for one in prompt.frames):
        msg = f"{where}: clip {prompt.clip_id} or one of its frames is not in the source; give its folder as --root"
        raise AnnotationError(msg)
    first, second, third = (frame.index for frame in prompt.frames)
    transforms = tuple(frame.transform for frame in prompt.frames)
    return Triplet(clip, (first, second, third), prompt.labels, prompt.negative, transforms)


def clips_by_split(prompts: Sequence[BuiltPrompt], clips: Mapping[str, Clip]) -> dict[str, list[Clip]]:
    """The clips that prompts of each split use."""
    used: dict[str, dict[str, Clip]] = defaultdict(dict)
    for prompt in prompts:
        used[prompt.split][prompt.clip_id] = clips[prompt.clip_id]
    return {split: list(of_split.values()) for split, of_split in used.items()}


def wrong_pictures(
    folder: Path, prompts: Sequence[BuiltPrompt], clips: Mapping[str, Clip], progress: Progress
) -> list[str]:
    """Pictures on disk that are not what the source shows, one sentence each."""
    chosen = [prompts[k] for k in np.unique(np.linspace(0, len(prompts) - 1, MAX_PICTURES // 3).astype(int))]
    faults = []
    for done, prompt in enumerate(chosen, 1):
        faults += _faults_of(folder, prompt, clips[prompt.clip_id])
        progress("comparing built pictures", done, len(chosen))
    return faults


def _faults_of(folder: Path, prompt: BuiltPrompt, clip: Clip) -> list[str]:
    faults = []
    decoded = read_frames(clip, [frame.index for frame in prompt.frames])
    for name, frame, picture in zip(prompt.images, prompt.frames, decoded, strict=False):
        expected = show(picture, frame.transform, clip, frame.index).permute(1, 2, 0).numpy()
        if name != picture_name(clip.clip_id, frame.index, frame.transform):
            faults.append(f"{prompt.question.prompt_id}: {name!r:.100} is not the name of its picture")
        elif not np.array_equal(_stored(folder / name), expected):
            faults.append(f"{prompt.question.prompt_id}: {name} is not frame {frame.index} of clip {clip.clip_id}")
    return faults


def _stored(file: Path) -> np.ndarray:
    try:
        with Image.open(file) as picture:
            return np.asarray(picture.convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        msg = f"{file}: the built picture cannot be read ({error})"
        raise DecodeError(msg) from error
