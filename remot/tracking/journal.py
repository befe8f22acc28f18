"""What a run logs, written beside it first: a line for each record, and how far the store has taken them.

A record is in the file before the step goes on, so that a kill loses none, and a run that is continued knows which
points it has logged already.
"""

import json
import math
import os
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from remot.errors import ConfigError
from remot.files import bounded_lines, open_regular, read_bounded, write_whole
from remot.strict_json import json_object, json_text
from remot.tracking.client import absolute_uri

#: Folder of a run's records, below the run's folder; evaluations have one of their own that begins so, too.
FOLDER = "tracking"
_RECORDS, _DELIVERED, _TARGET, _TEXTS = "records.jsonl", "delivered.txt", "store.json", "texts"
#: Stands for the identifier of a run that the store has not made yet.
PENDING = "pending-"
MAX_READ_BYTES = 2**20
#: Longest record; texts are files of their own.
MAX_LINE_BYTES = 2**24
MAX_TARGET_BYTES = 2**20


@dataclass(frozen=True)
class Target:
    """Where records go.

    Args:
        tracking_uri: Of the store.
        experiment: Name of the experiment.
        artifact_location: Of a new experiment.
        run_name: Of a new run.
        tags: Of a new run.
        key: Names the run among those of the store before it has an identifier.
        run_id: Given by the store; None until then.
        experiment_id: Given by the store; None until then.
    """

    tracking_uri: str
    experiment: str
    artifact_location: str | None
    run_name: str | None
    tags: Mapping[str, str]
    key: str
    run_id: str | None = None
    experiment_id: str | None = None

    @property
    def known_id(self) -> str:
        """The run's identifier, or what stands for it."""
        return self.run_id or f"{PENDING}{self.key}"


def new_key() -> str:
    """A name that no other run has."""
    return uuid.uuid4().hex


class Journal:
    """Records of a run in a folder; several threads may read while one appends.

    Args:
        folder: For the files; made if it is not there.
        target: Where they go; a folder that has one keeps it.
    """

    def __init__(self, folder: Path, target: Target | None = None) -> None:
        self.folder = folder
        self.lost: OSError | None = None  # the disk takes no more
        held = _read_target(folder)
        found = held if target is None else target if held is None else _joined(held, target)
        if found is None:
            msg = f"{folder} holds no records of a run"
            raise ConfigError(msg)
        self.target: Target = found
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            self._write_target()
            if self.path.exists():  # end the line that a killed process was writing, which is no record then
                with self.path.open("rb+") as file:
                    if file.seek(0, os.SEEK_END) and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n":
                        file.write(b"\n")
        #: Points of earlier processes, by name and step.
        self.logged_before: set[tuple[str, int]] = set()
        with suppress(OSError), open_regular(self.path) as lines:
            for line in bounded_lines(lines, MAX_LINE_BYTES):
                record = json_object(line or b"")
                if record.get("kind") == "metrics":
                    self.logged_before |= {(name, int(record["step"])) for name in record["metrics"]}

    def set_target(self, **values: Any) -> None:  # noqa: ANN401 (fields of Target)
        """Change where records go, or note what the store has given the run."""
        self.target = replace(self.target, **values)
        with suppress(OSError):
            self._write_target()

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a record; a disk that does not take it loses it, and :attr:`lost` says why."""
        try:
            if not self.folder.exists():  # it was delivered whole, and removed
                self.folder.mkdir(parents=True)
                self._write_target()
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json_text(record) + "\n")
        except OSError as error:
            self.lost = error

    def keep_text(self, text: str, artifact: str) -> str:
        """Write a text to a file of its own; returns its name."""
        name = f"{new_key()}-{Path(artifact).name}"
        try:
            (self.folder / _TEXTS).mkdir(parents=True, exist_ok=True)
            (self.folder / _TEXTS / name).write_text(text, encoding="utf-8")
        except OSError as error:
            self.lost = error
        return name

    def text(self, name: str) -> str | None:
        """A text that was kept; None if it is not there."""
        try:
            return (self.folder / _TEXTS / Path(name).name).read_text(encoding="utf-8")
        except OSError:
            return None

    def forget_text(self, name: str) -> None:
        """Remove a text that was delivered."""
        with suppress(OSError):
            (self.folder / _TEXTS / Path(name).name).unlink()

    @property
    def path(self) -> Path:
        """The file of records."""
        return self.folder / _RECORDS

    @property
    def position(self) -> int:
        """Bytes of the file that were delivered."""
        try:
            return int((self.folder / _DELIVERED).read_text())
        except (OSError, ValueError):
            return 0

    def advance(self, position: int) -> None:
        """Note that everything before ``position`` was delivered."""
        write_whole(self.folder / _DELIVERED, str(position))

    def pending(self) -> list[tuple[dict[str, Any], int]]:
        """Some of the records that were not delivered, each with the position behind it."""
        position, found = self.position, list[tuple[dict[str, Any], int]]()
        try:
            with open_regular(self.path) as file:
                file.seek(position)
                for line in bounded_lines(file, MAX_LINE_BYTES):
                    if line is not None and not line.endswith(b"\n"):
                        break
                    found.append((json_object(line or b""), file.tell()))
                    if file.tell() - position > MAX_READ_BYTES:
                        break
        except OSError:
            return []
        return found

    def num_pending(self) -> int:
        """How many records were not delivered."""
        position, count = self.position, 0
        with suppress(OSError), open_regular(self.path) as file:
            file.seek(position)
            count = sum(line is None or line.endswith(b"\n") for line in bounded_lines(file, MAX_LINE_BYTES))
        return count

    def remove(self) -> None:
        """Remove the files of a journal that was delivered whole."""
        for name in (_RECORDS, _DELIVERED, _TARGET, f"{_RECORDS}.lock"):
            with suppress(OSError):
                (self.folder / name).unlink()
        for folder in (self.folder / _TEXTS, self.folder):
            with suppress(OSError):
                folder.rmdir()

    def _write_target(self) -> None:
        write_whole(self.folder / _TARGET, json_text(asdict(self.target)) + "\n")


def _joined(held: Target, now: Target) -> Target:
    """What a folder has of its run, in the store that is given now."""
    is_same_store = absolute_uri(held.tracking_uri) == absolute_uri(now.tracking_uri)
    return replace(
        now,
        key=held.key,
        run_id=now.run_id or (held.run_id if is_same_store else None),
        experiment_id=now.experiment_id or held.experiment_id,
    )


def _read_target(folder: Path) -> Target | None:
    try:
        return Target(**json.loads(read_bounded(folder / _TARGET, MAX_TARGET_BYTES)))
    except (OSError, ValueError, TypeError, RecursionError):
        return None


def known_run_id(folder: Path, run_id: str | None) -> str | None:
    """Identifier of a run whose checkpoint may have been written before the store gave it one; None if it has none."""
    if run_id is None or not run_id.startswith(PENDING):
        return run_id
    target = _read_target(folder / FOLDER)
    return None if target is None else target.run_id


def plain_number(value: float) -> float | str:
    """As strict JSON takes it."""
    return float(value) if math.isfinite(value) else str(float(value))
