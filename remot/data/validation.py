"""``remot data validate``: every clip of a folder checked to its last picture, every fault named."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from remot.data.annotations.base import AnnotationReader
from remot.data.distinct import MAX_PROMPTS_PER_DISTINCT
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
    """

    file: str
    fault: str
    num_frames: int = 0
    attributes: tuple[str, ...] = ()
    frame_triples: int | None = 0
    notes: tuple[str, ...] = ()


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
            yield CheckedClip(name, "", result.num_frames, _topics(tasks, result), triples, notes)
        else:
            yield CheckedClip(name, str(result))


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
    }


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
