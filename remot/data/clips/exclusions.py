"""Clips that must not be used, such as those an external benchmark asks about."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeVar

from remot.data.annotations.base import read_text
from remot.data.clips.splits import InScene
from remot.errors import AnnotationError
from remot.files import lines_of

#: Shorter names of files say nothing about a scene, and neither do numbers, such as a frame's.
MIN_CHARS = 4
#: A scan of ScanNet and the room it shows: scene0024_02 is the third of room scene0024.
_SCAN = re.compile(r"(?<![a-z0-9])(scene\d{4})_\d{2}(?!\d)", re.ASCII)


class NamedClip(InScene, Protocol):
    """A clip, or what is known of it, with its name."""

    @property
    def clip_id(self) -> str:
        """Its name."""


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

    def remaining(self, clips: Sequence[_Clip]) -> list[_Clip]:
        """The clips of which neither the own name nor that of the scene is listed, with or without that of a folder.

        Raises:
            AnnotationError: If none is left.
        """
        # brackets and question marks of names stand for themselves
        patterns = [name.replace("[", "[[]").replace("?", "[?]") for name in self.names]
        left = []
        for clip in clips:
            own = {name for whole in (clip.clip_id, clip.scene_id) for name in (whole, whole.partition("/")[2]) if name}
            is_listed = any(fnmatchcase(name, one) for name in own for one in patterns)
            if not is_listed and (not self.items or self.items.isdisjoint(names_of_sources(own))):
                left.append(clip)
        self.num_excluded = len(clips) - len(left)
        if clips and not left:
            where = self.file or "data.options.exclude"
            msg = f"{where}: all {len(clips)} clips are excluded, shorten the list"
            raise AnnotationError(msg)
        return left


def names_of_sources(sources: Iterable[str]) -> set[str]:
    """Names by which a scene or video is known elsewhere: its path without the ending, and its last part.

    Of what belongs to a scan of ScanNet also those of the scan and of its room, which other scans show, too.

    >>> sorted(names_of_sources(["scannet/scene0011_00.mp4", "7"]))
    ['scannet/scene0011_00', 'scene0011', 'scene0011_00']
    """
    names = set()
    for source in sources:
        names |= {name for scan in _SCAN.finditer(source.lower()) for name in (scan[0], scan[1])}
        path = PurePosixPath(source.lower().replace("\\", "/"))
        stem = path.name.removesuffix(path.suffix)
        names |= {str(path.with_name(stem))} if path.name else set()
        names |= {stem} if len(stem) >= MIN_CHARS and not stem.isdigit() else set()
    return names


def without_rooms(names: Iterable[str]) -> set[str]:
    """Of :func:`names_of_sources` those that stand for one thing each: no room of a scan that is named itself."""
    named = set(names)
    return named - {scan[1] for name in named if (scan := _SCAN.fullmatch(name))}
