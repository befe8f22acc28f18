"""Clips that must not be used, such as those an external benchmark asks about."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol, TypeVar

from remot.data.annotations.base import read_text
from remot.data.clips.splits import InScene
from remot.errors import AnnotationError
from remot.files import lines_of


class NamedClip(InScene, Protocol):
    """A clip, or what is known of it, with its name."""

    @property
    def clip_id(self) -> str:
        """Its name."""


_Clip = TypeVar("_Clip", bound=NamedClip)


@dataclass(frozen=True)
class Exclusions:
    """Names of clips and scenes to leave out.

    Args:
        names: Names, in which ``*`` stands for anything.
        file: Where they are listed, for messages.
    """

    names: tuple[str, ...] = ()
    file: Path | None = None

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
        """The clips of which neither the own name nor that of the scene is listed.

        Raises:
            AnnotationError: If none is left.
        """
        # brackets and question marks of names stand for themselves
        patterns = [name.replace("[", "[[]").replace("?", "[?]") for name in self.names]
        left = []
        for clip in clips:
            if not any(fnmatchcase(name, one) for name in (clip.clip_id, clip.scene_id) for one in patterns):
                left.append(clip)  # noqa: PERF401 - a comprehension in a comprehension reads worse
        if clips and not left:
            msg = f"{self.file}: all {len(clips)} clips are excluded, shorten the list"
            raise AnnotationError(msg)
        return left
