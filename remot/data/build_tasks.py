"""Prompts of tasks written to disk: ``prompts.jsonl``, the frames in ``frames/``, and ``manifest.json``.

Each frame of a clip is written once, as a PNG without loss, however many prompts show it; what is shown changed,
such as blurred, is written for each prompt that shows it. The prompts are those that training on the fly would see.
"""

import dataclasses
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from remot.data.build import AT_ONCE, Progress, prompts_by_split, require_usable
from remot.data.built_folder import MANIFEST, TASK_FORMAT, TASK_RECORDS
from remot.data.built_pictures import picture_name
from remot.data.datamodule import TripletDataModule
from remot.data.manifest import json_ready, manifest_of_tasks
from remot.data.task_records import BuiltTaskPrompt, to_task_line
from remot.data.tasks.base import PictureEdit, TaskPlan
from remot.data.tasks.dataset import TaskDataset
from remot.data.tasks.mixed import MixedDataset
from remot.data.video import read_frames
from remot.errors import ConfigError
from remot.structures import Clip

#: Frames of a clip that are decoded at once.
_FRAMES_AT_ONCE = 32


@dataclass(frozen=True, eq=False)
class PlannedPrompt:
    """A prompt before its frames are written.

    Args:
        clip: The source.
        plan: Frames and reference.
        built: What its line holds.
    """

    clip: Clip
    plan: TaskPlan
    built: BuiltTaskPrompt


def build_tasks(
    data: TripletDataModule,
    out: Path,
    num_prompts: int,
    settings: dict[str, Any],
    progress: Progress = lambda *_: None,
) -> dict[str, Any]:
    """Write prompts of all splits.

    Args:
        data: Whose prompts.
        out: Folder to write to, created; it must be empty.
        num_prompts: Prompts in all, divided among the splits by their fractions.
        settings: The configuration's data section, kept in the manifest so that the prompts can be checked again.
        progress: Told what is being done and how far it is.

    Returns:
        The manifest.

    Raises:
        ConfigError: If the folder holds something or cannot be written to, nothing is to be built, or a task cannot be.
        RemotError: If the data cannot be used.
    """
    data.require_asked("nothing can be built from them")
    require_usable(data, out, num_prompts)
    settings = json_ready(settings)
    _require_tasks(data)
    data.setup()
    sizes = prompts_by_split(data, num_prompts)
    try:
        return _write(data, out, sizes, settings, progress)
    except OSError as error:
        msg = f"{out}: cannot be written ({error}); empty it and build again"
        raise ConfigError(msg) from error


def _require_tasks(data: TripletDataModule) -> None:
    from remot.data.tasks.motion_contrast import MotionContrast

    if any(isinstance(task, MotionContrast) for task in data.tasks):
        msg = (
            "data.tasks: triplets (MotionContrast) are built without other tasks; leave them out, and build them apart"
        )
        raise ConfigError(msg)


def _write(
    data: TripletDataModule, out: Path, sizes: dict[str, int], settings: dict[str, Any], progress: Progress
) -> dict[str, Any]:
    out.mkdir(parents=True, exist_ok=True)
    counts: dict[str, Counter[str]] = {name: Counter() for name in ("split", "domain", "task")}
    frames, total, done = FrameFolder(out), sum(sizes.values()), 0
    partial = out / f"{TASK_RECORDS}.partial"
    with partial.open("w", encoding="utf-8") as file:
        for split, size in sizes.items():
            for start in range(0, size, AT_ONCE):
                planned = list(planned_prompts(data.mixed[split], range(start, min(start + AT_ONCE, size))))
                frames.add(planned, _after(done, total, progress))
                for one in planned:
                    _count(counts, one.built)
                    file.write(to_task_line(one.built) + "\n")
                done += len(planned)
    partial.rename(out / TASK_RECORDS)
    record: dict[str, Any] = {"prompts": total, "pictures": frames.num_pictures}
    record |= {f"by_{name}": dict(sorted(counter.items())) for name, counter in counts.items()}
    manifest = manifest_of_tasks(data, record, out, settings, TASK_FORMAT)
    (out / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
    return manifest


def _after(done: int, total: int, progress: Progress) -> Callable[[int], None]:
    """``progress`` for counts that begin after ``done``."""
    return lambda written: progress("building prompts", done + written, total)


def _count(counts: dict[str, Counter[str]], prompt: BuiltTaskPrompt) -> None:
    counts["split"][prompt.split] += 1
    counts["domain"][prompt.question.domain] += 1
    counts["task"][prompt.question.task] += 1


def planned_prompts(mixed: MixedDataset, addresses: Sequence[int]) -> Iterator[PlannedPrompt]:
    """The prompts at some addresses of a split, nothing decoded that plans do not need."""
    for address in addresses:
        number, within = mixed.place(address)
        _, part = mixed.parts[number]
        assert isinstance(part, TaskDataset)
        clip, plan = part.plan(within)
        question = replace(part.question(within, clip, plan), prompt_id=mixed.prompt_id(address))
        built = BuiltTaskPrompt(
            question=question,
            place=part.place,
            images=frame_names(clip.clip_id, plan.frame_indices, plan.edit, question.prompt_id),
            frames=plan.frame_indices,
            pts_seconds=tuple(float(clip.pts_seconds[frame]) for frame in plan.frame_indices),
            as_video=plan.as_video,
            edited=plan.edit is not None,
            clip_id=clip.clip_id,
            split=mixed.split,
            seed=part.seed,
        )
        yield PlannedPrompt(clip, plan, built)


def frame_names(clip_id: str, frames: Sequence[int], edit: PictureEdit | None, prompt_id: str) -> tuple[str, ...]:
    """Paths of frames; those of an edit have a hash of it behind the number, or of the prompt if it has no values."""
    marked = ""
    if edit is not None:
        named = repr(edit) if dataclasses.is_dataclass(edit) else prompt_id
        marked = f"-{hashlib.sha256(named.encode()).hexdigest()[:12]}"
    names = (picture_name(clip_id, frame, None) for frame in frames)
    return tuple(f"{name.removesuffix('.png')}{marked}.png" for name in names)


@dataclass
class FrameFolder:
    """Decodes and writes each frame once.

    Args:
        root: Folder of the built prompts.
    """

    root: Path
    _written: set[str] = field(default_factory=set)

    @property
    def num_pictures(self) -> int:
        """How many have been written."""
        return len(self._written)

    def add(self, planned: Sequence[PlannedPrompt], progress: Callable[[int], None]) -> None:
        """Write the frames that are new, clip by clip, so that a video is not opened for each prompt.

        Raises:
            DecodeError: If a frame cannot be decoded.
        """
        by_clip: dict[str, list[PlannedPrompt]] = defaultdict(list)
        for one in planned:
            by_clip[one.built.clip_id].append(one)
        done = 0
        for of_clip in by_clip.values():
            self._write_clip(of_clip[0].clip, of_clip)
            done += len(of_clip)
            progress(done)

    def _write_clip(self, clip: Clip, prompts: Sequence[PlannedPrompt]) -> None:
        wanted: dict[int, dict[str, PictureEdit | None]] = defaultdict(dict)
        for one in prompts:
            for frame, name in zip(one.built.frames, one.built.images, strict=True):
                if name not in self._written:
                    wanted[frame][name] = one.plan.edit
        frames = sorted(wanted)
        for start in range(0, len(frames), _FRAMES_AT_ONCE):
            part = frames[start : start + _FRAMES_AT_ONCE]
            for frame, picture in zip(part, read_frames(clip, part), strict=True):
                for name, edit in wanted[frame].items():
                    self._write(name, picture if edit is None else edit(picture))

    def _write(self, name: str, picture: Tensor) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy()).save(path, compress_level=1)
        self._written.add(name)
