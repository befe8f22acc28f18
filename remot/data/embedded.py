"""The clips that ship with the package, so that everything can be tried without downloads."""

from importlib.resources import files
from pathlib import Path


def embedded_clips_root() -> Path:
    """Folder of the embedded clips, in the native format."""
    return Path(str(files("remot") / "assets" / "clips"))
