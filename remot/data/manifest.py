"""What a folder of built prompts says about itself."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from remot._version import __version__
from remot.data.annotations.base import read_json_object
from remot.data.datamodule import TripletDataModule
from remot.data.records import BuiltPrompt
from remot.data.refusals import faults_by_reason, pairs_by_verdict
from remot.errors import AnnotationError, ConfigError

MANIFEST, RECORDS = "manifest.json", "triplets.jsonl"
FORMAT = "remot-triplets/1"
#: How many faults and files are named; the numbers count all.
MAX_NAMED = 1000


def manifest_of(
    data: TripletDataModule, prompts: Sequence[BuiltPrompt], out: Path, settings: dict[str, Any]
) -> dict[str, Any]:
    """Sources, thresholds, seeds, hashes, counts, and what was refused and why; JSON-ready.

    Args:
        data: Whose prompts.
        prompts: What was built.
        out: Folder of ``triplets.jsonl``.
        settings: The configuration's data section.
    """
    clips = [clip for dataset in data.datasets.values() for clip in dataset.clips]
    return {
        "format": FORMAT,
        "remot_version": __version__,
        "data": settings,
        "root": str(data.root),
        "seeds": {name: dataset.seed for name, dataset in data.datasets.items()},
        "sources": _sources(data),
        "experts": [_thresholds(expert) for expert in data.sampler.experts],
        "sha256": {RECORDS: sha256_of(out / RECORDS)},
        "counts": counts_of(prompts),
        "clips": {name: len(dataset.clips) for name, dataset in data.datasets.items()},
        "refused": {
            "bad_clips": len(data.catalogue.faults),
            "bad_clips_by_reason": faults_by_reason(data.catalogue.faults),
            "bad_clips_named": {fault.source: fault.message for fault in data.catalogue.faults[:MAX_NAMED]},
            "left_out_by_the_reader": data.catalogue.num_left_out,
            "excluded_clips": len(data.catalogue.entries) - len(clips),
            "pairs_of_frames": pairs_by_verdict(clips, data.sampler.experts),
        },
    }


def _sources(data: TripletDataModule) -> dict[str, Any]:
    sources = data.reader.sources(data.root)
    files = list(dict.fromkeys(source.file for source in sources if source.file.is_file()))
    named = {_relative(file, data.root): sha256_of(file) for file in files[:MAX_NAMED]}
    return {"reader": type(data.reader).__name__, "clips": len(sources), "files": len(files), "sha256": named}


def _relative(file: Path, root: Path) -> str:
    return str(file.relative_to(root)) if file.is_relative_to(root) else file.name


def _thresholds(expert: object) -> dict[str, Any]:
    public = {name: value for name, value in vars(expert).items() if not name.startswith("_")}
    numbers = {name: value for name, value in public.items() if isinstance(value, int | float)}
    finite = {name: value if abs(value) != float("inf") else None for name, value in numbers.items()}
    return {"expert": type(expert).__name__, **finite}


def counts_of(prompts: Iterable[BuiltPrompt]) -> dict[str, Any]:
    """How many prompts of each kind."""
    kinds: dict[str, Counter[str]] = {
        name: Counter() for name in ("split", "domain", "attribute", "answer", "negative", "format")
    }
    pictures: set[str] = set()
    for prompt in prompts:
        question = prompt.question
        kinds["split"][prompt.split] += 1
        kinds["domain"][question.domain] += 1
        kinds["attribute"][prompt.labels[0].attribute] += 1
        kinds["answer"].update(f"{label.attribute} {label.value}" for label in prompt.labels)
        kinds["negative"][prompt.negative] += 1
        kinds["format"][question.format] += 1
        pictures.update(prompt.images)
    counted = {f"by_{name}": dict(sorted(counter.items())) for name, counter in kinds.items()}
    return {"triplets": kinds["split"].total(), "pictures": len(pictures), **counted}


def sha256_of(file: Path) -> str:
    """Hash of a file's content."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder of built prompts, whose prompts must be the ones it was written for.

    Raises:
        ConfigError: If the folder holds no built prompts.
        AnnotationError: If the manifest is malformed or the prompts have been changed.
    """
    if not (folder / MANIFEST).is_file() or not (folder / RECORDS).is_file():
        msg = f"{folder} holds no {RECORDS} with its {MANIFEST}; give a folder that `remot data build` wrote"
        raise ConfigError(msg)
    manifest = read_json_object(folder / MANIFEST)
    if manifest.get("format") != FORMAT:
        msg = f"{folder / MANIFEST}: format is {manifest.get('format')!r:.40}, this version reads {FORMAT!r}"
        raise AnnotationError(msg)
    noted = manifest.get("sha256")
    if not isinstance(noted, dict) or noted.get(RECORDS) != sha256_of(folder / RECORDS):
        msg = f"{folder / RECORDS} is not the file its manifest was written for; build it again"
        raise AnnotationError(msg)
    return manifest
