"""Prompts of tasks written to disk: ``prompts.jsonl``, the frames in ``frames/``, and ``manifest.json``.

Each frame of a clip is written once, as a PNG without loss, however many prompts show it; what is shown changed,
such as blurred, is written for each prompt that shows it. The prompts are those that training on the fly would see.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from remot.data.build import AT_ONCE, Progress, built_by
from remot.data.built_folder import MANIFEST, TASK_FORMAT, TASK_RECORDS
from remot.data.built_frames import FrameFolder, PlannedPrompt, frame_names
from remot.data.datamodule import TripletDataModule
from remot.data.manifest import manifest_of_tasks
from remot.data.task_records import BuiltTaskPrompt, to_task_line
from remot.data.tasks.dataset import TaskDataset
from remot.data.tasks.mixed import MixedDataset
from remot.errors import ConfigError


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
    _require_tasks(data)
    return built_by(_write, data, out, num_prompts, settings, progress)


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
