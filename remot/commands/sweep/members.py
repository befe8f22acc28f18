"""The runs of a sweep: their settings, checked before the first one starts, and how far each has come."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from remot.commands.sweep.file import Sweep
from remot.commands.training.checks import RUNS_FOLDER
from remot.commands.training.cli import ParsedCLI
from remot.commands.training.run_folder import is_held
from remot.errors import ConfigError
from remot.tracking import flatten, read_run_file
from remot.tracking.groups import settings_that_matter

#: Tags of a run of a sweep, in MLflow and in its ``run.json``.
SWEEP_TAG, CELL_TAG, SETTINGS_TAG = "remot.sweep", "remot.cell", "remot.sweep_settings"
FINISHED, INTERRUPTED, RUNNING, NOT_STARTED = "finished", "interrupted", "running elsewhere", "not started"


@dataclass(frozen=True)
class Member:
    """One run.

    Args:
        name: Cell and seed.
        words: Of the command line of ``remot fit``.
        tags: By which it is found again.
        runs: Folder of the experiment's runs.
    """

    name: str
    words: tuple[str, ...]
    tags: dict[str, str]
    runs: Path

    @property
    def slug(self) -> str:
        """The name as that of a file."""
        return "".join(c if c.isalnum() or c in "-_.=" else "_" for c in self.name)


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Args:
        state: One of the words above.
        folder: Of the run, None if it has not started.
    """

    state: str
    folder: Path | None = None

    @property
    def checkpoint(self) -> Path | None:
        """Where it can be continued from."""
        path = None if self.folder is None else self.folder / "last.ckpt"
        return path if path is not None and path.is_file() else None


def members_of(sweep: Sweep, more: Sequence[str]) -> list[Member]:
    """The runs, cell by cell.

    Raises:
        ConfigError: If a setting does not exist or does not fit; the cell and the nearest key are named.
    """
    parsed = ParsedCLI()
    found = []
    for cell in sweep.cells:
        for seed in sweep.seeds:
            words = sweep.arguments(cell, seed, more)
            try:
                settings = parsed.settings(["fit", *words])
            except ConfigError as error:
                msg = f"sweep {sweep.name}, {cell.name}: {error}"
                raise ConfigError(msg) from error
            found.append(_member(sweep, cell.name, seed, words, settings))
    return found


def _member(sweep: Sweep, cell: str, seed: int, words: list[str], settings: dict[str, Any]) -> Member:
    matters = settings_that_matter({key: str(value) for key, value in flatten(settings)})
    digest = sha256(json.dumps(matters, sort_keys=True, allow_nan=False).encode()).hexdigest()[:16]
    tags = {SWEEP_TAG: sweep.name, CELL_TAG: cell, SETTINGS_TAG: f"{digest}-{seed}"}
    logger = settings["trainer"].get("logger")
    has_experiment = isinstance(logger, dict) and "experiment_name" in logger.get("init_args", {})
    own = [f"--trainer.logger.init_args.experiment_name={sweep.name}"] if has_experiment else []
    runs = Path(settings["trainer"].get("default_root_dir") or ".") / RUNS_FOLDER
    experiment = sweep.name if has_experiment else "default"
    all_words = (*words, *own, f"--tags={json.dumps(tags, allow_nan=False)}")
    return Member(f"{cell} seed {seed}", all_words, tags, runs / experiment)


def progress_of(member: Member) -> Progress:
    """How far a run has come, by the folders that carry its tags: a finished one, else the newest with a checkpoint."""
    if not member.runs.is_dir():
        return Progress(NOT_STARTED)
    folders = [folder for folder in member.runs.iterdir() if folder.is_dir()]
    own = []
    for folder in sorted(folders, key=lambda one: one.stat().st_mtime_ns, reverse=True):
        record = read_run_file(folder)
        held = record.get("tags")
        if isinstance(held, dict) and member.tags.items() <= held.items():
            own.append((folder, record))
    for folder, record in own:
        if record.get("state") == FINISHED:
            return Progress(FINISHED, folder)
    for folder, _ in own:
        if is_held(folder):
            return Progress(RUNNING, folder)
        if Progress(INTERRUPTED, folder).checkpoint is not None:
            return Progress(INTERRUPTED, folder)
    return Progress(NOT_STARTED)
