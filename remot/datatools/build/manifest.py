"""The manifest of a folder of built prompts."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from remot._version import __version__
from remot.data.clips.catalogue import Fault
from remot.data.data_record import MAX_NAMED, sources_record
from remot.data.datasets.distinct import DistinctCounts, asked_of
from remot.data.datasets.prompts import TaskDataset
from remot.data.prompt_data import PromptData
from remot.data.records.folder import FORMAT, RECORDS
from remot.data.records.schema import BuiltPrompt
from remot.data.remote import named_root
from remot.errors import ConfigError
from remot.files import sha256_of
from remot.seeding import numpy_generator
from remot.strict_json import without_nan
from remot.structures import Clip

#: Clips of a split whose refusals are counted, spread over it.
MAX_CLIPS = 200


def manifest_of(data: PromptData, counts: dict[str, Any], out: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Sources, thresholds, seeds, hashes, counts, and what was refused and why; JSON-ready."""
    tasks = []
    for task in data.tasks:
        thresholds = [
            {"class": type(one).__name__}
            | {key: value for key, value in vars(one).items() if isinstance(value, int | float) and key[0] != "_"}
            for one in task.settings()
        ]
        tasks.append({"task": task.name, "needs": task.needs, "settings": without_nan(thresholds)})
    return {
        "format": FORMAT,
        "remot_version": __version__,
        "data": settings,
        "root": named_root(data.root),
        "seeds": {name: mixed.seed for name, mixed in data.mixed.items()},
        "sources": sources_record(data.reader, data.root),
        "tasks": tasks,
        "sha256": {RECORDS: sha256_of(out / RECORDS)},
        "counts": counts,
        "clips": {name: len(mixed.clips) for name, mixed in data.mixed.items()},
        "clips_by_task": {
            name: {part.task.name: len(part.serving) for part in mixed.parts} for name, mixed in data.mixed.items()
        },
        "refused": _refused(data, sum(len(mixed.clips) for mixed in data.mixed.values())),
    }


def _refused(data: PromptData, num_clips: int) -> dict[str, Any]:
    """Clips that were left out, and why; ``num_clips`` were not."""
    return {
        "bad_clips": len(data.catalogue.faults),
        "bad_clips_by_reason": faults_by_reason(data.catalogue.faults),
        "bad_clips_named": {fault.source: fault.message for fault in data.catalogue.faults[:MAX_NAMED]},
        "left_out_by_the_reader": data.catalogue.num_left_out,
        "excluded_clips": len(data.catalogue.entries) - num_clips,
        "by_task": {
            part.task.name: dict(part.task.refusals(spread_clips(part), numpy_generator(part.seed, "refusals")))
            for part in data.mixed["train"].parts
        },
    }


def spread_clips(part: TaskDataset) -> list[Clip]:
    """Up to :data:`MAX_CLIPS` clips that a task can ask about, spread over the split."""
    chosen = np.unique(np.linspace(0, len(part.serving) - 1, MAX_CLIPS).astype(int))
    return [part.clips[part.serving[int(k)]] for k in chosen]


def faults_by_reason(faults: Iterable[Fault]) -> dict[str, int]:
    """How many clips are bad for each reason."""
    return dict(sorted(Counter(fault.reason for fault in faults).items()))


@dataclass
class Counts:
    """How many prompts of each kind there are, counted one by one."""

    kinds: dict[str, Counter[str]] = field(
        default_factory=lambda: {
            name: Counter() for name in ("split", "domain", "task", "attribute", "answer", "negative", "format")
        }
    )
    distinct_frames: DistinctCounts = field(default_factory=DistinctCounts)
    distinct_questions: DistinctCounts = field(default_factory=DistinctCounts)

    def add(self, prompt: BuiltPrompt) -> None:
        """Count one prompt."""
        question = prompt.question
        frames = prompt.clip_id, tuple(frame.index for frame in prompt.frames)
        counts = self.distinct_frames if prompt.labels else self.distinct_questions
        counts.add(prompt.split, frames, asked_of(prompt.labels, question.text))
        self.kinds["split"][prompt.split] += 1
        self.kinds["domain"][question.domain] += 1
        self.kinds["task"][question.task] += 1
        self.kinds["attribute"].update(label.attribute for label in prompt.labels[:1])
        self.kinds["answer"].update(f"{label.attribute} {label.value}" for label in prompt.labels)
        self.kinds["negative"].update([prompt.negative] if prompt.negative else [])
        self.kinds["format"][question.format] += 1

    def record(self, num_images: int) -> dict[str, Any]:
        """The counts, JSON-ready; the prompts show ``num_images`` different images."""
        by_kind = {f"by_{name}": dict(sorted(counter.items())) for name, counter in self.kinds.items()}
        distinct = {"frames": self.distinct_frames.record(), "questions": self.distinct_questions.record()}
        return {"prompts": self.kinds["split"].total(), "images": num_images, **by_kind, "distinct": distinct}


def json_ready(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as JSON holds them and the configuration's parser reads them back; a ConfigError for other objects."""
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
