"""A folder of built prompts, and whether it is whole."""

from pathlib import Path
from typing import Any

from remot.data.annotations.base import read_json_object
from remot.errors import AnnotationError, ConfigError
from remot.files import sha256_of

MANIFEST, RECORDS, FORMAT = "manifest.json", "prompts.jsonl", "remot-prompts/2"
#: Key of the manifest of a part of the prompts.
SHARD = "shard"
#: The file of folders that earlier versions wrote.
_OLD_RECORDS = "triplets.jsonl"


def read_manifest(folder: Path, *, may_be_shard: bool = False) -> dict[str, Any]:
    """The manifest of a folder of built prompts, whose prompts must be the ones it was written for.

    Raises:
        ConfigError: If the folder holds no built prompts, or a part of them unless ``may_be_shard``.
        AnnotationError: If the manifest is malformed or the prompts have been changed.
    """
    if not (folder / MANIFEST).is_file() or not (folder / RECORDS).is_file():
        old = (folder / _OLD_RECORDS).is_file()
        found = f"{folder} holds {_OLD_RECORDS} of an earlier version" if old else f"{folder} holds no {RECORDS}"
        msg = (
            f"{found} and {MANIFEST}; build it again with `remot data build`"
            if old
            else (f"{found} with its {MANIFEST}; give a folder that `remot data build` wrote")
        )
        raise ConfigError(msg)
    manifest = read_json_object(folder / MANIFEST)
    if manifest.get("format") != FORMAT:
        msg = (
            f"{folder / MANIFEST}: format is {manifest.get('format')!r:.40}, this version reads {FORMAT!r}; build the "
            "folder again with `remot data build`"
        )
        raise AnnotationError(msg)
    if SHARD in manifest and not may_be_shard:
        msg = f"{folder} is one shard of several; put them together with `remot data merge`"
        raise ConfigError(msg)
    noted = manifest.get("sha256")
    if not isinstance(noted, dict) or noted.get(RECORDS) != sha256_of(folder / RECORDS):
        msg = f"{folder / RECORDS} is not the file its manifest was written for; build it again"
        raise AnnotationError(msg)
    return manifest
