"""What a folder of built prompts says about itself."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from remot._version import __version__
from remot.data.annotations.base import MAX_ANNOTATION_BYTES
from remot.data.built_folder import FORMAT, RECORDS, TASK_RECORDS, sha256_of
from remot.data.datamodule import TripletDataModule
from remot.data.dataset import TripletDataset
from remot.data.distinct import DistinctCounts, asked_of
from remot.data.records import BuiltPrompt
from remot.data.refusals import faults_by_reason, pairs_by_verdict
from remot.data.tasks.dataset import TaskDataset
from remot.data.tasks.mixed import MixedDataset
from remot.errors import ConfigError

#: How many faults and files are named; the numbers count all.
MAX_NAMED = 1000


def manifest_of(data: TripletDataModule, counts: dict[str, Any], out: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Sources, thresholds, seeds, hashes, counts, and what was refused and why; JSON-ready.

    Args:
        data: Whose prompts.
        counts: How many prompts of each kind were built, see :class:`Counts`.
        out: Folder of ``triplets.jsonl``.
        settings: The configuration's data section.
    """
    clips = [clip for dataset in data.datasets.values() for clip in dataset.clips]
    return {
        "format": FORMAT,
        "remot_version": __version__,
        "data": settings,
        "root": str(data.root.resolve()),
        "seeds": {name: dataset.seed for name, dataset in data.datasets.items()},
        "sources": _sources(data),
        "experts": [_thresholds(expert) for expert in data.sampler.experts],
        "sha256": {RECORDS: sha256_of(out / RECORDS)},
        "counts": counts,
        "clips": {name: len(dataset.clips) for name, dataset in data.datasets.items()},
        "refused": _refused(data, len(clips)) | {"pairs_of_frames": pairs_by_verdict(clips, data.sampler.experts)},
    }


def manifest_of_tasks(
    data: TripletDataModule, counts: dict[str, Any], out: Path, settings: dict[str, Any], folder_format: str
) -> dict[str, Any]:
    """What a folder of prompts of tasks says about itself; JSON-ready.

    Args:
        data: Whose prompts.
        counts: How many prompts of each kind were built.
        out: Folder of ``prompts.jsonl``.
        settings: The configuration's data section.
        folder_format: Name of the format.
    """
    parts = {name: [part for _, part in one.parts] for name, one in data.mixed.items()}
    clips = {name: len(of_split[0].clips) for name, of_split in parts.items()}
    return {
        "format": folder_format,
        "remot_version": __version__,
        "data": settings,
        "root": str(data.root.resolve()),
        "seeds": {name: one.seed for name, one in data.mixed.items()},
        "sources": _sources(data),
        "tasks": [{"task": task.name, "needs": task.needs} for task in data.tasks],
        "sha256": {TASK_RECORDS: sha256_of(out / TASK_RECORDS)},
        "counts": counts,
        "clips": clips,
        "clips_by_task": {name: _serving(one) for name, one in data.mixed.items()},
        "refused": _refused(data, sum(clips.values())),
    } | _of_triplets(data)


def _of_triplets(data: TripletDataModule) -> dict[str, Any]:
    """The thresholds that triplets among the tasks go by; nothing if there are none."""
    parts = (part for one in data.mixed.values() for _, part in one.parts)
    if not any(isinstance(part, TripletDataset) for part in parts):
        return {}
    return {"experts": [_thresholds(expert) for expert in data.sampler.experts]}


def _refused(data: TripletDataModule, num_clips: int) -> dict[str, Any]:
    """Clips that were left out, and why; ``num_clips`` were not."""
    return {
        "bad_clips": len(data.catalogue.faults),
        "bad_clips_by_reason": faults_by_reason(data.catalogue.faults),
        "bad_clips_named": {fault.source: fault.message for fault in data.catalogue.faults[:MAX_NAMED]},
        "left_out_by_the_reader": data.catalogue.num_left_out,
        "excluded_clips": len(data.catalogue.entries) - num_clips,
    }


def _serving(mixed: MixedDataset) -> dict[str, int]:
    """Clips with what each task needs; of triplets all, as what moves in a clip is not said of it as a whole."""
    return {name: len(part.serving if isinstance(part, TaskDataset) else part.clips) for name, part in mixed.parts}


def _sources(data: TripletDataModule) -> dict[str, Any]:
    sources = data.reader.sources(data.root)
    files = list(dict.fromkeys(source.file for source in sources if source.file.is_file()))
    named = {_relative(file, data.root): _hash_unless_large(file) for file in files[:MAX_NAMED]}
    return {"reader": type(data.reader).__name__, "clips": len(sources), "files": len(files), "sha256": named}


def _relative(file: Path, root: Path) -> str:
    return str(file.relative_to(root)) if file.is_relative_to(root) else file.name


def _hash_unless_large(file: Path) -> str | None:
    """Hash of an annotation file; None for containers of pictures, which would take hours to read."""
    return sha256_of(file) if file.stat().st_size <= MAX_ANNOTATION_BYTES else None


def _thresholds(expert: object) -> dict[str, Any]:
    public = {name: value for name, value in vars(expert).items() if not name.startswith("_")}
    numbers = {name: value for name, value in public.items() if isinstance(value, int | float)}
    finite = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
    return {"expert": type(expert).__name__, **finite}


@dataclass
class Counts:
    """How many prompts of each kind there are, counted one by one."""

    kinds: dict[str, Counter[str]] = field(
        default_factory=lambda: {
            name: Counter() for name in ("split", "domain", "attribute", "answer", "negative", "format")
        }
    )
    distinct: DistinctCounts = field(default_factory=DistinctCounts)

    def add(self, prompt: BuiltPrompt) -> None:
        """Count one prompt."""
        question = prompt.question
        frames = prompt.clip_id, tuple(frame.index for frame in prompt.frames)
        self.distinct.add(prompt.split, frames, asked_of(prompt.labels))
        self.kinds["split"][prompt.split] += 1
        self.kinds["domain"][question.domain] += 1
        self.kinds["attribute"][prompt.labels[0].attribute] += 1
        self.kinds["answer"].update(f"{label.attribute} {label.value}" for label in prompt.labels)
        self.kinds["negative"][prompt.negative] += 1
        self.kinds["format"][question.format] += 1

    def record(self, num_pictures: int) -> dict[str, Any]:
        """The counts, JSON-ready.

        Args:
            num_pictures: Pictures that the prompts show, each counted once.
        """
        return {"triplets": self.kinds["split"].total(), "pictures": num_pictures, **self.by_kind()}

    def by_kind(self) -> dict[str, Any]:
        """How many prompts of each kind, and how many distinct ones, JSON-ready."""
        by_kind = {f"by_{name}": dict(sorted(counter.items())) for name, counter in self.kinds.items()}
        return {**by_kind, "distinct": self.distinct.record()}


def json_ready(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON can hold them and the configuration's parser reads them back.

    Raises:
        ConfigError: If one is neither text, number, list nor mapping.
    """
    return {str(key): _json_value(str(key), value) for key, value in settings.items()}


def _json_value(key: str, value: object) -> object:
    if isinstance(value, Mapping):
        return json_ready(value)
    if isinstance(value, list | tuple):
        return [_json_value(key, one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return f"{'-' if value < 0 else ''}.inf" if math.isinf(value) else ".nan"  # as YAML writes them
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Path):
        return str(value)
    msg = f"data: {key} is a {type(value).__name__}, which a manifest cannot hold; put it in quotes"
    raise ConfigError(msg)
