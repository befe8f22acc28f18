"""``remot data validate``: every clip of a folder checked to its last picture, every fault named."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from remot.data.annotations.base import AnnotationReader
from remot.data.annotations.notices import listed
from remot.data.experts import default_experts
from remot.data.experts.seen import effector_visible
from remot.data.loading import read_each
from remot.data.tasks.base import Task, serves
from remot.data.tasks.motion_contrast import MotionContrast
from remot.data.triplets import TripletSampler
from remot.structures import Clip


@dataclass(frozen=True)
class CheckedClip:
    """What became of one annotation file.

    Args:
        file: The file, relative to the folder that is checked.
        fault: What is wrong, "" if nothing is.
        num_frames: Annotated frames, 0 for a bad clip.
        attributes: What triplets of the clip can ask about, and the tasks that can; empty for a bad clip, or if nothing
            can be asked.
        warnings: What the annotation leaves open, so that something is not asked about or may not be visible.
    """

    file: str
    fault: str
    num_frames: int = 0
    attributes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def check_clips(
    reader: AnnotationReader,
    root: Path,
    sampler: TripletSampler | None = None,
    *,
    decode: bool = True,
    tasks: Sequence[Task | MotionContrast] = (),
) -> Iterator[CheckedClip]:
    """Check one annotation file after another.

    Args:
        reader: Knows the annotation format.
        root: Folder of the annotation files.
        sampler: Tells what can be asked about a clip; with the default experts if None.
        decode: Decode every annotated picture; False only compares times.
        tasks: The tasks of the configuration.
    """
    sampler = sampler or TripletSampler(default_experts())
    for source, result in read_each(reader, root, decode=decode):
        name = " ".join(filter(None, (str(source.file.relative_to(root)), source.key)))
        if isinstance(result, Clip):
            askable = (*_attributes(sampler, result), *_tasks(tasks, result))
            yield CheckedClip(name, "", result.num_frames, askable, open_questions(result))
        else:
            yield CheckedClip(name, str(result))


def open_questions(clip: Clip) -> tuple[str, ...]:
    """What the annotation of a clip does not tell about its effectors and objects, in sentences without its name."""
    found = []
    moving = [name for name, track in clip.effectors.items() if np.isfinite(track.positions).any()]
    if clip.camera is None and clip.camera_moves is None:
        if any(clip.effectors[name].frame == "viewer" for name in moving):
            found.append(
                "no direction of an effector is asked about: it is not known whether the camera is fixed; set "
                "camera_moves, or give its poses or the effector's frame"
            )
        if any(not track.is_landmark for name, track in clip.objects.items() if name not in clip.effectors):
            found.append(
                "objects are asked about as if the camera were fixed, which is not known; set camera_moves or give "
                "poses"
            )
    if any(effector_visible(clip, name) is None for name in clip.effectors):
        found.append(
            "effectors are asked about though it is not known in which images they are visible; give visible, or boxes "
            "of their names, or set require_visible of the experts"
        )
    return tuple(found)


def _attributes(sampler: TripletSampler, clip: Clip) -> tuple[str, ...]:
    return tuple(sorted({sampler.experts[one.expert_index].attribute.name for one in sampler.askable(clip)}))


def _tasks(tasks: Sequence[Task | MotionContrast], clip: Clip) -> tuple[str, ...]:
    able = (task.name for task in tasks if isinstance(task, Task) and serves(task, clip))
    return tuple(sorted(set(able)))


def summary(checked: Sequence[CheckedClip]) -> dict[str, object]:
    """Counts and faults, JSON-ready."""
    good = [one for one in checked if not one.fault]
    return {
        "good_clips": len(good),
        "bad_clips": len(checked) - len(good),
        "frames": sum(one.num_frames for one in good),
        "clips_by_attribute": clips_by_attribute(checked),
        "clips_without_a_question": [one.file for one in good if not one.attributes],
        "faults": {one.file: one.fault for one in checked if one.fault},
        "warnings": _by_warning(good),
    }


def _by_warning(checked: Sequence[CheckedClip]) -> dict[str, list[str]]:
    """The clips that each warning is about."""
    found: dict[str, list[str]] = {}
    for one in checked:
        for warning in one.warnings:
            found.setdefault(warning, []).append(one.file)
    return found


def as_text(checked: Sequence[CheckedClip]) -> str:
    """The same for people: faults first, one a line."""
    good = [one for one in checked if not one.fault]
    lines = [f"bad   {one.fault}" for one in checked if one.fault]
    lines += [f"mute  {one.file}: nothing clearly moves, so nothing is asked" for one in good if not one.attributes]
    lines += [f"warn  {warning} ({len(files)} clips: {listed(files)})" for warning, files in _by_warning(good).items()]
    num_frames = sum(one.num_frames for one in good)
    lines.append(f"{len(good)} good clips ({num_frames} frames), {len(checked) - len(good)} bad")
    asked = ", ".join(f"{name} {count}" for name, count in clips_by_attribute(checked).items()) or "none"
    lines.append(f"clips by what can be asked: {asked}")
    return "\n".join(lines) + "\n"


def clips_by_attribute(checked: Sequence[CheckedClip]) -> dict[str, int]:
    """How many clips can be asked about each attribute, by name."""
    return dict(sorted(Counter(name for one in checked for name in one.attributes).items()))
