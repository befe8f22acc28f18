"""Clips that must not be used, such as those an external benchmark asks about."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeVar

from remot.data.annotations.base import read_text
from remot.errors import AnnotationError
from remot.files import lines_of

#: Shorter names of files say nothing about a scene, and neither do numbers, such as a frame's.
MIN_CHARS = 4


class NamedClip(Protocol):
    """A clip, or what is known of it."""

    @property
    def clip_id(self) -> str:
        """Its name."""

    @property
    def scene_id(self) -> str:
        """Its scene."""


_Clip = TypeVar("_Clip", bound=NamedClip)


@dataclass
class Exclusions:
    """Names of clips and scenes to leave out.

    Args:
        names: Names, in which ``*`` stands for anything.
        file: Where they are listed, for messages.
        items: Scenes and videos of benchmarks, as :func:`names_of_sources` gives them.

    Attributes:
        num_excluded: Clips that :meth:`remaining` has left out.
    """

    names: tuple[str, ...] = ()
    file: Path | None = None
    items: frozenset[str] = frozenset()
    num_excluded: int = field(default=0, init=False)

    @classmethod
    def read(cls, file: Path | None) -> "Exclusions":
        """The names in a text file, one a line; blank lines and lines that begin with ``#`` are passed over."""
        if file is None:
            return cls()
        try:
            lines = [line.strip() for line in lines_of(read_text(file))]
        except AnnotationError as error:
            msg = f"data.options.exclude: {error}"
            raise AnnotationError(msg) from error
        return cls(tuple(line for line in lines if line and not line.startswith("#")), file)

    def excludes(self, clip: NamedClip) -> bool:
        """Whether the clip's own name or that of its scene is listed, or a benchmark is about it."""
        own = clip.clip_id, clip.scene_id
        listed = any(fnmatchcase(name, _pattern_of(listed)) for name in own for listed in self.names)
        return listed or not self.items.isdisjoint(names_of_sources(own) if self.items else ())

    def remaining(self, clips: Sequence[_Clip]) -> list[_Clip]:
        """The clips that are not left out.

        Raises:
            AnnotationError: If none is left.
        """
        left = [clip for clip in clips if not self.excludes(clip)]
        self.num_excluded = len(clips) - len(left)
        if clips and not left:
            where = self.file or "data.options.exclude"
            msg = f"{where}: all {len(clips)} clips are excluded, shorten the list"
            raise AnnotationError(msg)
        return left


def _pattern_of(listed: str) -> str:
    """A listed name for :mod:`fnmatch`, in which brackets and question marks stand for themselves."""
    return listed.replace("[", "[[]").replace("?", "[?]")


def names_of_sources(sources: Iterable[str]) -> set[str]:
    """Names by which a scene or video is known elsewhere: its path without the ending, and its last part.

    >>> sorted(names_of_sources(["scannet/scene0011_00.mp4", "7"]))
    ['scannet/scene0011_00', 'scene0011_00']
    """
    names = set()
    for source in sources:
        path = PurePosixPath(source.lower().replace("\\", "/"))
        stem = path.name.removesuffix(path.suffix)
        names |= {str(path.with_name(stem))} if path.name else set()
        names |= {stem} if len(stem) >= MIN_CHARS and not stem.isdigit() else set()
    return names
