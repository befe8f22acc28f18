"""``remot data validate``: every clip of a folder checked to its last image, every fault named."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from remot.data.annotations.base import AnnotationReader
from remot.data.annotations.notices import listed
from remot.data.clips.loading import read_each
from remot.data.clips.splits import split_by_scene
from remot.data.datasets.distinct import MAX_PROMPTS_PER_DISTINCT
from remot.data.experts.visibility import effector_visible
from remot.data.media.notes import notes_on_media
from remot.data.tasks.base import Task
from remot.structures import Clip, interval_note

#: Frame triples after which no more are counted.
ENOUGH_TRIPLES = 100_000


@dataclass(frozen=True)
class CheckedClip:
    """What became of one annotation file.

    Args:
        file: The file, relative to the folder that is checked.
        fault: What is wrong, "" if nothing is; else the other fields are empty.
        num_frames: Annotated frames.
        attributes: What can be asked about the clip: attributes of triplets, and other tasks.
        frame_triples: Distinct sets of three frames that triplets can show; None if enough were found before.
        notes: What is not wrong but may surprise, see :func:`remot.data.media.notes.notes_on_media`.
        warnings: What the annotation leaves open, so that something is not asked about or may not be visible.
    """

    file: str
    fault: str
    num_frames: int = 0
    attributes: tuple[str, ...] = ()
    scene_id: str = ""
    domain: str = ""
    frame_triples: int | None = 0
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def check_clips(
    reader: AnnotationReader, root: Path, tasks: Sequence[Task], *, decode: bool = True
) -> Iterator[CheckedClip]:
    """Check one annotation file after another; without ``decode`` only times are compared, and no image is decoded."""
    num_triples = 0
    for source, result in read_each(reader, root, decode=decode):
        name = " ".join(filter(None, (str(source.file.relative_to(root)), source.key)))
        if not isinstance(result, Clip):
            yield CheckedClip(name, str(result))
            continue
        enough = num_triples >= ENOUGH_TRIPLES
        triples = None if enough else sum(task.num_frame_sets(result) for task in tasks)
        num_triples += triples or 0
        surveys = ((task, task.survey(result)) for task in tasks)
        topics = {topic for task, survey in surveys if survey is not None for topic in task.topics(survey)}
        yield CheckedClip(
            file=name,
            fault="",
            num_frames=result.num_frames,
            attributes=tuple(sorted(topics)),
            scene_id=result.scene_id,
            domain=result.domain,
            frame_triples=triples,
            notes=notes_on_media(result) if decode else (),
            warnings=open_questions(result),
        )


def open_questions(clip: Clip) -> tuple[str, ...]:
    """What is not annotated about a clip's effectors and objects, in sentences without its name."""
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


@dataclass(frozen=True)
class Validation:
    """What was found in a folder, for a run with ``num_prompts`` training prompts an epoch."""

    checked: Sequence[CheckedClip]
    num_prompts: int
    num_skipped_files: int
    scenes: Mapping[str, int]

    @property
    def good(self) -> list[CheckedClip]:
        """Clips without a fault."""
        return [one for one in self.checked if not one.fault]

    @property
    def num_frame_triples(self) -> int:
        """Distinct sets of three frames that triplets can show, as far as they were counted."""
        return sum(one.frame_triples or 0 for one in self.checked)

    @property
    def all_triples_counted(self) -> bool:
        """Whether counting went on to the last clip."""
        return all(one.frame_triples is not None for one in self.checked)

    @property
    def has_few_triples(self) -> bool:
        """Whether the prompts of an epoch would repeat frame triples; clips without any are reported elsewhere."""
        count = self.num_frame_triples
        return self.all_triples_counted and count > 0 and self.num_prompts >= MAX_PROMPTS_PER_DISTINCT * count

    @property
    def clips_by_attribute(self) -> dict[str, int]:
        """How many clips can be asked about each attribute, by name."""
        return dict(sorted(Counter(name for one in self.checked for name in one.attributes).items()))

    @property
    def split_notes(self) -> list[str]:
        """What is wrong with so few scenes to test on."""
        note = interval_note(self.scenes["test"])
        return [f"test split: {note}; add scenes, or raise data.test_fraction"] if note else []

    def _by_warning(self) -> dict[str, list[str]]:
        """The clips that each warning is about."""
        found: dict[str, list[str]] = {}
        for one in self.good:
            for warning in one.warnings:
                found.setdefault(warning, []).append(one.file)
        return found

    def summary(self) -> dict[str, object]:
        """Counts and faults, JSON-ready."""
        return {
            "good_clips": len(self.good),
            "bad_clips": len(self.checked) - len(self.good),
            "frames": sum(one.num_frames for one in self.good),
            "clips_by_attribute": self.clips_by_attribute,
            "frame_triples": self.num_frame_triples,
            "all_frame_triples_counted": self.all_triples_counted,
            "few_frame_triples": self.has_few_triples,
            "scenes_by_split": dict(self.scenes),
            "split_notes": self.split_notes,
            "clips_without_a_question": [one.file for one in self.good if not one.attributes],
            "faults": {one.file: one.fault for one in self.checked if one.fault},
            "skipped_files": self.num_skipped_files,
            "notes": {one.file: list(one.notes) for one in self.checked if one.notes},
            "warnings": self._by_warning(),
        }

    def as_text(self) -> str:
        """The same for people: faults first, one a line."""
        good = self.good
        lines = [f"bad   {one.fault}" for one in self.checked if one.fault]
        lines += [f"mute  {one.file}: nothing clearly moves, so nothing is asked" for one in good if not one.attributes]
        lines += [f"note  {one.file}: {note}" for one in good for note in one.notes]
        if self.num_skipped_files:
            skipped = f"{self.num_skipped_files} files of macOS or Windows (._*, .DS_Store, __MACOSX)"
            lines.append(f"note  {skipped} are skipped")
        for warning, files in self._by_warning().items():
            lines.append(f"warn  {warning} ({len(files)} clips: {listed(files)})")
        num_frames = sum(one.num_frames for one in good)
        lines.append(f"{len(good)} good clips ({num_frames} frames), {len(self.checked) - len(good)} bad")
        asked = ", ".join(f"{name} {count}" for name, count in self.clips_by_attribute.items()) or "none"
        at_least = "" if self.all_triples_counted else "at least "
        lines += [
            f"clips by what can be asked: {asked}",
            f"distinct frame triples that can be asked about: {at_least}{self.num_frame_triples}",
        ]
        if self.has_few_triples:
            lines.append(
                f"warning: an epoch of {self.num_prompts} prompts repeats them; add clips, or loosen what is asked"
            )
        counts = ", ".join(f"{name} {count}" for name, count in self.scenes.items())
        return "\n".join([*lines, f"scenes by split: {counts}", *self.split_notes]) + "\n"
