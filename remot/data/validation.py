"""``remot data validate``: every clip of a folder checked to its last picture, every fault named."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from remot.data.annotations.base import AnnotationReader
from remot.data.experts import default_experts
from remot.data.loading import read_each
from remot.data.splits import split_by_scene
from remot.data.tasks.base import Task, serves
from remot.data.tasks.motion_contrast import MotionContrast
from remot.data.triplets import TripletSampler
from remot.structures import Clip, interval_note


@dataclass(frozen=True)
class CheckedClip:
    """What became of one annotation file.

    Args:
        file: The file, relative to the folder that is checked.
        fault: What is wrong, "" if nothing is.
        num_frames: Annotated frames, 0 for a bad clip.
        scene_id: Scene of the clip, "" for a bad clip.
        domain: Its domain.
        attributes: What triplets of the clip can ask about, and the tasks that can; empty for a bad clip, or if nothing
            can be asked.
    """

    file: str
    fault: str
    num_frames: int = 0
    attributes: tuple[str, ...] = ()
    scene_id: str = ""
    domain: str = ""


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
            asked = (*_attributes(sampler, result), *_tasks(tasks, result))
            yield CheckedClip(name, "", result.num_frames, asked, result.scene_id, result.domain)
        else:
            yield CheckedClip(name, str(result))


def _attributes(sampler: TripletSampler, clip: Clip) -> tuple[str, ...]:
    return tuple(sorted({sampler.experts[one.expert_index].attribute.name for one in sampler.askable(clip)}))


def _tasks(tasks: Sequence[Task | MotionContrast], clip: Clip) -> tuple[str, ...]:
    able = (task.name for task in tasks if isinstance(task, Task) and serves(task, clip))
    return tuple(sorted(set(able)))


def scenes_by_split(
    checked: Sequence[CheckedClip], val_fraction: float, test_fraction: float, seed: int = 0
) -> dict[str, int]:
    """Scenes that each split of a run would have, of the good clips that something can be asked about."""
    asked = [one for one in checked if one.attributes]
    splits = split_by_scene(
        asked, val_fraction, test_fraction, seed, lambda one: (one.domain, *one.attributes), required=False
    )
    parts = {"train": splits.train, "val": splits.val, "test": splits.test}
    return {name: len({one.scene_id for one in part}) for name, part in parts.items()}


def scene_lines(scenes: Mapping[str, int]) -> list[str]:
    """Scenes of each split, and what is wrong with so few to test on."""
    counts = ", ".join(f"{name} {count}" for name, count in scenes.items())
    note = interval_note(scenes["test"])
    return [
        f"scenes by split: {counts}",
        *([f"test split: {note}; add scenes, or raise data.test_fraction"] if note else []),
    ]


def summary(checked: Sequence[CheckedClip], scenes: Mapping[str, int]) -> dict[str, object]:
    """Counts and faults, JSON-ready."""
    good = [one for one in checked if not one.fault]
    return {
        "good_clips": len(good),
        "bad_clips": len(checked) - len(good),
        "frames": sum(one.num_frames for one in good),
        "clips_by_attribute": clips_by_attribute(checked),
        "scenes_by_split": dict(scenes),
        "notes": scene_lines(scenes)[1:],
        "clips_without_a_question": [one.file for one in good if not one.attributes],
        "faults": {one.file: one.fault for one in checked if one.fault},
    }


def as_text(checked: Sequence[CheckedClip], scenes: Mapping[str, int]) -> str:
    """The same for people: faults first, one a line."""
    good = [one for one in checked if not one.fault]
    lines = [f"bad   {one.fault}" for one in checked if one.fault]
    lines += [f"mute  {one.file}: nothing clearly moves, so nothing is asked" for one in good if not one.attributes]
    num_frames = sum(one.num_frames for one in good)
    lines.append(f"{len(good)} good clips ({num_frames} frames), {len(checked) - len(good)} bad")
    asked = ", ".join(f"{name} {count}" for name, count in clips_by_attribute(checked).items()) or "none"
    lines.append(f"clips by what can be asked: {asked}")
    return "\n".join([*lines, *scene_lines(scenes)]) + "\n"


def clips_by_attribute(checked: Sequence[CheckedClip]) -> dict[str, int]:
    """How many clips can be asked about each attribute, by name."""
    return dict(sorted(Counter(name for one in checked for name in one.attributes).items()))
