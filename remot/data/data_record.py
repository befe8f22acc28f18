"""What a run's prompts are made from, in numbers and hashes, so that two runs can be seen to have had the same data."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from remot.data.annotations.base import MAX_ANNOTATION_BYTES, AnnotationReader
from remot.data.datasets.mixed import MixedDataset
from remot.data.datasets.prompts import PromptDataset
from remot.data.records.folder import MANIFEST, RECORDS
from remot.data.remote import named_root
from remot.data.tasks import Task
from remot.files import sha256_of

#: How many files and scenes are named; the numbers and hashes count all.
MAX_NAMED = 1000

#: Prompts by the name of their split.
Splits = Mapping[str, PromptDataset]


def clips_record(reader: AnnotationReader, root: Path, tasks: Sequence[Task], splits: Splits) -> dict[str, Any]:
    """Hashes of annotation files, and for each split the number and hashes of its clips and scenes; JSON-ready."""
    source = {"root": named_root(root), "tasks": [task.name for task in tasks], **sources_record(reader, root)}
    return source | {"splits": {name: _split(prompts) for name, prompts in splits.items()}}


def prompts_record(records: Path, splits: Splits) -> dict[str, Any]:
    """Hashes of a file of prompts, or of a folder's manifest and prompts, and the scenes of each split; JSON-ready."""
    files = [records] if records.is_file() else [records / MANIFEST, records / RECORDS]
    hashes = {file.name: sha256_of(file) for file in files if file.is_file()}
    splits_record = {name: _split(prompts) for name, prompts in splits.items()}
    return {"records": str(records), "sha256": hashes, "splits": splits_record}


def _split(prompts: PromptDataset) -> dict[str, Any]:
    scenes = sorted(prompts.scenes())
    found: dict[str, Any] = {
        "num_prompts": len(prompts),
        "num_scenes": len(scenes),
        "scenes_sha256": _hash_of(scenes),
        "scenes": scenes[:MAX_NAMED],
    }
    if isinstance(prompts, MixedDataset):
        clips = [clip.clip_id for clip in getattr(prompts.clips, "entries", prompts.clips)]
        found |= {"num_clips": len(clips), "clips_sha256": _hash_of(sorted(clips))}
    return found


def _hash_of(names: Iterable[str]) -> str:
    return hashlib.sha256(json.dumps(list(names), allow_nan=False).encode()).hexdigest()


def sources_record(reader: AnnotationReader, root: Path) -> dict[str, Any]:
    """Annotation files below ``root`` with their hashes; None for containers of images, which would take hours."""
    sources = reader.sources(root)
    files = list(dict.fromkeys(source.file for source in sources if source.file.is_file()))
    named: dict[str, str | None] = {}
    for file in files[:MAX_NAMED]:
        name = str(file.relative_to(root)) if file.is_relative_to(root) else file.name
        named[name] = sha256_of(file) if file.stat().st_size <= MAX_ANNOTATION_BYTES else None
    return {"reader": type(reader).__name__, "clips": len(sources), "files": len(files), "sha256": named}
