"""A folder of built prompts, and whether it is whole."""

import hashlib
from pathlib import Path
from typing import Any

from remot.data.annotations.base import read_json_object
from remot.errors import AnnotationError, ConfigError
from remot.files import open_regular

MANIFEST, RECORDS = "manifest.json", "triplets.jsonl"
FORMAT = "remot-triplets/1"
#: The same of prompts of tasks.
TASK_RECORDS, TASK_FORMAT = "prompts.jsonl", "remot-prompts/1"
_FORMATS = {RECORDS: FORMAT, TASK_RECORDS: TASK_FORMAT}


def records_in(folder: Path) -> str:
    """Name of the file with the prompts of a folder: of tasks if it holds such a file, else of triplets."""
    return TASK_RECORDS if (folder / TASK_RECORDS).is_file() else RECORDS


def sha256_of(file: Path) -> str:
    """Hash of a file's content."""
    with open_regular(file) as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder of built prompts, whose prompts must be the ones it was written for.

    Raises:
        ConfigError: If the folder holds no built prompts.
        AnnotationError: If the manifest is malformed or the prompts have been changed.
    """
    records = records_in(folder)
    if not (folder / MANIFEST).is_file() or not (folder / records).is_file():
        told = f"{folder} holds no {RECORDS} with its {MANIFEST}, nor {TASK_RECORDS} with one"
        msg = f"{told}; give a folder that `remot data build` wrote"
        raise ConfigError(msg)
    manifest = read_json_object(folder / MANIFEST)
    if manifest.get("format") != _FORMATS[records]:
        msg = f"{folder / MANIFEST}: format is {manifest.get('format')!r:.40}, this version reads {_FORMATS[records]!r}"
        raise AnnotationError(msg)
    noted = manifest.get("sha256")
    if not isinstance(noted, dict) or noted.get(records) != sha256_of(folder / records):
        msg = f"{folder / records} is not the file its manifest was written for; build it again"
        raise AnnotationError(msg)
    return manifest
