"""Names of video files in the containers that :mod:`remot.data.media` can decode."""

from pathlib import Path

#: In the order in which they are looked for beside an annotation.
VIDEO_SUFFIXES = (
    ".mp4", ".avi", ".mkv", ".mov", ".m4v", ".webm", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".ogv", ".mxf",
)  # fmt: skip


def video_named(folder: Path, stem: str) -> Path:
    """The video ``stem`` with one of :data:`VIDEO_SUFFIXES` in ``folder``; its name as mp4 if there is none."""
    names = [folder / f"{stem}{suffix}" for suffix in VIDEO_SUFFIXES]
    return next((path for path in names if path.exists()), names[0])


def videos_in(folder: Path) -> list[Path]:
    """The videos of ``folder`` in order of their names."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file())
