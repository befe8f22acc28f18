"""Where a run keeps its files: a folder of its own, also for runs that start within the same second, with one owner."""

import errno
import json
import os
import socket
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from remot.errors import ConfigError
from remot.files import read_bounded
from remot.locks import lock_file_of, take_lock
from remot.strategies.checkpoint_io import remove_unfinished
from remot.strict_json import json_object

#: Names the process that writes to the folder, which has the lock on this file as long as it lives.
OWNER_FILE = ".owner.json"
MAX_OWNER_BYTES = 4096


def claim_folder(runs: Path, name: str) -> Path:
    """Make a folder that no other run has: ``name`` below ``runs``, or ``name-2``, ``name-3`` and so on.

    Making a folder fails for all but one of several processes, which is what decides between them.

    Args:
        runs: Folder of an experiment's runs; made if it is not there.
        name: Of the run.
    """
    for number in count(1):
        folder = runs / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise AssertionError


class FolderLock:
    """Holds a run's folder for this process until it is released or the process ends, however it ends.

    What a killed process leaves locks nothing, see :mod:`remot.locks`.

    Args:
        folder: Of the run.

    Raises:
        ConfigError: If a living process holds it; it is named.
    """

    def __init__(self, folder: Path) -> None:
        try:
            self._lock = take_lock(folder / OWNER_FILE)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            owner = read_owner(folder)
            msg = (
                f"the run in {folder} is being written by the process {owner.get('pid')} on {owner.get('host')}: wait "
                "until it ends or stop it, or start a run of its own by leaving out --ckpt_path"
            )
            raise ConfigError(msg) from error
        facts = {"pid": os.getpid(), "host": socket.gethostname(), "slurm_job_id": os.environ.get("SLURM_JOB_ID")}
        (folder / OWNER_FILE).write_text(json.dumps(facts, allow_nan=False) + "\n", encoding="utf-8")
        remove_unfinished(folder)

    def release(self) -> None:
        """Let others have it."""
        self._lock.release()


def is_held(folder: Path) -> bool:
    """Whether a living process writes to the folder of a run."""
    try:
        if lock_file_of(folder / OWNER_FILE).exists():
            take_lock(folder / OWNER_FILE).release()
    except OSError as error:
        return error.errno == errno.EBUSY
    return False


def remove_unused(folder: Path) -> None:
    """Remove a folder in which a run that was refused has left nothing but its name."""
    with suppress(OSError):
        own = {folder / OWNER_FILE, lock_file_of(folder / OWNER_FILE)}
        if set(folder.iterdir()) <= own:
            for path in own:
                path.unlink(missing_ok=True)
        folder.rmdir()  # fails if it holds something


def read_owner(folder: Path) -> dict[str, Any]:
    """Process, machine and SLURM job that wrote to a folder last; empty if that is not known."""
    try:
        return json_object(read_bounded(folder / OWNER_FILE, MAX_OWNER_BYTES))
    except (OSError, ValueError):
        return {}


def folders_of_job(runs: Path, job_id: str) -> list[Path]:
    """Folders below ``runs`` that a SLURM job wrote to last."""
    folders = [path.parent for path in runs.glob(f"*/{OWNER_FILE}")]
    return [folder for folder in folders if read_owner(folder).get("slurm_job_id") == job_id]
