"""Prompts of tasks written to disk: ``prompts.jsonl``, the frames in ``frames/``, and ``manifest.json``.

Each frame of a clip is written once, as a PNG without loss, however many prompts show it; what is shown changed,
such as blurred, is written for each prompt that shows it. The prompts are those that training on the fly would see,
and in their order. Triplets may be among the tasks; each line is then of its own kind.
"""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from remot.data.build import AT_ONCE, Progress, built_by
from remot.data.built_folder import MANIFEST, TASK_FORMAT, TASK_RECORDS
from remot.data.built_lines import BuiltLine, to_built_line
from remot.data.built_mixed import MixedFolder, planned_prompts
from remot.data.datamodule import TripletDataModule
from remot.data.manifest import Counts, manifest_of_tasks
from remot.data.records import BuiltPrompt
from remot.strict_json import json_text
from remot.structures import task_of


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
    return built_by(_write, data, out, num_prompts, settings, progress)


def _write(
    data: TripletDataModule, out: Path, sizes: dict[str, int], settings: dict[str, Any], progress: Progress
) -> dict[str, Any]:
    out.mkdir(parents=True, exist_ok=True)
    counts: dict[str, Counter[str]] = {name: Counter() for name in ("split", "domain", "task")}
    triplets = Counts()
    pictures, total, done = MixedFolder(out), sum(sizes.values()), 0
    partial = out / f"{TASK_RECORDS}.partial"
    with partial.open("w", encoding="utf-8") as file:
        for split, size in sizes.items():
            for start in range(0, size, AT_ONCE):
                planned = list(planned_prompts(data.mixed[split], range(start, min(start + AT_ONCE, size))))
                pictures.add(planned, _after(done, total, progress))
                for one in planned:
                    built = pictures.built(one)
                    _count(counts, triplets, built)
                    file.write(to_built_line(built) + "\n")
                done += len(planned)
    partial.rename(out / TASK_RECORDS)
    record: dict[str, Any] = {"prompts": total, "pictures": pictures.num_pictures}
    record |= {f"by_{name}": dict(sorted(counter.items())) for name, counter in counts.items()}
    if any(triplets.kinds.values()):
        record["of_triplets"] = triplets.by_kind()
    manifest = manifest_of_tasks(data, record, out, settings, TASK_FORMAT)
    (out / MANIFEST).write_text(json_text(manifest, indent=2) + "\n", "utf-8")
    return manifest


def _after(done: int, total: int, progress: Progress) -> Callable[[int], None]:
    """``progress`` for counts that begin after ``done``."""
    return lambda written: progress("building prompts", done + written, total)


def _count(counts: dict[str, Counter[str]], triplets: Counts, prompt: BuiltLine) -> None:
    counts["split"][prompt.split] += 1
    counts["domain"][prompt.question.domain] += 1
    counts["task"][task_of(prompt.question)] += 1
    if isinstance(prompt, BuiltPrompt):
        triplets.add(prompt)
