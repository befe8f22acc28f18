"""``remot data validate``: every clip of a folder checked to its last picture, every fault named."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from remot.data.annotations.base import AnnotationReader
from remot.data.annotations.notices import listed
from remot.data.distinct import MAX_PROMPTS_PER_DISTINCT
from remot.data.experts.seen import effector_visible
from remot.data.loading import read_each
from remot.data.media_notes import notes_on_media
from remot.data.tasks.base import Task
from remot.structures import Clip

#: Frame triples after which no more are counted.
ENOUGH_TRIPLES = 100_000


@dataclass(frozen=True)
class CheckedClip:
    """What became of one annotation file.

    Args:
        file: The file, relative to the folder that is checked.
        fault: What is wrong, "" if nothing is.
        num_frames: Annotated frames, 0 for a bad clip.
        attributes: What triplets of the clip can ask about, and the tasks that can; empty for a bad clip, or if nothing
            can be asked.
        frame_triples: Distinct sets of three frames that triplets can show; None if they were not counted, because
            enough were found before.
        notes: What is not wrong but may surprise, a sentence each, see
            :func:`remot.data.media_notes.notes_on_media`.
        warnings: What the annotation leaves open, so that something is not asked about or may not be visible.
    """

    file: str
    fault: str
    num_frames: int = 0
    attributes: tuple[str, ...] = ()
    frame_triples: int | None = 0
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def check_clips(
    reader: AnnotationReader,
    root: Path,
    tasks: Sequence[Task],
    *,
    decode: bool = True,
) -> Iterator[CheckedClip]:
    """Check one annotation file after another.

    Args:
        reader: Knows the annotation format.
        root: Folder of the annotation files.
        tasks: What the run asks.
        decode: Decode every annotated picture; False only compares times.
    """
    num_triples = 0
    for source, result in read_each(reader, root, decode=decode):
        name = " ".join(filter(None, (str(source.file.relative_to(root)), source.key)))
        if isinstance(result, Clip):
            triples = _frame_triples(tasks, result) if num_triples < ENOUGH_TRIPLES else None
            num_triples += triples or 0
            notes = notes_on_media(result) if decode else ()
            topics, warnings = _topics(tasks, result), open_questions(result)
            yield CheckedClip(name, "", result.num_frames, topics, triples, notes, warnings)
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


def _topics(tasks: Sequence[Task], clip: Clip) -> tuple[str, ...]:
    """What the tasks can ask about a clip."""
    found = ((task, task.survey(clip)) for task in tasks)
    return tuple(sorted({topic for task, survey in found if survey is not None for topic in task.topics(survey)}))


def _frame_triples(tasks: Sequence[Task], clip: Clip) -> int:
    return sum(task.num_frame_sets(clip) for task in tasks)


def frame_triples(checked: Sequence[CheckedClip]) -> tuple[int, bool]:
    """Distinct sets of three frames that triplets can show, and whether all have been counted."""
    counts = [one.frame_triples for one in checked]
    return sum(count or 0 for count in counts), None not in counts


def summary(checked: Sequence[CheckedClip], num_prompts: int, num_skipped_files: int = 0) -> dict[str, object]:
    """Counts and faults, JSON-ready.

    Args:
        checked: All clips.
        num_prompts: Training prompts in an epoch.
        num_skipped_files: Bookkeeping files of macOS and Windows that were passed over.
    """
    good = [one for one in checked if not one.fault]
    return {
        "good_clips": len(good),
        "bad_clips": len(checked) - len(good),
        "frames": sum(one.num_frames for one in good),
        "clips_by_attribute": clips_by_attribute(checked),
        "frame_triples": frame_triples(checked)[0],
        "all_frame_triples_counted": frame_triples(checked)[1],
        "few_frame_triples": _are_few(checked, num_prompts),
        "clips_without_a_question": [one.file for one in good if not one.attributes],
        "faults": {one.file: one.fault for one in checked if one.fault},
        "skipped_files": num_skipped_files,
        "notes": {one.file: list(one.notes) for one in checked if one.notes},
        "warnings": _by_warning(good),
    }


def _by_warning(checked: Sequence[CheckedClip]) -> dict[str, list[str]]:
    """The clips that each warning is about."""
    found: dict[str, list[str]] = {}
    for one in checked:
        for warning in one.warnings:
            found.setdefault(warning, []).append(one.file)
    return found


def _are_few(checked: Sequence[CheckedClip], num_prompts: int) -> bool:
    """Whether the prompts of an epoch would repeat frame triples; clips without any are reported elsewhere."""
    count, is_all = frame_triples(checked)
    return is_all and count > 0 and num_prompts >= MAX_PROMPTS_PER_DISTINCT * count


def as_text(checked: Sequence[CheckedClip], num_prompts: int, num_skipped_files: int = 0) -> str:
    """The same for people: faults first, one a line."""
    good = [one for one in checked if not one.fault]
    lines = [f"bad   {one.fault}" for one in checked if one.fault]
    lines += [f"mute  {one.file}: nothing clearly moves, so nothing is asked" for one in good if not one.attributes]
    lines += [f"note  {one.file}: {note}" for one in good for note in one.notes]
    if num_skipped_files:
        lines.append(f"note  {num_skipped_files} files of macOS or Windows (._*, .DS_Store, __MACOSX) are skipped")
    lines += [f"warn  {warning} ({len(files)} clips: {listed(files)})" for warning, files in _by_warning(good).items()]
    num_frames = sum(one.num_frames for one in good)
    lines.append(f"{len(good)} good clips ({num_frames} frames), {len(checked) - len(good)} bad")
    asked = ", ".join(f"{name} {count}" for name, count in clips_by_attribute(checked).items()) or "none"
    lines.append(f"clips by what can be asked: {asked}")
    count, is_all = frame_triples(checked)
    lines.append(f"distinct frame triples that can be asked about: {'' if is_all else 'at least '}{count}")
    if _are_few(checked, num_prompts):
        lines.append(f"warning: an epoch of {num_prompts} prompts repeats them; add clips, or loosen what is asked")
    return "\n".join(lines) + "\n"


def clips_by_attribute(checked: Sequence[CheckedClip]) -> dict[str, int]:
    """How many clips can be asked about each attribute, by name."""
    return dict(sorted(Counter(name for one in checked for name in one.attributes).items()))
