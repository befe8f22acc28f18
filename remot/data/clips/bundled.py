"""The clips that ship with the package, so that everything can be tried without downloads."""

from importlib.resources import files
from pathlib import Path

from remot.files import expanded

#: Folders of the package by the name that stands for them in place of a path.
EMBEDDED = {"embedded/clips": "clips", "embedded/tasks": "task_clips", "embedded/bench": "bench_clips"}


def embedded_clips_root() -> Path:
    """Folder of the embedded clips of triplets, in the native format."""
    return clips_root("embedded/clips")


def clips_root(root: str | None) -> Path:
    """The folder of this machine that a setting means.

    Args:
        root: A folder; ``embedded/tasks`` for the clips with events, tracks and layouts that come with the library,
            ``embedded/bench`` for those of remot-bench, ``embedded/clips`` or None for those of its triplets. ``~`` and
            variables of the environment, ``${NAME}``, are filled in.

    Raises:
        ConfigError: If a variable of the environment is not set.
    """
    root = "embedded/clips" if root is None else root
    if root in EMBEDDED:
        return Path(str(files("remot") / "assets" / EMBEDDED[root]))
    return expanded(root)
