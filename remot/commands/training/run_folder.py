"""Where a run keeps its files: a folder of its own, also for runs that start within the same second."""

from itertools import count
from pathlib import Path


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
