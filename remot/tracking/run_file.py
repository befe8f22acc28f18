"""``run.json``: what a run is, in its own folder, whatever logger it has."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from remot.files import open_regular, write_whole
from remot.strict_json import json_object, json_text

RUN_FILE = "run.json"
MAX_BYTES = 1 << 22


def write_run_file(folder: Path, record: Mapping[str, Any]) -> None:
    """Write ``run.json``, which others may read at any time."""
    write_whole(folder / RUN_FILE, json_text(record, indent=1) + "\n")


def read_run_file(folder: Path) -> dict[str, Any]:
    """What ``run.json`` holds; empty if there is none, or it is damaged."""
    try:
        with open_regular(folder / RUN_FILE) as file:
            return json_object(file.read(MAX_BYTES))
    except OSError:
        return {}
