"""``remot data validate``: every clip of a folder checked to its last picture, every fault named."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from remot.data.annotations.base import AnnotationReader
from remot.data.loading import read_each
from remot.data.tasks.base import Task
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
    """

    file: str
    fault: str
    num_frames: int = 0
    attributes: tuple[str, ...] = ()


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
    for source, result in read_each(reader, root, decode=decode):
        name = " ".join(filter(None, (str(source.file.relative_to(root)), source.key)))
        if isinstance(result, Clip):
            yield CheckedClip(name, "", result.num_frames, _topics(tasks, result))
        else:
            yield CheckedClip(name, str(result))


def _topics(tasks: Sequence[Task], clip: Clip) -> tuple[str, ...]:
    """What the tasks can ask about a clip."""
    found = ((task, task.survey(clip)) for task in tasks)
    return tuple(sorted({topic for task, survey in found if survey is not None for topic in task.topics(survey)}))


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
    }


def as_text(checked: Sequence[CheckedClip]) -> str:
    """The same for people: faults first, one a line."""
    good = [one for one in checked if not one.fault]
    lines = [f"bad   {one.fault}" for one in checked if one.fault]
    lines += [f"mute  {one.file}: nothing clearly moves, so nothing is asked" for one in good if not one.attributes]
    num_frames = sum(one.num_frames for one in good)
    lines.append(f"{len(good)} good clips ({num_frames} frames), {len(checked) - len(good)} bad")
    asked = ", ".join(f"{name} {count}" for name, count in clips_by_attribute(checked).items()) or "none"
    lines.append(f"clips by what can be asked: {asked}")
    return "\n".join(lines) + "\n"


def clips_by_attribute(checked: Sequence[CheckedClip]) -> dict[str, int]:
    """How many clips can be asked about each attribute, by name."""
    return dict(sorted(Counter(name for one in checked for name in one.attributes).items()))
