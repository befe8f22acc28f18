"""What a run's prompts are made from, in numbers and hashes, so that two runs can be seen to have had the same data."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remot.data.annotations.base import MAX_ANNOTATION_BYTES, AnnotationReader
from remot.data.records.folder import MANIFEST, sha256_of

if TYPE_CHECKING:
    from remot.data.prompt_data import PromptData

#: How many files and scenes are named; the numbers and hashes count all.
MAX_NAMED = 1000


def data_record(data: "PromptData") -> dict[str, Any]:
    """Source, splits and hashes of a data module that has been set up; JSON-ready.

    For prompts from disk the hashes of the file and of the folder's manifest, for clips those of the annotation files,
    and for each split the number and a hash of its clips.
    """
    source: dict[str, Any]
    if data.records is not None:
        files = [data.records] if data.records.is_file() else [data.records / MANIFEST, data.records / "prompts.jsonl"]
        source = {"records": str(data.records), "sha256": {one.name: sha256_of(one) for one in files if one.is_file()}}
    else:
        tasks = [task.name for task in data.tasks]
        source = {"root": str(data.root.resolve()), "tasks": tasks, **sources_record(data.reader, data.root)}
    return source | {"splits": _splits(data)}


def _splits(data: "PromptData") -> dict[str, Any]:
    splits: dict[str, Any] = {}
    for name, prompts in data.prompts.items():
        scenes = sorted(prompts.scenes())
        splits[name] = {
            "num_prompts": len(prompts),
            "num_scenes": len(scenes),
            "scenes_sha256": _hash_of(scenes),
            "scenes": scenes[:MAX_NAMED],
        }
    for name, mixed in data.mixed.items():
        clips = [clip.clip_id for clip in getattr(mixed.clips, "entries", mixed.clips)]
        splits[name] |= {"num_clips": len(clips), "clips_sha256": _hash_of(sorted(clips))}
    return splits


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
